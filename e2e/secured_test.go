package e2e

import (
	"strings"
	"testing"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// Kafka behind TLS: with a password, and with a client's certificate.
func TestSecuredKafka(t *testing.T) {
	t.Parallel()
	const partitions, n, size = 2, 500, 100
	k := lab.Kafka(t, lab.WithSecurity())
	s := k.Secure
	password := func(mechanism string) []string {
		return []string{
			"KAFKA_BROKERS=" + s.SASLAddr, "KAFKA_TLS=true", "KAFKA_TLS_CA=" + s.CAFile,
			"KAFKA_SASL_MECHANISM=" + mechanism, "KAFKA_SASL_USERNAME=" + s.User, "KAFKA_SASL_PASSWORD=" + s.Password,
		}
	}
	for name, settings := range map[string][]string{
		"PLAIN":         password("PLAIN"),
		"SCRAM-SHA-256": password("SCRAM-SHA-256"),
		"SCRAM-SHA-512": password("SCRAM-SHA-512"),
		"certificate": {
			"KAFKA_BROKERS=" + s.TLSAddr, "KAFKA_TLS=true",
			"KAFKA_TLS_CA=" + s.CAFile, "KAFKA_TLS_CERT=" + s.CertFile, "KAFKA_TLS_KEY=" + s.KeyFile,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{job.On(t, k, lab.Redis(t))}
			w.CreateTopics(partitions)
			w.Produce(partitions, 0, n)
			programs := []*lab.Program{w.Ingest(settings...), w.Worker(append(settings, mainWindows...)...)}
			out := w.Collect(w.Out)
			out.UntilRecords(partitions * n)
			lab.Stop(t, programs...)
			job.RequireExact(t, w.Job, out.All(), partitions, n, size)
			for _, p := range programs {
				if strings.Contains(p.Log(), s.Password) {
					t.Errorf("%s logs the password", p.Name)
				}
			}
		})
	}
}
