package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// faulty runs the main job while fault strikes whenever one of the parts of the output is there, and requires the output to
// be exact.
func (w *world) faulty(t *testing.T, parts []int, fault func(), settings ...string) {
	t.Helper()
	settings = append(settings, mainWindows...)
	programs := []*lab.Program{w.Ingest(settings[:len(settings)-len(mainWindows)]...), w.Worker(settings...), w.Worker(settings...)}
	fed := w.Trickle(mainPartitions, mainPerPartition, feeding)
	out := w.Collect(w.Out)
	for _, part := range parts {
		out.UntilRecords(mainTotal / part)
		fault()
	}
	<-fed
	out.UntilRecords(mainTotal)
	lab.Stop(t, programs...)
	job.RequireExact(t, w.Job, out.All(), mainPartitions, mainPerPartition, mainSize)
	job.RequireOrderInPartitions(t, out)
}

func privateWorld(t *testing.T, redis *lab.RedisServer, options ...lab.KafkaOption) *world {
	t.Helper()
	w := &world{job.On(t, lab.Kafka(t, append(options, lab.WithoutAutoCreate())...), redis)}
	w.CreateTopics(mainPartitions)
	return w
}

// A broker that does not answer for a while, but keeps its session: the programs' requests time out, their outcome is not
// known.
func TestMainJobWithBrokerPaused(t *testing.T) {
	t.Parallel()
	w := privateWorld(t, lab.Redis(t), lab.Property("broker.session.timeout.ms", "60000"))
	w.faulty(t, []int{8, 3}, func() {
		w.Kafka.Pause(t)
		time.Sleep(3 * time.Second)
		w.Kafka.Resume(t)
	})
}

// Requests take effect, and their replies are lost: appends, commits, the ends of transactions.
func TestMainJobWithKafkaRepliesLost(t *testing.T) {
	t.Parallel()
	w := privateWorld(t, lab.Redis(t), lab.BehindProxy())
	w.faulty(t, []int{10, 6, 4, 3, 2}, func() { loseReplies(w.Kafka.Proxy) }, "KAFKA_BROKERS="+w.Kafka.Proxy.Addr)
}

func TestMainJobWithRedisRepliesLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mainPartitions)
	proxy := lab.NewProxy(t, w.Redis.Addr)
	w.faulty(t, []int{10, 6, 4, 3, 2}, func() { loseReplies(proxy) }, "REDIS_URL=redis://"+proxy.Addr)
}

func loseReplies(p *lab.Proxy) {
	p.DropReplies()
	time.Sleep(300 * time.Millisecond) // of lost replies
	p.Accept()
}

// Redis comes back empty after a kill: all that it held was a cache.
func TestMainJobWithRedisKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mainPartitions)
	w.faulty(t, []int{6, 2}, func() {
		w.Redis.Kill()
		w.Redis.Start(t)
	})
}

// Workers come and go, and partitions are added: the shards go where there is a worker, and no restart is needed.
func TestScaling(t *testing.T) {
	t.Parallel()
	const few, many, n, size = 2, 5, 3_000, 100
	w := newWorld(t, few)
	ingest, first := w.Ingest(), w.Worker(mainWindows...)
	out := w.Collect(w.Out)
	w.Produce(few, 0, n)
	out.UntilRecords(few * n)

	if _, err := w.Kafka.Admin(t).CreatePartitions(t.Context(), many-few, w.Topic); err != nil {
		t.Fatal(err)
	}
	second, third := w.Worker(mainWindows...), w.Worker(mainWindows...)
	lab.WaitFor(t, job.Patience, "the source to have its partitions", func() bool { return w.partitions() == many })
	for p := few; p < many; p++ {
		w.Kafka.Produce(t, w.Inputs(p, 0, n))
	}
	out.UntilRecords(many * n)
	lab.WaitFor(t, job.Patience, "every worker to hold a shard", func() bool {
		for _, p := range []*lab.Program{first, second, third} {
			if shards, _ := p.Metric("windrow_process_shards"); shards == 0 {
				return false
			}
		}
		return true
	})
	lab.Stop(t, first, second)
	w.Produce(many, n, 2*n)
	out.UntilRecords(many * 2 * n)
	lab.Stop(t, ingest, third)
	job.RequireExact(t, w.Job, out.All(), many, 2*n, size)
	job.RequireOrderInPartitions(t, out)
}

func (w *world) partitions() int {
	w.T.Helper()
	details, err := w.Kafka.Admin(w.T).ListTopics(w.T.Context(), w.Topic)
	if err != nil {
		w.T.Fatal(err)
	}
	n := 0
	details.EachPartition(func(kadm.PartitionDetail) { n++ })
	return n
}

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
