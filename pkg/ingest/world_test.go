package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap/zaptest"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/record"
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
	opts := []kfake.Opt{kfake.NumBrokers(brokers), kfake.GroupMinSessionTimeout(time.Second)}
	if len(topics) > 0 {
		opts = append(opts, kfake.SeedTopics(2, topics...))
	}
	k, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	w := &world{t: t, kafka: k, redis: miniredis.RunT(t)}
	w.addr = w.redis.Addr()
	w.rdb = redis.NewClient(&redis.Options{Addr: w.addr})
	t.Cleanup(func() { _ = w.rdb.Close() })
	w.p = w.client()
	return w
}

func (w *world) client(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	p, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(w.kafka.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(10 * time.Millisecond), kgo.UnknownTopicRetries(50)}, opts...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Close)
	return p
}

// produce writes n records whose values are name, the partition and a number counted from first.
func (w *world) produce(topic string, partition int32, name string, first, n int) {
	w.t.Helper()
	rs := make([]*kgo.Record, n)
	for i := range rs {
		rs[i] = &kgo.Record{Topic: topic, Partition: partition, Value: fmt.Appendf(nil, "%s-%d-%d", name, partition, first+i)}
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	if err := w.p.ProduceSync(ctx, rs...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

func values(name string, partition int32, first, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%d-%d", name, partition, first+i)
	}
	return out
}

func (w *world) admin(req kmsg.Request) kmsg.Response {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	res, err := w.p.Request(ctx, req)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

// createTopic makes a topic; settings are pairs of names and values.
func (w *world) createTopic(name string, partitions int32, settings ...string) {
	w.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 5000
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = name, partitions, 1
	for i := 0; i+1 < len(settings); i += 2 {
		rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: settings[i], Value: &settings[i+1]})
	}
	req.Topics = append(req.Topics, rt)
	if res := w.admin(req).(*kmsg.CreateTopicsResponse); res.Topics[0].ErrorCode != 0 {
		w.t.Fatal("CreateTopics: code", res.Topics[0].ErrorCode)
	}
}

func (w *world) deleteTopic(name string) {
	w.t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis, req.TopicNames = 5000, []string{name}
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.Topic = &name
	req.Topics = append(req.Topics, rt)
	if res := w.admin(req).(*kmsg.DeleteTopicsResponse); res.Topics[0].ErrorCode != 0 {
		w.t.Fatal("DeleteTopics: code", res.Topics[0].ErrorCode)
	}
}

func (w *world) addPartitions(name string, count int32) {
	w.t.Helper()
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = 5000
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = name, count
	req.Topics = append(req.Topics, rt)
	if res := w.admin(req).(*kmsg.CreatePartitionsResponse); res.Topics[0].ErrorCode != 0 {
		w.t.Fatal("CreatePartitions: code", res.Topics[0].ErrorCode)
	}
}

func (w *world) deleteRecords(topic string, partition int32, before int64) {
	w.t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 5000
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Partition, rp.Offset = partition, before
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	if res := w.admin(req).(*kmsg.DeleteRecordsResponse); res.Topics[0].Partitions[0].ErrorCode != 0 {
		w.t.Fatal("DeleteRecords: code", res.Topics[0].Partitions[0].ErrorCode)
	}
}

// committed returns the offset the group has committed, -1 for none.
func (w *world) committed(group, topic string, partition int32) int64 {
	w.t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	rt := kmsg.NewOffsetFetchRequestTopic()
	rt.Topic, rt.Partitions = topic, []int32{partition}
	req.Topics = append(req.Topics, rt)
	rg := kmsg.NewOffsetFetchRequestGroup()
	rg.Group = group
	rgt := kmsg.NewOffsetFetchRequestGroupTopic()
	rgt.Topic, rgt.Partitions = topic, []int32{partition}
	rg.Topics = append(rg.Topics, rgt)
	req.Groups = append(req.Groups, rg)
	res := w.admin(req).(*kmsg.OffsetFetchResponse)
	if len(res.Groups) > 0 && len(res.Groups[0].Topics) > 0 {
		return res.Groups[0].Topics[0].Partitions[0].Offset
	}
	if len(res.Topics) > 0 {
		return res.Topics[0].Partitions[0].Offset
	}
	return -1
}

// buffer opens the stream.
func (w *world) buffer() *buffer.Buffer {
	w.t.Helper()
	b, err := buffer.Open(buffer.Options{URL: "redis://" + w.addr, Stream: "s"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = b.Close() })
	return b
}

// entry is what a lane holds.
type entry struct {
	id         string
	from, next int64
	values     []string
}

// entries reads a lane.
func (w *world) entries(lane string) []entry {
	w.t.Helper()
	shard, _, _ := strings.Cut(lane, "@")
	msgs, err := w.rdb.XRange(context.Background(), fmt.Sprintf("windrow:{s/%s}:lane:%s", shard, lane), "-", "+").Result()
	if err != nil {
		w.t.Fatal(err)
	}
	var es []entry
	var d record.Decoder
	for _, m := range msgs {
		e := entry{id: m.ID}
		text := func(field string) string { v, _ := m.Values[field].(string); return v }
		if _, err := fmt.Sscan(text("f")+" "+text("n"), &e.from, &e.next); err != nil {
			w.t.Fatalf("lane %s entry %s: %v", lane, m.ID, err)
		}
		for p := []byte(text("b")); len(p) > 0; {
			b, rest, err := record.ParseBatch(p)
			if err == nil {
				err = b.CheckCRC()
			}
			if err != nil {
				w.t.Fatal(err)
			}
			d.Reset()
			if err := d.Decode(&b, &record.Record{}, e.from, func(r *record.Record) {
				if r.Offset < e.next {
					e.values = append(e.values, string(r.Value))
				}
			}); err != nil {
				w.t.Fatal(err)
			}
			p = rest
		}
		es = append(es, e)
	}
	return es
}

// lane reads a lane and checks that its entries follow one another without gap or repeat.
func (w *world) lane(lane string) []entry {
	w.t.Helper()
	es := w.entries(lane)
	for i, e := range es {
		if i > 0 && es[i-1].next != e.from {
			w.t.Fatalf("lane %s: entry %s begins at %d, the one before ends at %d", lane, e.id, e.from, es[i-1].next)
		}
		if e.next <= e.from {
			w.t.Fatalf("lane %s: entry %s covers %d to %d", lane, e.id, e.from, e.next)
		}
	}
	return es
}

func (w *world) values(lane string) []string {
	w.t.Helper()
	var all []string
	for _, e := range w.lane(lane) {
		all = append(all, e.values...)
	}
	return all
}

// expect waits until a lane holds exactly these values.
func (w *world) expect(lane string, want []string) {
	w.t.Helper()
	var got []string
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
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
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
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
	eventually(t, fmt.Sprintf("condition %s says %q", name, words), func() bool {
		err, _ := c.get(name)
		return err != nil && strings.Contains(err.Error(), words)
	})
}

func (c *conditions) met(t *testing.T, name string) {
	t.Helper()
	eventually(t, "condition "+name+" is met", func() bool { err, known := c.get(name); return known && err == nil })
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
