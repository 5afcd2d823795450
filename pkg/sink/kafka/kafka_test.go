package kafka

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/sinktest"
)

const (
	outTopic  = "out"
	deadTopic = "out.dead"
)

// target is a sink, its cluster in process, and readers of another make.
type target struct {
	fake    *kfake.Cluster
	cluster *wire.Cluster
	sink    *Sink
	output  sink.Output
}

func newTarget(t *testing.T, output sink.Output, opts ...kfake.Opt) *target {
	t.Helper()
	fake, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(2)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	c := wire.New(wire.Config{Brokers: fake.ListenAddrs(), ClientID: "sink-test"})
	t.Cleanup(c.Close)
	s := New(c, Options{Topic: outTopic, Output: output})
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return &target{fake: fake, cluster: c, sink: s, output: output}
}

func (x *target) Sink() sink.Sink { return x.sink }

// Write sends the batches, one after the other where they go to one partition.
func (x *target) Write(t *testing.T, g sink.Group) {
	t.Helper()
	for _, b := range g.Batches() {
		raw, err := b.Builder.Seal(record.Producer{ID: -1, Epoch: -1}, -1, false, record.None)
		if err != nil {
			t.Fatal(err)
		}
		leader, err := x.cluster.Leader(t.Context(), b.Topic, b.Partition)
		if err != nil {
			t.Fatal(err)
		}
		got, err := x.cluster.Produce(t.Context(), leader, "", []wire.Raw{{Topic: b.Topic, Partition: b.Partition, Bytes: raw}}, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Err != nil {
			t.Fatalf("a batch of %d bytes for %s/%d: %v", len(raw), b.Topic, b.Partition, got[0].Err)
		}
	}
}

// consume reads all of a topic, partition after partition.
func (x *target) consume(t *testing.T, topic string) (records []*kgo.Record) {
	t.Helper()
	topics, err := x.cluster.Topics(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	if topics[0].Err != nil {
		return nil
	}
	var partitions []int32
	for _, p := range topics[0].Partitions {
		partitions = append(partitions, p.ID)
	}
	ends, err := x.cluster.Offsets(t.Context(), topic, partitions, wire.Latest, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range partitions {
		if ends[p] == 0 {
			continue
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(x.fake.ListenAddrs()...), kgo.FetchMaxWait(50*time.Millisecond),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {p: kgo.NewOffset().AtStart()}}))
		if err != nil {
			t.Fatal(err)
		}
		for next := int64(0); next < ends[p]; {
			fetches := client.PollFetches(t.Context())
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				records = append(records, r)
				next = r.Offset + 1
			})
		}
		client.Close()
	}
	return records
}

