package config_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/windrow-io/windrow/internal/config"
	"github.com/windrow-io/windrow/internal/wire"
)

// What the variables say is what a broker that asks for it accepts, and it refuses anything less.
func TestKafka(t *testing.T) {
	ca, server := certificate(t)
	for name, c := range map[string]struct {
		broker  []kfake.Opt
		env     env
		refused env // set as well, it is refused
	}{
		"plain text": {},
		"PLAIN": {
			[]kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", "p")},
			env{"KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "p"}, env{"KAFKA_SASL_PASSWORD": "q"},
		},
		"SCRAM-SHA-256": {
			[]kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "u", "p")},
			env{"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "p"}, env{"KAFKA_SASL_PASSWORD": "q"},
		},
		"SCRAM-SHA-512": {
			[]kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "u", "p")},
			env{"KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_SASL_USERNAME": "u", "KAFKA_SASL_PASSWORD": "p"}, env{"KAFKA_SASL_MECHANISM": "SCRAM-SHA-256"},
		},
		"TLS": {
			[]kfake.Opt{kfake.TLS(&tls.Config{Certificates: []tls.Certificate{server}})},
			env{"KAFKA_TLS": "true", "KAFKA_TLS_CA": ca}, env{"KAFKA_TLS_CA": ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			broker, err := kfake.NewCluster(append(c.broker, kfake.NumBrokers(1), kfake.SeedTopics(1, "events"))...)
			if err != nil {
				t.Fatal(err)
			}
			defer broker.Close()
			e := merge(ingest(env{"KAFKA_BROKERS": broker.ListenAddrs()[0]}), c.env)
			if err := ask(t, e); err != nil {
				t.Errorf("not accepted: %v", err)
			}
			if c.refused != nil {
				if ask(t, merge(e, c.refused)) == nil {
					t.Errorf("accepted with %v", c.refused)
				}
			}
		})
	}
}

func ask(t *testing.T, e env) error {
	t.Helper()
	w, err := mustLoad(t, config.ProgramIngest, e).Kafka()
	if err != nil {
		t.Fatal(err)
	}
	c := wire.New(w)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	topics, err := c.Topics(ctx, "events")
	if err == nil {
		err = topics[0].Err
	}
	return err
}

// certificate returns the file of a certificate that vouches for itself, and the certificate with its key.
func certificate(t *testing.T) (file string, pair tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = t.TempDir() + "/ca.crt"
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
