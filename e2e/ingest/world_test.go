// Package ingest tests the ingest program against a real Kafka and a real Redis: what brokers do when they restart,
// delete, compact and expire, and what Redis does when it is full, no stand-in shows.
package ingest

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/lab"
	"github.com/windrow-io/windrow/internal/lanetest"
)

func TestMain(m *testing.M) { lab.Main(m) }

// world is a stream with its servers.
type world struct {
	t      *testing.T
	kafka  *lab.KafkaServer
	redis  *lab.RedisServer
	rdb    *redis.Client
	stream string
	topic  string
}

func newWorld(t *testing.T, k *lab.KafkaServer, redisOptions ...string) *world {
	t.Helper()
	name := lab.Name(t)
	w := &world{t: t, kafka: k, redis: lab.Redis(t, redisOptions...), stream: name, topic: name}
	w.rdb = w.redis.Client(t)
	return w
}

// ingest starts the program on the stream's topic; later settings win.
func (w *world) ingest(env ...string) *lab.Program {
	w.t.Helper()
	return lab.Start(w.t, "ingest", append([]string{
		"STREAM=" + w.stream, "REDIS_URL=redis://" + w.redis.Addr, "KAFKA_BROKERS=" + w.kafka.Addr, "KAFKA_TOPICS=" + w.topic, "LOG_LEVEL=debug",
	}, env...)...)
}

// numbered makes n records of a partition whose values count on from first.
func (w *world) numbered(partition int32, first, n int) []*kgo.Record {
	rs := make([]*kgo.Record, n)
	for i := range rs {
		rs[i] = &kgo.Record{Topic: w.topic, Partition: partition, Value: fmt.Appendf(nil, "%d-%d", partition, first+i)}
	}
	return rs
}

func values(partition, first, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%d-%d", partition, first+i)
	}
	return out
}

func (w *world) entries(lane string) []lanetest.Entry {
	w.t.Helper()
	return lanetest.Entries(w.t, w.rdb, w.stream, lane)
}

func (w *world) values(lane string) []string {
	w.t.Helper()
	return lanetest.Values(w.t, w.rdb, w.stream, lane)
}

func (w *world) expect(lane string, want []string) {
	w.t.Helper()
	lanetest.Expect(w.t, w.rdb, w.stream, lane, want)
}
