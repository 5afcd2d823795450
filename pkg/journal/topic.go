package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/fault"
	"github.com/windrow-io/windrow/internal/wire"
)

// The topic's settings.
const (
	segmentBytes    = 64 << 20  // only closed segments are compacted, and read back whole
	defaultMaxBatch = 1_048_588 // Kafka's own default of max.message.bytes
	minMaxBatch     = 64 << 10
)

// topic makes the topic unless it is there, checks it, and returns its number of partitions.
func (j *Journal) topic(ctx context.Context) (int, error) {
	n, err := j.countPartitions(ctx)
	if errors.Is(err, kafka.UnknownTopicOrPartition) {
		if err := j.create(ctx); err != nil {
			return 0, err
		}
		n, err = j.countPartitions(ctx)
		for again := newBackoff(); wire.Retry(err) && again.Wait(ctx); { // brokers learn of it one by one
			n, err = j.countPartitions(ctx)
		}
	}
	if err != nil {
		return 0, err
	}
	return n, j.check(ctx)
}

// countPartitions returns the number of partitions once all of them have a leader.
func (j *Journal) countPartitions(ctx context.Context) (int, error) {
	topics, err := j.cluster.Topics(ctx, j.o.Topic)
	if err != nil {
		return 0, err
	}
	if len(topics) != 1 {
		return 0, kafka.UnknownTopicOrPartition
	}
	t := topics[0]
	if errors.Is(t.Err, kafka.InvalidTopic) {
		return 0, fmt.Errorf("%w: %w: choose another JOURNAL_TOPIC", ErrTopic, t.Err)
	}
	if t.Err != nil {
		return 0, t.Err
	}
	for _, p := range t.Partitions {
		if p.Leader < 0 {
			return 0, fmt.Errorf("partition %d: %w", p.ID, kafka.LeaderNotAvailable)
		}
	}
	return len(t.Partitions), nil
}

func (j *Journal) create(ctx context.Context) error {
	fault.Point("topic.create.before")
	defer fault.Point("topic.create.after")
	res, err := j.cluster.Client().CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: j.o.Topic, NumPartitions: j.o.Partitions, ReplicationFactor: -1,
		ConfigEntries: []kafka.ConfigEntry{
			{ConfigName: "cleanup.policy", ConfigValue: "compact"},
			{ConfigName: "segment.bytes", ConfigValue: strconv.Itoa(segmentBytes)},
			// The broker's clock: it forgets producers by the time of their records.
			{ConfigName: "message.timestamp.type", ConfigValue: "LogAppendTime"},
		},
	}}})
	if err != nil {
		return err
	}
	err = res.Errors[j.o.Topic]
	switch {
	case err == nil:
		j.log.Info("made the journal's topic", zap.Int("partitions", j.o.Partitions))
		return nil
	case errors.Is(err, kafka.TopicAlreadyExists): // another worker was faster
		return nil
	case errors.Is(err, kafka.TopicAuthorizationFailed), errors.Is(err, kafka.ClusterAuthorizationFailed):
		return fmt.Errorf("%w: it does not exist and may not be made: %w: make it with cleanup.policy=compact and segment.bytes=%d, or grant CREATE on it",
			ErrTopic, err, segmentBytes)
	}
	return fmt.Errorf("make the topic: %w", err)
}

// check refuses a topic that would lose what the journal holds.
func (j *Journal) check(ctx context.Context) error {
	j.maxBatch = defaultMaxBatch
	res, err := j.cluster.Client().DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: j.o.Topic,
		ConfigNames: []string{"cleanup.policy", "max.message.bytes", "unclean.leader.election.enable"},
	}}})
	if err == nil && len(res.Resources) == 1 {
		err = res.Resources[0].Error
	}
	if errors.Is(err, kafka.TopicAuthorizationFailed) || errors.Is(err, kafka.ClusterAuthorizationFailed) {
		j.log.Warn("may not read the journal's settings: see to it that cleanup.policy is compact, and grant DESCRIBE_CONFIGS", zap.Error(err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the topic's settings: %w", err)
	}
	for _, r := range res.Resources {
		for _, c := range r.ConfigEntries {
			switch c.ConfigName {
			case "cleanup.policy":
				if c.ConfigValue != "compact" {
					return fmt.Errorf("%w: its cleanup.policy is %q, so that Kafka would delete checkpoints with their age: "+
						"kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config cleanup.policy=compact (if it has never served as a journal, delete it, and it is made anew)",
						ErrTopic, c.ConfigValue, j.o.Topic)
				}
			case "unclean.leader.election.enable":
				if c.ConfigValue == "true" {
					j.log.Warn("the journal's topic allows unclean leader elections: they can undo what was committed, and windows will be lost or doubled: set unclean.leader.election.enable=false")
				}
			case "max.message.bytes":
				n, err := strconv.Atoi(c.ConfigValue)
				if err != nil {
					return fmt.Errorf("max.message.bytes is %q: %w", c.ConfigValue, err)
				}
				if n < minMaxBatch {
					return fmt.Errorf("%w: its max.message.bytes is %d, at least %d are needed: kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config max.message.bytes=%d",
						ErrTopic, n, minMaxBatch, j.o.Topic, defaultMaxBatch)
				}
				j.maxBatch = n
			}
		}
	}
	return nil
}
