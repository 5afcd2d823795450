package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/windrow-io/windrow/internal/wire"
)

// Kafka says how to reach the source's cluster. It reads the TLS files; Load has seen them to be good.
func (c *Common) Kafka() (wire.Config, error) {
	w := wire.Config{Brokers: c.Brokers, ClientID: "windrow"}
	var err error
	if w.TLS, err = c.tls(); err != nil {
		return wire.Config{}, err
	}
	if w.SASL, err = c.sasl(); err != nil {
		return wire.Config{}, err
	}
	return w, nil
}

// OutputKafka says how to reach the cluster of the output and the journal.
func (c *Config) OutputKafka() (wire.Config, error) {
	w, err := c.Kafka()
	if len(c.OutputBrokers) > 0 {
		w.Brokers = c.OutputBrokers
	}
	return w, err
}

func (c *Common) tls() (*tls.Config, error) {
	if !c.TLS {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLSCA != "" {
		pem, err := os.ReadFile(c.TLSCA)
		if err != nil {
			return nil, Problem{"KAFKA_TLS_CA", c.TLSCA, "can't be read: " + cause(err)}
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, Problem{"KAFKA_TLS_CA", c.TLSCA, "holds no certificate in PEM form"}
		}
	}
	if c.TLSCert != "" && c.TLSKey != "" {
		for _, f := range []Problem{{"KAFKA_TLS_CERT", c.TLSCert, ""}, {"KAFKA_TLS_KEY", c.TLSKey, ""}} {
			if _, err := os.ReadFile(f.Value); err != nil {
				f.Reason = "can't be read: " + cause(err)
				return nil, f
			}
		}
		pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
		if err != nil {
			return nil, Problem{"KAFKA_TLS_CERT", c.TLSCert, fmt.Sprintf("and KAFKA_TLS_KEY=%s are no pair: %v", c.TLSKey, err)}
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

func (c *Common) sasl() (sasl.Mechanism, error) {
	algorithm := scram.SHA512
	switch c.SASLMechanism {
	case "":
		return nil, nil
	case "PLAIN":
		return plain.Mechanism{Username: c.SASLUsername, Password: string(c.SASLPassword)}, nil
	case "SCRAM-SHA-256":
		algorithm = scram.SHA256
	}
	m, err := scram.Mechanism(algorithm, c.SASLUsername, string(c.SASLPassword))
	if err != nil {
		return nil, Problem{"KAFKA_SASL_USERNAME", c.SASLUsername, "or the password can't be used with SCRAM: " + err.Error()}
	}
	return m, nil
}
