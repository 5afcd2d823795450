// Package ingest tests the ingest program against a real Kafka and a real Redis: what brokers do when they restart,
// delete, compact and expire, and what Redis does when it is full, no stand-in shows.
package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/lab"
	"github.com/windrow-io/windrow/pkg/record"
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

// entry is one entry of a lane.
type entry struct {
	from, next int64
	values     []string
}

func (w *world) entries(lane string) []entry {
	w.t.Helper()
	shard, _, _ := strings.Cut(lane, "@")
	messages, err := w.rdb.XRange(context.Background(), lab.LaneKey(w.stream, shard, lane), "-", "+").Result()
	if err != nil {
		w.t.Fatal(err)
	}
	var es []entry
	var d record.Decoder
	for _, m := range messages {
		var e entry
		text := func(field string) string { v, _ := m.Values[field].(string); return v }
		if _, err := fmt.Sscan(text("f")+" "+text("n"), &e.from, &e.next); err != nil {
			w.t.Fatalf("lane %s entry %s: %v", lane, m.ID, err)
		}
		for p := []byte(text("b")); len(p) > 0; {
			b, rest, err := record.ParseBatch(p)
			if err == nil {
				err = b.CheckCRC()
			}
			if err == nil {
				d.Reset()
				err = d.Decode(&b, &record.Record{}, e.from, func(r *record.Record) {
					if r.Offset < e.next {
						e.values = append(e.values, string(r.Value))
					}
				})
			}
			if err != nil {
				w.t.Fatalf("lane %s entry %s: %v", lane, m.ID, err)
			}
			p = rest
		}
		es = append(es, e)
	}
	return es
}

// values are the records of a lane, which must be without gap or repeat.
func (w *world) values(lane string) []string {
	w.t.Helper()
	var all []string
	es := w.entries(lane)
	for i, e := range es {
		if i > 0 && es[i-1].next != e.from {
			w.t.Fatalf("lane %s: an entry begins at %d, the one before ends at %d", lane, e.from, es[i-1].next)
		}
		all = append(all, e.values...)
	}
	return all
}

// expect waits until a lane holds exactly these records.
func (w *world) expect(lane string, want []string) {
	w.t.Helper()
	var got []string
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got = w.values(lane)
		if slices.Equal(got, want) {
			return
		}
		if len(got) > len(want) || time.Now().After(end) {
			w.t.Fatalf("lane %s: %d records %s, want %d %s", lane, len(got), brief(got), len(want), brief(want))
		}
	}
}

func brief(vs []string) string {
	if len(vs) > 6 {
		vs = append(slices.Clone(vs[:3]), append([]string{"…"}, vs[len(vs)-3:]...)...)
	}
	return strings.Join(vs, " ")
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 60 s: %s", what)
		}
	}
}
