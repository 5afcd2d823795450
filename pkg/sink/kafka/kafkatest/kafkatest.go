// Package kafkatest lets the Kafka sink go through the sinks' conformance suite, on whatever cluster there is: its groups
// are written in transactions, and read back by a client of another make.
package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	driver "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/kafka"
	"github.com/windrow-io/windrow/pkg/sink/sinktest"
)

const (
	maxMessage = 64 << 10 // max.message.bytes of the topics; the sink leaves 1/128 of it
	partitions = 3
	patience   = 20 * time.Second
)

// Backend is the Kafka sink, opened for each test by open, whose topics must not exist yet.
func Backend(open func(t *testing.T, output sink.Output) *Target) sinktest.Backend {
	return sinktest.Backend{Ordered: true, Keys: true, Limit: maxMessage - maxMessage/128,
		Open: func(t *testing.T, output sink.Output) sinktest.Target {
			x := open(t, output)
			for _, topic := range []string{x.Topic, x.Topic + ".dead"} {
				x.Create(t, topic, partitions)
				x.Alter(t, topic, maxMessage)
			}
			return x
		}}
}

// Target is a sink and its topic.
type Target struct {
	Topic   string
	Cluster *wire.Cluster
	sink    *kafka.Sink
	output  sink.Output
	client  *kgo.Client
}

// Open makes a sink. The topic is neither made nor looked at.
func Open(t *testing.T, brokers []string, topic string, output sink.Output) *Target {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	c := wire.New(wire.Config{Brokers: brokers, ClientID: "sink-test"})
	t.Cleanup(c.Close)
	s := kafka.New(c, kafka.Options{Topic: topic, Output: output})
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return &Target{Topic: topic, Cluster: c, sink: s, output: output, client: client}
}

// Create makes a topic.
func (x *Target) Create(t *testing.T, topic string, partitions int32) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, partitions, 1
	req.Topics = append(req.Topics, rt)
	req.TimeoutMillis = int32(patience.Milliseconds())
	resp, err := req.RequestWith(t.Context(), x.client)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Alter sets a topic's max.message.bytes, and waits until it can be seen.
