package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/internal/wire"
)

const (
	defaultMaxBytes = 1048588  // of Kafka: max.message.bytes
	mostBytes       = 16 << 20 // of one batch, whatever the topic allows: several must fit one request
	leastBytes      = 16 << 10 // of max.message.bytes: below it nothing useful fits
	createPause     = 100 * time.Millisecond
)

// limits is what a topic allows. It never changes once it is published.
type limits struct {
	partitions int32
	maxBytes   int // of a record batch, slack taken off
}

// topic is one topic that the sink writes to, and what was last learned of it.
type topic struct {
	cluster *wire.Cluster
	name    string
	log     *zap.Logger
	now     atomic.Pointer[limits] // nil: not learned yet
	// notBefore, in Unix milliseconds, is when it may be tried again to make the topic.
	notBefore atomic.Int64
	one       *semaphore.Weighted // question at a time
	warned    bool                // that its configuration can't be read
}

// limits are those last learned; before that, those of a topic with Kafka's defaults.
func (t *topic) limits() limits {
	if l := t.now.Load(); l != nil {
		return *l
	}
	return limits{partitions: 1, maxBytes: usable(defaultMaxBytes)}
}

// learn asks the cluster for the topic's partitions and size limit. A topic that is missing is made if create is set,
// with the brokers' defaults; else it stays unknown, without an error.
func (t *topic) learn(ctx context.Context, create bool) error {
	if err := t.one.Acquire(ctx, 1); err != nil {
		return err
	}
	defer t.one.Release(1)
	n, err := t.partitions(ctx)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		if !create {
			return nil
		}
		n, err = t.create(ctx)
	}
	if err != nil {
		return err
	}
	maxBytes, err := t.maxBytes(ctx)
	if err != nil {
		return err
	}
	l := &limits{partitions: n, maxBytes: usable(maxBytes)}
	old := t.now.Swap(l)
	if old == nil || *old != *l {
		t.log.Info("output topic", zap.String("topic", t.name), zap.Int32("partitions", n), zap.Int("max.message.bytes", maxBytes))
	}
	return nil
}

// usable is what a batch may have of a topic's max.message.bytes: a little less, for codecs that make some data larger.
func usable(maxBytes int) int {
	n := min(maxBytes, mostBytes)
	return n - n/128
}

func (t *topic) partitions(ctx context.Context) (int32, error) {
	got, err := t.cluster.Topics(ctx, t.name)
	if err != nil {
		return 0, fmt.Errorf("topic %s: %w", t.name, err)
	}
	for i := range got {
		if got[i].Name != t.name {
			continue
		}
		switch err := got[i].Err; {
		case err == nil && len(got[i].Partitions) > 0:
			return int32(len(got[i].Partitions)), nil
		case err == nil:
			return 0, fmt.Errorf("topic %s: %w", t.name, kafka.LeaderNotAvailable)
		case errors.Is(err, kafka.TopicAuthorizationFailed):
			return 0, fmt.Errorf("topic %s: %w: grant this user Describe, Write and DescribeConfigs on it", t.name, err)
		default:
			return 0, fmt.Errorf("topic %s: %w", t.name, err)
		}
	}
	return 0, fmt.Errorf("topic %s: %w", t.name, kafka.UnknownTopicOrPartition)
}

// create makes the topic and waits until the cluster knows it.
func (t *topic) create(ctx context.Context) (int32, error) {
	r, err := t.cluster.Client().CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: t.name, NumPartitions: -1, ReplicationFactor: -1}},
	})
	if err == nil {
		err = r.Errors[t.name]
	}
	switch {
	case err == nil:
		t.log.Info("made the output topic, with the brokers' default partitions and replicas", zap.String("topic", t.name))
	case errors.Is(err, kafka.TopicAlreadyExists): // somebody else was faster
	case wire.Retry(err):
		return 0, fmt.Errorf("topic %s does not exist; making it: %w", t.name, err)
	default:
		return 0, fmt.Errorf("topic %s does not exist and can't be made: %w: make it by hand "+
			"(kafka-topics.sh --create --topic %s --partitions N), or grant this user Create on it", t.name, err, t.name)
	}
	t.cluster.Forget() // metadata without the topic
	for {
		n, err := t.partitions(ctx)
		if err == nil || !errors.Is(err, kafka.UnknownTopicOrPartition) && !errors.Is(err, kafka.LeaderNotAvailable) {
			return n, err
		}
		if !pause.For(ctx, createPause) {
			return 0, fmt.Errorf("topic %s was made, but does not appear: %w", t.name, context.Cause(ctx))
		}
	}
}

// maxBytes is the topic's max.message.bytes; Kafka's default where it may not be read.
func (t *topic) maxBytes(ctx context.Context) (int, error) {
	const name = "max.message.bytes"
	r, err := t.cluster.Client().DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: t.name, ConfigNames: []string{name},
		}},
	})
	if err != nil {
		return 0, fmt.Errorf("topic %s: %s: %w", t.name, name, err)
	}
	for _, res := range r.Resources {
		if errors.Is(res.Error, kafka.TopicAuthorizationFailed) {
			if !t.warned {
				t.warned = true
				t.log.Warn("the topic's max.message.bytes may not be read: Kafka's default is assumed; grant this user DescribeConfigs on it",
					zap.String("topic", t.name), zap.Int("assumed", defaultMaxBytes))
			}
			return defaultMaxBytes, nil
		}
		if res.Error != nil {
			return 0, fmt.Errorf("topic %s: %s: %w", t.name, name, res.Error)
		}
		for _, e := range res.ConfigEntries {
			if e.ConfigName != name {
				continue
			}
			n, err := strconv.Atoi(e.ConfigValue)
			if err != nil {
				return 0, fmt.Errorf("topic %s: %s: %w", t.name, name, err)
			}
			if n < leastBytes {
				return 0, fmt.Errorf("topic %s: %s is %d: set it to at least %d", t.name, name, n, leastBytes)
			}
			return n, nil
		}
	}
	return defaultMaxBytes, nil
}
