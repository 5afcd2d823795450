package main

import (
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/windrow-io/windrow/internal/config"
)

// kafkaOptions are what franz-go must know of TLS and SASL.
func kafkaOptions(c *config.Common) ([]kgo.Opt, error) {
	k, err := c.Kafka()
	if err != nil {
		return nil, err
	}
	var options []kgo.Opt
	if k.TLS != nil {
		options = append(options, kgo.DialTLSConfig(k.TLS))
	}
	user, password := c.SASLUsername, string(c.SASLPassword)
	switch c.SASLMechanism {
	case "PLAIN":
		options = append(options, kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism()))
	case "SCRAM-SHA-256":
		options = append(options, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha256Mechanism()))
	case "SCRAM-SHA-512":
		options = append(options, kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha512Mechanism()))
	}
	return options, nil
}