func (x *target) Read(t *testing.T) (out []sinktest.Item, dead []map[string]any) {
	t.Helper()
	for _, r := range x.consume(t, outTopic) {
		it := sinktest.Item{Key: r.Key, Value: sinktest.As(r.Value)}
		if r.Timestamp.UnixMilli() != sinktest.Now {
			t.Errorf("a record's timestamp is %d, want now", r.Timestamp.UnixMilli())
		}
		if x.output == sink.OutputRecords && header(r, HeaderID) == "" {
			for _, h := range r.Headers {
				it.Headers = append(it.Headers, record.Header{Key: h.Key, Value: h.Value})
			}
		} else {
			it.ID = header(r, HeaderID)
			if m, ok := it.Value.(map[string]any); ok && m["id"] != nil {
				if m["id"] != it.ID || fmt.Sprint(m["start"]) != header(r, HeaderStart) || fmt.Sprint(m["end"]) != header(r, HeaderEnd) {
					t.Errorf("the headers %q don't fit the window", r.Headers)
				}
			}
		}
		out = append(out, it)
	}
	for _, r := range x.consume(t, deadTopic) {
		l := sinktest.Decode(r.Value).(map[string]any)
		if l["id"] != header(r, HeaderID) {
			t.Errorf("the header %q doesn't fit the dead letter %v", header(r, HeaderID), l["id"])
		}
		dead = append(dead, l)
	}
	return out, dead
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// alter sets a topic's max.message.bytes.
func (x *target) alter(t *testing.T, topic string, maxBytes int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(x.fake.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	cfg := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	cfg.Name, cfg.Value = "max.message.bytes", kmsg.StringPtr(strconv.Itoa(maxBytes))
	res.Configs = append(res.Configs, cfg)
	req.Resources = append(req.Resources, res)
	resp, err := req.RequestWith(t.Context(), client)
	if err == nil {
		err = kerr.ErrorForCode(resp.Resources[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

const maxMessage = 64 << 10

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Backend{Ordered: true, Keys: true, Limit: usable(maxMessage),
		Open: func(t *testing.T, output sink.Output) sinktest.Target {
			x := newTarget(t, output, kfake.SeedTopics(3, outTopic, deadTopic))
			x.alter(t, outTopic, maxMessage)
			x.alter(t, deadTopic, maxMessage)
			return x
		}})
}

func check(t *testing.T, s *Sink) {
	t.Helper()
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestCheckMakesTheTopic(t *testing.T) {
	x := newTarget(t, "", kfake.DefaultNumPartitions(5))
	check(t, x.sink)
	if got := x.sink.out.limits(); got != (limits{5, usable(defaultMaxBytes)}) {
		t.Errorf("learned %+v", got)
	}
	if x.sink.dead.now.Load() != nil {
		t.Error("the topic of dead letters was made before there is one")
	}
	g := x.sink.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	g.Dead(sinktest.Now, &sink.Dead{Record: &sinktest.Window(0, []byte("x")).Records[0], Reason: "not-json"})
	x.Write(t, g)
	if _, dead := x.Read(t); len(dead) != 1 {
		t.Errorf("%d dead letters, want 1", len(dead))
	}
}

func TestCheckSaysHowToMakeTheTopic(t *testing.T) {
	x := newTarget(t, "")
	x.fake.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
		x.fake.KeepControl()
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic, rt.ErrorCode = outTopic, kerr.ClusterAuthorizationFailed.Code
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	err := x.sink.Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "kafka-topics.sh --create --topic out") {
		t.Errorf("got %v", err)
	}
}

func TestCheckWithoutTheRightToReadTheConfiguration(t *testing.T) {
	x := newTarget(t, "", kfake.SeedTopics(3, outTopic))
	x.fake.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		x.fake.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		r := kmsg.NewDescribeConfigsResponseResource()
		r.ResourceType, r.ResourceName, r.ErrorCode = kmsg.ConfigResourceTypeTopic, outTopic, kerr.TopicAuthorizationFailed.Code
		resp.Resources = append(resp.Resources, r)
		return resp, nil, true
	})
	check(t, x.sink)
	if got := x.sink.out.limits(); got != (limits{3, usable(defaultMaxBytes)}) {
		t.Errorf("assumed %+v", got)
	}
}

func TestCheckRefusesAUselessLimit(t *testing.T) {
	x := newTarget(t, "", kfake.SeedTopics(1, outTopic))
	x.alter(t, outTopic, 100)
	if err := x.sink.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "max.message.bytes is 100") {
		t.Errorf("got %v", err)
	}
}

func TestCheckAgainLearnsAnew(t *testing.T) {
	x := newTarget(t, "", kfake.SeedTopics(1, outTopic))
	check(t, x.sink)
	x.alter(t, outTopic, maxMessage)
	check(t, x.sink)
	if got := x.sink.out.limits(); got != (limits{1, usable(maxMessage)}) {
		t.Errorf("learned %+v", got)
	}
}

func TestCheckOfAClusterThatIsAway(t *testing.T) {
	x := newTarget(t, "")
	x.fake.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := x.sink.Check(ctx); err == nil || !wire.Retry(err) && ctx.Err() == nil {
		t.Errorf("got %v, want an error to be retried", err)
	}
}

// Values travel byte for byte; keys decide the partition; what has none fills one partition after the other.
func TestBytesAndPartitions(t *testing.T) {
	x := newTarget(t, "", kfake.SeedTopics(4, outTopic))
	check(t, x.sink)
	g := x.sink.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	value := []byte(` {"b" : 1.50, "b":2,"é":"\u00e9\/"} `)
	for i := range int64(8) {
		g.Add(sinktest.Now, sinktest.Keyed(fmt.Appendf(nil, "key %d", i), i, value))
	}
	x.Write(t, g)
	for _, r := range x.consume(t, outTopic) {
		if !bytes.Contains(r.Value, append(append([]byte("["), value...), ']')) {
			t.Errorf("the value is changed: %s", r.Value)
		}
		if want := partitionOf(r.Key, 4); r.Partition != want {
			t.Errorf("key %q is in partition %d, want %d", r.Key, r.Partition, want)
		}
	}

	// Unkeyed: a small group in one partition, another group's in another; a large group's full batches move on.
	used := func(g sink.Group) (ps []int32) {
		for _, b := range g.Batches() {
			ps = append(ps, b.Partition)
		}
		return ps
	}
	g.Reset()
	for i := range int64(5) {
		g.Add(sinktest.Now, sinktest.Window(10+i, value))
	}
	first := used(g)
	g.Reset()
	g.Add(sinktest.Now, sinktest.Window(11, value))
	second := used(g)
	if len(first) != 1 || len(second) != 1 || second[0] != (first[0]+1)%4 {
		t.Errorf("partitions %v, then %v: want one, then the one after it", first, second)
	}
	g.Reset()
	for i := range int64(5) {
		g.Add(sinktest.Now, sinktest.Window(10+i, bytes.Repeat([]byte("1"), batchBytes*2/3)))
	}
	f := first[0]
	if got, want := fmt.Sprint(used(g)), fmt.Sprint([]int32{f, (f + 1) % 4, (f + 2) % 4, (f + 3) % 4, f}); got != want {
		t.Errorf("full batches are in partitions %v, want %v", got, want)
	}
	x.Write(t, g)
}

// A window larger than a batch of several is one record as long as the topic allows it.
func TestLargeLimit(t *testing.T) {
	x := newTarget(t, "", kfake.SeedTopics(1, outTopic))
	x.alter(t, outTopic, 8<<20)
	check(t, x.sink)
	g := x.sink.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	g.Add(sinktest.Now, sinktest.Window(0, []byte("1")))
	g.Add(sinktest.Now, sinktest.Window(1, bytes.Repeat([]byte("2"), 3<<20)))
	g.Add(sinktest.Now, sinktest.Window(2, []byte("3")))
	if n := len(g.Batches()); n != 3 {
		t.Errorf("%d batches, want 3", n)
	}
	x.Write(t, g)
	if out, _ := x.Read(t); len(out) != 3 {
		t.Errorf("%d windows, want 3", len(out))
	}
}

// What a burst needed is given back.
func TestMemoryIsGivenBack(t *testing.T) {
	x := newTarget(t, "", kfake.SeedTopics(1, outTopic))
	check(t, x.sink)
	g := x.sink.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard).(*group)
	for i := range int64(40) {
		g.Add(sinktest.Now, sinktest.Window(i, bytes.Repeat([]byte("1"), batchBytes*2/3)))
	}
	g.Reset()
	for i := range int64(2 * keepResets) {
		g.Add(sinktest.Now, sinktest.Window(i, []byte("1")))
		g.Reset()
	}
	if len(g.out.free) > 1 {
		t.Errorf("%d batches are kept, want 1", len(g.out.free))
	}
}
