// Package kafkatest starts a Kafka in the test's process. It answers as a real one does, but for fencing, where it is
// stricter in places and laxer in others: what rests on that is tested on a real one.
package kafkatest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Start starts a cluster, ended with the test.
func Start(t testing.TB, brokers int, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	k, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(brokers)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// Client is a client of the cluster that writes to the partitions that its records name, and is closed with the test.
func Client(t testing.TB, k *kfake.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(k.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(10 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 5 * time.Millisecond }), kgo.UnknownTopicRetries(50),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Produce writes values to a partition as one batch, or at least in one go.
func Produce(t testing.TB, c *kgo.Client, topic string, partition int32, values ...string) {
	t.Helper()
	rs := make([]*kgo.Record, len(values))
	for i, v := range values {
		rs[i] = &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v)}
	}
	ask(t, "write to "+topic, func(ctx context.Context) error { return c.ProduceSync(ctx, rs...).FirstErr() })
}

// CreateTopic makes a topic; settings are pairs of names and values.
func CreateTopic(t testing.TB, c *kgo.Client, topic string, partitions int32, settings ...string) {
	t.Helper()
	configs := map[string]*string{}
	for i := 0; i+1 < len(settings); i += 2 {
		configs[settings[i]] = &settings[i+1]
	}
	ask(t, "create topic "+topic, func(ctx context.Context) error {
		_, err := kadm.NewClient(c).CreateTopic(ctx, partitions, 1, configs, topic)
		return err
	})
}

// DeleteTopic deletes a topic.
func DeleteTopic(t testing.TB, c *kgo.Client, topic string) {
	t.Helper()
	ask(t, "delete topic "+topic, func(ctx context.Context) error {
		_, err := kadm.NewClient(c).DeleteTopic(ctx, topic)
		return err
	})
}

// SetPartitions makes a topic have that many partitions, more than before.
func SetPartitions(t testing.TB, c *kgo.Client, topic string, count int) {
	t.Helper()
	ask(t, "add partitions to "+topic, func(ctx context.Context) error {
		r, err := kadm.NewClient(c).UpdatePartitions(ctx, count, topic)
		if err != nil {
			return err
		}
		return r.Error()
	})
}

// DeleteRecords deletes a partition's records before an offset, as retention does.
func DeleteRecords(t testing.TB, c *kgo.Client, topic string, partition int32, before int64) {
	t.Helper()
	ask(t, "delete records of "+topic, func(ctx context.Context) error {
		var os kadm.Offsets
		os.AddOffset(topic, partition, before, -1)
		r, err := kadm.NewClient(c).DeleteRecords(ctx, os)
		if err != nil {
			return err
		}
		return r.Error()
	})
}

// Committed is the offset that a group has committed, -1 for none.
func Committed(t testing.TB, c *kgo.Client, group, topic string, partition int32) (offset int64) {
	t.Helper()
	ask(t, "fetch the offsets of group "+group, func(ctx context.Context) error {
		all, err := kadm.NewClient(c).FetchOffsets(ctx, group)
		if errors.Is(err, kerr.GroupIDNotFound) {
			err = nil
		}
		offset = -1
		if o, ok := all.Lookup(topic, partition); ok {
			offset = o.At
		}
		return err
	})
	return offset
}

func ask(t testing.TB, what string, do func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := do(ctx); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
