package ingest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap/zaptest"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/internal/kafkatest"
	"github.com/windrow-io/windrow/internal/lanetest"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/buffer"
)

// world is a Kafka and a Redis in this process.
type world struct {
	t     *testing.T
	kafka *kfake.Cluster
	redis *miniredis.Miniredis
	addr  string // of Redis
	rdb   *redis.Client
	p     *kgo.Client
}

func newWorld(t *testing.T, brokers int, topics ...string) *world {
	t.Helper()
	opts := []kfake.Opt{kfake.GroupMinSessionTimeout(time.Second)}
	if len(topics) > 0 {
		opts = append(opts, kfake.SeedTopics(2, topics...))
	}
	k := kafkatest.Start(t, brokers, opts...)
	w := &world{t: t, kafka: k, redis: miniredis.RunT(t)}
	w.addr = w.redis.Addr()
	w.rdb = redis.NewClient(&redis.Options{Addr: w.addr})
	t.Cleanup(func() { _ = w.rdb.Close() })
	w.p = w.client()
	return w
}

func (w *world) client(opts ...kgo.Opt) *kgo.Client { return kafkatest.Client(w.t, w.kafka, opts...) }

// produce writes n records whose values are name, the partition and a number counted from first.
func (w *world) produce(topic string, partition int32, name string, first, n int) {
	w.t.Helper()
	kafkatest.Produce(w.t, w.p, topic, partition, values(name, partition, first, n)...)
}

func values(name string, partition int32, first, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%d-%d", name, partition, first+i)
	}
	return out
}

func (w *world) createTopic(name string, partitions int32, settings ...string) {
	w.t.Helper()
	kafkatest.CreateTopic(w.t, w.p, name, partitions, settings...)
}

func (w *world) committed(topic string, partition int32) int64 {
	w.t.Helper()
	return kafkatest.Committed(w.t, w.p, "s", topic, partition)
}

// directMax is DIRECT_MAX_BYTES.
const directMax = 1 << 20

// buffer opens the stream.
func (w *world) buffer() *buffer.Buffer {
	w.t.Helper()
	b, err := buffer.Open(buffer.Options{URL: "redis://" + w.addr, Stream: "s", DirectMaxBytes: directMax})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = b.Close() })
	return b
}

func (w *world) entries(lane string) []lanetest.Entry {
	w.t.Helper()
	return lanetest.Entries(w.t, w.rdb, "s", lane)
}

func (w *world) lane(lane string) []lanetest.Entry {
	w.t.Helper()
	return lanetest.Lane(w.t, w.rdb, "s", lane)
}

func (w *world) values(lane string) []string {
	w.t.Helper()
	return lanetest.Values(w.t, w.rdb, "s", lane)
}

func (w *world) expect(lane string, want []string) {
	w.t.Helper()
	lanetest.Expect(w.t, w.rdb, "s", lane, want)
}

// conditions keep what is reported.
type conditions struct {
	mu  sync.Mutex
	all map[string]error
}

func (c *conditions) Set(name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[string]error{}
	}
	c.all[name] = err
}

func (c *conditions) Warn(name string, err error) { c.Set(name, err) }

func (c *conditions) get(name string) (err error, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err, known = c.all[name]
	return err, known
}

// says waits until a condition is not met and its text holds the words.
func (c *conditions) says(t *testing.T, name, words string) {
	t.Helper()
	await.True(t, fmt.Sprintf("condition %s says %q", name, words), func() bool {
		err, _ := c.get(name)
		return err != nil && strings.Contains(err.Error(), words)
	})
}

func (c *conditions) met(t *testing.T, name string) {
	t.Helper()
	await.True(t, "condition "+name+" is met", func() bool { err, known := c.get(name); return known && err == nil })
}

// running is an ingest that runs.
type running struct {
	*Ingest
	conditions *conditions
	stop       func() error
}

// lane returns a lane that is assigned.
func (r *running) lane(name string) *lane {
	_, ls := r.assigned()
	for _, l := range ls {
		if l.tp.String() == name {
			return l
		}
	}
	return nil
}

func (w *world) start(o Options) *running {
	w.t.Helper()
	c := wire.New(wire.Config{Brokers: w.kafka.ListenAddrs(), ClientID: "test"})
	return w.startWith(c, o)
}

func (w *world) startWith(c *wire.Cluster, o Options) *running {
	w.t.Helper()
	if o.refresh == 0 {
		o.refresh = 100 * time.Millisecond
	}
	r := &running{conditions: &conditions{}}
	o.Cluster, o.Buffer, o.Conditions, o.Logger = c, w.buffer(), r.conditions, zaptest.NewLogger(w.t)
	if o.Group == "" {
		o.Group = "s"
	}
	in, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Ingest = in
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			c.Close()
			return err
		case <-time.After(20 * time.Second):
			w.t.Error("ingest does not stop")
			return nil
		}
	})
	w.t.Cleanup(func() { _ = r.stop() })
	return r
}

// flush empties Redis. (miniredis lets a WATCH pass over its FLUSHALL, which Redis does not.)
func (w *world) flush() {
	w.t.Helper()
	const all = `for _, k in ipairs(redis.call('KEYS', '*')) do redis.call('DEL', k) end return 1`
	if err := w.rdb.Eval(w.t.Context(), all, nil).Err(); err != nil {
		w.t.Fatal(err)
	}
}
