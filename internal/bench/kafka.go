package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// cluster is the Kafka that everything runs on.
type cluster struct {
	options []kgo.Opt // how it is reached
	client  *kgo.Client
	admin   *kadm.Client
}

func openCluster(ctx context.Context, options []kgo.Opt) (*cluster, error) {
	client, err := kgo.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("KAFKA_BROKERS: %w", err)
	}
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("KAFKA_BROKERS: %w", err)
	}
	return &cluster{options: options, client: client, admin: kadm.NewClient(client)}, nil
}

func (c *cluster) close() { c.client.Close() }

// connect returns another client; to be closed by the caller.
func (c *cluster) connect(more ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(c.options[:len(c.options):len(c.options)], more...)...)
}

// createTopic makes a topic with the cluster's default replication. maxMessage is the size of its largest batch, in bytes;
// 0: the cluster's default.
func (c *cluster) createTopic(ctx context.Context, name string, partitions, maxMessage int) error {
	configs := map[string]*string{}
	if maxMessage > 0 {
		configs["max.message.bytes"] = kadm.StringPtr(strconv.Itoa(maxMessage))
	}
	if _, err := c.admin.CreateTopic(ctx, int32(partitions), -1, configs, name); err != nil {
		return fmt.Errorf("making topic %s: %w", name, err)
	}
	// What is acknowledged need not be known to every broker yet.
	return until(ctx, "topic "+name, func() (bool, error) {
		_, err := c.end(ctx, name)
		return err == nil, nil
	})
}

// warm has Kafka make its topics of transactions and of groups' offsets, which a new cluster does at the first use: whoever
// came first would wait for it.
func (c *cluster) warm(ctx context.Context, name string) error {
	if err := c.createTopic(ctx, name, 1, 0); err != nil {
		return err
	}
	writer, err := c.connect(kgo.TransactionalID(name))
	if err != nil {
		return err
	}
	defer writer.Close()
	if err := writer.BeginTransaction(); err != nil {
		return err
	}
	if err := writer.ProduceSync(ctx, &kgo.Record{Topic: name}).FirstErr(); err != nil {
		return fmt.Errorf("writing to %s: %w", name, err)
	}
	if err := writer.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("a transaction on %s: %w", name, err)
	}
	return until(ctx, "the coordinator of groups", func() (bool, error) {
		_, err := c.admin.FetchOffsets(ctx, name)
		return err == nil || errors.Is(err, kerr.GroupIDNotFound), nil
	})
}

// settled waits until nothing in a topic is undecided.
func (c *cluster) settled(ctx context.Context, topic string) error {
	return until(ctx, "the last transaction on "+topic, func() (bool, error) {
		end, err := c.end(ctx, topic)
		if err != nil {
			return false, err
		}
		committed, err := c.committed(ctx, topic)
		return committed >= end, err
	})
}

// end is the sum of the offsets at the end of a topic's partitions: records, and markers of transactions.
func (c *cluster) end(ctx context.Context, topic string) (int, error) {
	return sum(c.admin.ListEndOffsets(ctx, topic))
}

// committed is the sum of the offsets before which nothing is undecided.
func (c *cluster) committed(ctx context.Context, topic string) (int, error) {
	return sum(c.admin.ListCommittedOffsets(ctx, topic))
}

func sum(offsets kadm.ListedOffsets, err error) (sum int, _ error) {
	if err == nil {
		err = offsets.Error()
	}
	offsets.Each(func(o kadm.ListedOffset) { sum += int(o.Offset) })
	return sum, err
}

// read visits the values of all committed records of a topic.
func (c *cluster) read(ctx context.Context, topic string, visit func(value []byte) error) error {
	ends, err := c.admin.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return err
	}
	left := map[int32]int64{} // partition → where it ends
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	reader, err := c.connect(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer reader.Close()
	for len(left) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("reading %s: %w", topic, err)
		}
		for _, r := range fetches.Records() {
			if !r.Attrs.IsControl() {
				if err := visit(r.Value); err != nil {
					return fmt.Errorf("%s, partition %d, offset %d: %w", topic, r.Partition, r.Offset, err)
				}
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		}
	}
	return nil
}

// deleteTopics deletes topics; one that is gone is all right.
func (c *cluster) deleteTopics(ctx context.Context, names ...string) error {
	answers, err := c.admin.DeleteTopics(ctx, names...)
	for _, a := range answers.Sorted() {
		if err == nil && !errors.Is(a.Err, kerr.UnknownTopicOrPartition) {
			err = a.Err
		}
	}
	return err
}

// forget deletes all topics and groups whose names begin with prefix.
func (c *cluster) forget(ctx context.Context, prefix string) error {
	topics, err := c.admin.ListTopics(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, t := range topics.Names() {
		if strings.HasPrefix(t, prefix) {
			names = append(names, t)
		}
	}
	if err := c.deleteTopics(ctx, names...); err != nil {
		return err
	}
	groups, err := c.admin.ListGroups(ctx)
	if err != nil {
		return err
	}
	names = nil
	for _, g := range groups.Groups() {
		if strings.HasPrefix(g, prefix) {
			names = append(names, g)
		}
	}
	_, err = c.admin.DeleteGroups(ctx, names...)
	return err
}

func codec(compression string) kgo.Opt {
	switch compression {
	case "lz4":
		return kgo.ProducerBatchCompression(kgo.Lz4Compression())
	case "zstd":
		return kgo.ProducerBatchCompression(kgo.ZstdCompression())
	case "gzip":
		return kgo.ProducerBatchCompression(kgo.GzipCompression())
	case "snappy":
		return kgo.ProducerBatchCompression(kgo.SnappyCompression())
	}
	return kgo.ProducerBatchCompression(kgo.NoCompression())
}

// compressions are those that codec knows.
var compressions = []string{"none", "lz4", "zstd", "gzip", "snappy"}