func (x *Target) Alter(t *testing.T, topic string, maxBytes int) {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	cfg := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	cfg.Name, cfg.Value = "max.message.bytes", kmsg.StringPtr(strconv.Itoa(maxBytes))
	res.Configs = append(res.Configs, cfg)
	req.Resources = append(req.Resources, res)
	resp, err := req.RequestWith(t.Context(), x.client)
	if err == nil {
		err = kerr.ErrorForCode(resp.Resources[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the new max.message.bytes", func() error {
		ask := kmsg.NewPtrDescribeConfigsRequest()
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{cfg.Name}
		ask.Resources = append(ask.Resources, r)
		got, err := ask.RequestWith(t.Context(), x.client)
		if err != nil {
			return err
		}
		for _, c := range got.Resources[0].Configs {
			if c.Name == cfg.Name && c.Value != nil && *c.Value == *cfg.Value {
				return nil
			}
		}
		return errors.New("not there yet")
	})
}

func until(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Sink is the sink under test.
func (x *Target) Sink() sink.Sink { return x.sink }

// Write writes the group in a transaction of its own.
func (x *Target) Write(t *testing.T, g sink.Group) {
	t.Helper()
	batches := g.Batches()
	if len(batches) == 0 {
		return
	}
	txn := x.Cluster.Transaction(fmt.Sprintf("sink-test-%s-%p", x.Topic, g), patience)
	var p record.Producer
	retry := func(what string, call func() error) {
		t.Helper()
		until(t, what, func() error {
			if err := call(); err == nil || wire.Retry(err) {
				return err
			} else {
				t.Fatalf("%s: %v", what, err)
				return nil
			}
		})
	}
	retry("begin", func() (err error) { p, err = txn.Init(t.Context()); return err })
	added := map[string][]int32{}
	sequence := map[string]int32{}
	for _, b := range batches {
		at := fmt.Sprint(b.Topic, "/", b.Partition)
		if _, ok := sequence[at]; !ok {
			added[b.Topic] = append(added[b.Topic], b.Partition)
			sequence[at] = 0
		}
	}
	retry("add", func() error { return txn.Add(t.Context(), p, added) })
	for _, b := range batches {
		at := fmt.Sprint(b.Topic, "/", b.Partition)
		raw, err := b.Builder.Seal(p, sequence[at], true, record.None)
		if err != nil {
			t.Fatal(err)
		}
		leader, err := x.Cluster.Leader(t.Context(), b.Topic, b.Partition)
		if err != nil {
			t.Fatal(err)
		}
		got, err := x.Cluster.Produce(t.Context(), leader, txn.ID(), []wire.Raw{{Topic: b.Topic, Partition: b.Partition, Bytes: raw}}, patience)
		if err == nil {
			err = got[0].Err
		}
		if err != nil {
			t.Fatalf("a batch of %d bytes for %s: %v", len(raw), at, err)
		}
		sequence[at] += int32(b.Builder.Len())
	}
	retry("commit", func() error { return txn.End(t.Context(), p, true) })
}

// Consume reads all that is committed of a topic, partition after partition; nothing if there is no such topic.
func (x *Target) Consume(t *testing.T, topic string) (records []*kgo.Record) {
	t.Helper()
	topics, err := x.Cluster.Topics(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	if errors.Is(topics[0].Err, driver.UnknownTopicOrPartition) {
		return nil
	}
	for p := range int32(len(topics[0].Partitions)) {
		var end int64
		until(t, "the end of what is committed", func() error {
			high, err := x.Cluster.Offsets(t.Context(), topic, []int32{p}, wire.Latest, false)
			if err != nil {
				return err
			}
			stable, err := x.Cluster.Offsets(t.Context(), topic, []int32{p}, wire.Latest, true)
			if err != nil {
				return err
			}
			if stable[p] < high[p] { // the marker of the last transaction is on its way
				return errors.New("a transaction is open")
			}
			end = stable[p]
			return nil
		})
		records = append(records, x.partition(t, topic, p, end)...)
	}
	return records
}

func (x *Target) partition(t *testing.T, topic string, p int32, end int64) (records []*kgo.Record) {
	t.Helper()
	if end == 0 {
		return nil
	}
	client, err := kgo.NewClient(append(x.client.Opts(), kgo.FetchMaxWait(50*time.Millisecond), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {p: kgo.NewOffset().AtStart()}}))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for next := int64(0); next < end; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%s/%d at %d of %d: %v", topic, p, next, end, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			if !r.Attrs.IsControl() {
				records = append(records, r)
			}
		})
	}
	return records
}

// Read reads both topics.
func (x *Target) Read(t *testing.T) (out []sinktest.Item, dead []map[string]any) {
	t.Helper()
	for _, r := range x.Consume(t, x.Topic) {
		it := sinktest.Item{Key: r.Key, Value: sinktest.As(r.Value)}
		if r.Timestamp.UnixMilli() != sinktest.Now {
			t.Errorf("a record's timestamp is %d, want now", r.Timestamp.UnixMilli())
		}
		if x.output == sink.OutputRecords && Header(r, kafka.HeaderID) == "" {
			for _, h := range r.Headers {
				it.Headers = append(it.Headers, record.Header{Key: h.Key, Value: h.Value})
			}
		} else {
			it.ID = Header(r, kafka.HeaderID)
			if m, ok := it.Value.(map[string]any); ok && m["id"] != nil {
				if m["id"] != it.ID || fmt.Sprint(m["start"]) != Header(r, kafka.HeaderStart) || fmt.Sprint(m["end"]) != Header(r, kafka.HeaderEnd) {
					t.Errorf("the headers %q don't fit the window", r.Headers)
				}
			}
		}
		out = append(out, it)
	}
	for _, r := range x.Consume(t, x.Topic+".dead") {
		l := sinktest.Decode(r.Value).(map[string]any)
		if l["id"] != Header(r, kafka.HeaderID) {
			t.Errorf("the header %q doesn't fit the dead letter %v", Header(r, kafka.HeaderID), l["id"])
		}
		dead = append(dead, l)
	}
	return out, dead
}

// Header is a header's value, or empty.
func Header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
