package kafka_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/kafka"
	"github.com/windrow-io/windrow/pkg/sink/kafka/kafkatest"
	"github.com/windrow-io/windrow/pkg/sink/sinktest"
)

const (
	outTopic   = "out"
	maxMessage = 64 << 10
)

// target is a sink with a cluster in process.
type target struct {
	*kafkatest.Target
	fake *kfake.Cluster
	sink *kafka.Sink
}

func newTarget(t *testing.T, output sink.Output, opts ...kfake.Opt) target {
	t.Helper()
	fake, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(2)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	x := kafkatest.Open(t, fake.ListenAddrs(), outTopic, output)
	return target{x, fake, x.Sink().(*kafka.Sink)}
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, kafkatest.Backend(func(t *testing.T, output sink.Output) *kafkatest.Target {
		return newTarget(t, output).Target
	}))
}

func check(t *testing.T, s sink.Sink) {
	t.Helper()
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestCheckMakesTheTopic(t *testing.T) {
	x := newTarget(t, "", kfake.DefaultNumPartitions(5))
	check(t, x.sink)
	if got := x.sink.Learned(); got != (kafka.Limits{5, kafka.Usable(kafka.DefaultMaxBytes)}) {
		t.Errorf("learned %+v", got)
	}
	if x.sink.KnowsDead() {
		t.Error("the topic of dead letters was made before there is one")
	}
	g := x.sink.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	g.Dead(sinktest.Now, &sink.Dead{Record: &sinktest.Window(0, []byte("x")).Records[0], Reason: "not-json"})
	x.Write(t, g)
	if _, dead := x.Read(t); len(dead) != 1 {
		t.Errorf("%d dead letters, want 1", len(dead))
	}
}

// refuseCreate refuses to make topics, and counts how often it was asked.
func refuseCreate(fake *kfake.Cluster) (asked *atomic.Int64) {
	asked = new(atomic.Int64)
	fake.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		asked.Add(1)
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic, rt.ErrorCode = req.(*kmsg.CreateTopicsRequest).Topics[0].Topic, kerr.ClusterAuthorizationFailed.Code
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	return asked
}

// A topic of dead letters that can't be made is not asked for with every letter.
func TestDeadTopicCanNotBeMade(t *testing.T) {
	x := newTarget(t, "", kfake.SeedTopics(1, outTopic))
	check(t, x.sink)
	asked := refuseCreate(x.fake)
	g := x.sink.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	for i := range int64(50) {
		g.Dead(sinktest.Now, &sink.Dead{Record: &sinktest.Window(i, []byte("x")).Records[0], Reason: "not-json"})
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	if n := len(g.Batches()); n != 1 {
		t.Errorf("%d batches, want 1: the letters are not lost", n)
	}
}

func TestCheckSaysHowToMakeTheTopic(t *testing.T) {
	x := newTarget(t, "")
	refuseCreate(x.fake)
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
	if got := x.sink.Learned(); got != (kafka.Limits{3, kafka.Usable(kafka.DefaultMaxBytes)}) {
		t.Errorf("assumed %+v", got)
	}
}

func TestCheckRefusesAUselessLimit(t *testing.T) {
	x := newTarget(t, "", kfake.SeedTopics(1, outTopic))
	x.Alter(t, outTopic, 100)
	if err := x.sink.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "max.message.bytes is 100") {
		t.Errorf("got %v", err)
	}
}

// However much a topic allows, a batch has room, and is small enough to be sent with others.
func TestUsable(t *testing.T) {
	for maxBytes, want := range map[int]int{kafka.DefaultMaxBytes: 1040396, 1 << 20: 1<<20 - 8192, 16 << 20: 16<<20 - 131072, 1<<31 - 1: 16<<20 - 131072} {
		if got := kafka.Usable(maxBytes); got != want {
			t.Errorf("of %d bytes %d are usable, want %d", maxBytes, got, want)
		}
	}
}

func TestCheckAgainLearnsAnew(t *testing.T) {
	x := newTarget(t, "", kfake.SeedTopics(1, outTopic))
	check(t, x.sink)
	x.Alter(t, outTopic, maxMessage)
	check(t, x.sink)
	if got := x.sink.Learned(); got != (kafka.Limits{1, kafka.Usable(maxMessage)}) {
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

// Values travel byte for byte; keys decide the partition; what has none is in its shard's.
func TestBytesAndPartitions(t *testing.T) {
	x := newTarget(t, "", kfake.SeedTopics(4, outTopic))
	check(t, x.sink)
	g := x.sink.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	value := []byte(` {"b" : 1.50, "b":2,"é":"\u00e9\/"} `)
	for i := range int64(8) {
		g.Add(sinktest.Now, sinktest.Keyed(fmt.Appendf(nil, "key %d", i), i, value))
	}
	x.Write(t, g)
	for _, r := range x.Consume(t, outTopic) {
		if !bytes.Contains(r.Value, append(append([]byte("["), value...), ']')) {
			t.Errorf("the value is changed: %s", r.Value)
		}
		if want := kafka.PartitionOf(r.Key, 4); r.Partition != want {
			t.Errorf("key %q is in partition %d, want %d", r.Key, r.Partition, want)
		}
	}

	// Unkeyed: all of a shard in the partition of the shard's number, in order, also over several batches.
	for shard, want := range map[string]int32{"events/0": 0, "events/2": 2, "events/6": 2, "3": 3, "a/b/1": 1} {
		g := x.sink.Group(sinktest.Stream, sinktest.Pipeline, shard)
		for i := range int64(5) {
			g.Add(sinktest.Now, sinktest.Window(10+i, bytes.Repeat([]byte("1"), kafka.BatchBytes*2/3)))
		}
		for _, b := range g.Batches() {
			if b.Partition != want {
				t.Errorf("shard %s: a batch is in partition %d, want %d", shard, b.Partition, want)
			}
		}
		if n := len(g.Batches()); n != 5 {
			t.Errorf("%d batches, want 5", n)
		}
		x.Write(t, g)
	}
}

// A window larger than a batch of several is one record as long as the topic allows it.
func TestLargeLimit(t *testing.T) {
	x := newTarget(t, "", kfake.SeedTopics(1, outTopic))
	x.Alter(t, outTopic, 8<<20)
	check(t, x.sink)
	g := x.sink.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	g.Add(sinktest.Now, sinktest.Window(0, []byte("1")))
	g.Add(sinktest.Now, sinktest.Window(1, bytes.Repeat([]byte("2"), 3<<20)))
	g.Add(sinktest.Now, sinktest.Window(2, []byte("3")))
	if n := len(g.Batches()); n != 3 {
		t.Errorf("%d batches, want 3", n)
	}
	x.Write(t, g)
	if n := len(x.Consume(t, outTopic)); n != 3 {
		t.Errorf("%d windows, want 3", n)
	}
}
