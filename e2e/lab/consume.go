package lab

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Consumer reads a topic from its start, committed records only, and keeps what it has read.
type Consumer struct {
	Records []*kgo.Record // in the order read; of one partition in offset order

	t         testing.TB
	topic     string
	client    *kgo.Client
	admin     *kadm.Client
	positions map[int32]int64 // partition → the offset after the last one read, control records counted
}

// Consume returns a consumer of a topic, which need not exist yet; it is closed with the test.
func (k *KafkaServer) Consume(t testing.TB, topic string) *Consumer {
	t.Helper()
	client := k.Client(t,
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.MetadataMinAge(100*time.Millisecond),
		kgo.MetadataMaxAge(time.Second),
		kgo.FetchMaxWait(250*time.Millisecond),
		kgo.FetchMaxPartitionBytes(64<<20),
	)
	return &Consumer{t: t, topic: topic, client: client, admin: kadm.NewClient(client), positions: map[int32]int64{}}
}

// Until reads until done reports true, asking it after every fetch; it fails the test after patience.
func (c *Consumer) Until(patience time.Duration, what string, done func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		if time.Now().After(deadline) {
			c.t.Fatalf("waited %v in vain for %s in topic %s: read %d records", patience, what, c.topic, len(c.Records))
		}
		c.poll(time.Until(deadline))
	}
}

// ToEnd reads up to what is committed now. With whoever writes to the topic stopped, Records then is all there is.
func (c *Consumer) ToEnd() []*kgo.Record {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), adminPatience)
	defer cancel()
	ends, err := c.admin.ListCommittedOffsets(ctx, c.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		c.t.Fatalf("asking for the end of topic %s: %v", c.topic, err)
	}
	c.Until(adminPatience, "the end of the topic as it was", func() bool {
		reached := true
		ends.Each(func(end kadm.ListedOffset) {
			reached = reached && c.positions[end.Partition] >= end.Offset
		})
		return reached
	})
	return c.Records
}

func (c *Consumer) poll(patience time.Duration) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), min(patience, 500*time.Millisecond))
	defer cancel()
	fetches := c.client.PollFetches(ctx)
	fetches.EachError(func(_ string, partition int32, err error) {
		if ctx.Err() == nil && !passing(err) {
			c.t.Fatalf("reading %s/%d: %v", c.topic, partition, err)
		}
	})
	fetches.EachRecord(func(r *kgo.Record) {
		c.positions[r.Partition] = r.Offset + 1
		if !r.Attrs.IsControl() {
			c.Records = append(c.Records, r)
		}
	})
}

// Header is the value of a record's header, with ok false if there is none.
func Header(r *kgo.Record, name string) (value string, ok bool) {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value), true
		}
	}
	return "", false
}
