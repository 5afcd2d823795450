package source

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/windrow-io/windrow/internal/fault"
	"github.com/windrow-io/windrow/internal/wire"
)

// Committed is what a group has committed for a partition.
type Committed struct {
	Offset   int64
	Metadata string
}

// FetchCommitted returns what the group has committed for these partitions; one without is absent.
func FetchCommitted(ctx context.Context, c *wire.Cluster, group string, partitions []TopicPartition) (map[TopicPartition]Committed, error) {
	found := map[TopicPartition]Committed{}
	if len(partitions) == 0 {
		return found, nil // an empty list would ask for all
	}
	topics := map[string][]int{}
	for _, tp := range partitions {
		topics[tp.Topic] = append(topics[tp.Topic], int(tp.Partition))
	}
	res, err := c.Client().OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: topics})
	if err == nil {
		err = res.Error
	}
	if errors.Is(err, kafka.GroupIdNotFound) {
		return found, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the offsets of group %s: %w", group, err)
	}
	for topic, ps := range res.Topics {
		for _, p := range ps {
			if p.Error != nil && !errors.Is(p.Error, kafka.UnknownTopicOrPartition) {
				return nil, fmt.Errorf("reading the offsets of group %s: topic %s partition %d: %w", group, topic, p.Partition, p.Error)
			}
			if p.Error == nil && p.CommittedOffset >= 0 {
				found[TopicPartition{topic, int32(p.Partition)}] = Committed{p.CommittedOffset, p.Metadata}
			}
		}
	}
	return found, nil
}

// Commit commits offsets for the group, as the member of the assignment's generation: Kafka refuses it from anybody whose
// assignment is out of date (kafka.IllegalGeneration, kafka.UnknownMemberId, kafka.RebalanceInProgress).
func Commit(ctx context.Context, c *wire.Cluster, group string, a *Assignment, offsets map[TopicPartition]Committed) error {
	if len(offsets) == 0 {
		return nil
	}
	topics := map[string][]kafka.OffsetCommit{}
	for tp, o := range offsets {
		topics[tp.Topic] = append(topics[tp.Topic], kafka.OffsetCommit{Partition: int(tp.Partition), Offset: o.Offset, Metadata: o.Metadata})
	}
	fault.Point("offsets.ingest.before")
	defer fault.Point("offsets.ingest.after")
	res, err := c.Client().OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: group, GenerationID: int(a.Generation), MemberID: a.Member, Topics: topics,
	})
	if err != nil {
		return fmt.Errorf("committing for group %s: %w", group, err)
	}
	var errs []error
	for topic, ps := range res.Topics {
		for _, p := range ps {
			if p.Error != nil {
				errs = append(errs, fmt.Errorf("committing for group %s: topic %s partition %d: %w", group, topic, p.Partition, p.Error))
			}
		}
	}
	return errors.Join(errs...)
}
