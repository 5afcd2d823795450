package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Secure is a server's TLS listeners: one that asks for a user and a password (SASL), one that asks for a certificate.
type Secure struct {
	SASLAddr string // host:port: TLS with SASL PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	TLSAddr  string // host:port: TLS with a client's certificate

	CAFile, CertFile, KeyFile string // PEM: what a client trusts, and what it shows
	User, Password            string

	serverFile string // PEM: the server's key and certificate
}

func newSecure(dir string) (*Secure, error) {
	s := &Secure{
		CAFile: filepath.Join(dir, "ca.pem"), CertFile: filepath.Join(dir, "client.pem"), KeyFile: filepath.Join(dir, "client.key"),
		User: "windrow", Password: "c0rrect-horse",
		serverFile: filepath.Join(dir, "server.pem"),
	}
	for _, addr := range []*string{&s.SASLAddr, &s.TLSAddr} {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		*addr = address(port)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return s, s.writeCertificates()
}

func (s *Secure) listeners() listenerList {
	return listenerList{
		{name: "SASL", protocol: "SASL_SSL", addr: s.SASLAddr},
		{name: "TLS", protocol: "SSL", addr: s.TLSAddr},
	}
}

func (s *Secure) properties() []string {
	const plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
	const scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
	return []string{
		"ssl.keystore.type=PEM",
		"ssl.keystore.location=" + s.serverFile,
		"ssl.truststore.type=PEM",
		"ssl.truststore.location=" + s.CAFile,
		"listener.name.tls.ssl.client.auth=required",
		"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		fmt.Sprintf("listener.name.sasl.plain.sasl.jaas.config=%s required user_%s=%q;", plain, s.User, s.Password),
		fmt.Sprintf("listener.name.sasl.scram-sha-256.sasl.jaas.config=%s required;", scram),
		fmt.Sprintf("listener.name.sasl.scram-sha-512.sasl.jaas.config=%s required;", scram),
	}
}

// scramUsers are the arguments of Kafka's format command that make the user known.
func (s *Secure) scramUsers() []string {
	var args []string
	for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
		args = append(args, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, s.User, s.Password))
	}
	return args
}

func (s *Secure) writeCertificates() error {
	ca, err := newKeyPair("windrow test authority", nil)
	if err != nil {
		return err
	}
	server, err := newKeyPair("localhost", ca)
	if err != nil {
		return err
	}
	client, err := newKeyPair("client", ca)
	if err != nil {
		return err
	}
	for file, content := range map[string][]byte{
		s.CAFile:     ca.certificate,
		s.serverFile: append(server.key, server.certificate...),
		s.CertFile:   client.certificate,
		s.KeyFile:    client.key,
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// keyPair is a private key and its certificate, as PEM and as they are.
type keyPair struct {
	key, certificate []byte
	private          *ecdsa.PrivateKey
	parsed           *x509.Certificate
}

// newKeyPair makes a certificate signed by ca, or, without one, an authority.
func newKeyPair(name string, ca *keyPair) (*keyPair, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, private
	if ca == nil {
		template.IsCA, template.BasicConstraintsValid = true, true
		template.KeyUsage |= x509.KeyUsageCertSign
	} else {
		parent, signer = ca.parsed, ca.private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	return &keyPair{
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		private:     private,
		parsed:      parsed,
	}, nil
}
