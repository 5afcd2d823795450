package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/windrow-io/windrow/internal/fault"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
)

// Start is how a pipeline began: written once, before its first checkpoint.
type Start struct {
	Created    int64            `json:"created"`             // Unix milliseconds
	Partitions int              `json:"partitions"`          // of the journal: a shard's place depends on it
	Shards     int              `json:"shards,omitempty"`    // SHARDS of the stream
	ShardKey   string           `json:"shard_key,omitempty"` // SHARD_KEY
	Offsets    map[string]int64 `json:"offsets"`             // per lane: the first offset to process. A lane not listed is newer: from its earliest
}

// startRecord is how it is written. Two pipelines can have names that, joined, are the same.
type startRecord struct {
	Stream   string `json:"stream"`
	Pipeline string `json:"pipeline"`
	Start
}

// startPartition does not depend on the number of partitions, which is learned from the record.
const startPartition = 0

// Start returns how the pipeline began; if nobody has said so yet, it asks propose and commits the answer, with the
// journal's number of partitions. Two workers that do so at once get the same answer. An error of propose ends it: there
// the caller may refuse to begin a pipeline that is known to have a journal (ErrLost).
func (j *Journal) Start(ctx context.Context, propose func(context.Context) (Start, error)) (Start, error) {
	again := newBackoff()
	for {
		s, err := j.findStart(ctx)
		if err == nil && s == nil {
			s, err = j.begin(ctx, propose)
		}
		switch {
		case err == nil:
			return *s, nil
		case (errors.Is(err, ErrFenced) || errors.Is(err, ErrUnknown) || wire.Retry(err)) && again.Wait(ctx):
			// Another worker is at it, or the outcome is not known: the journal tells.
		default:
			return Start{}, fmt.Errorf("journal %s: start of the pipeline: %w", j.o.Topic, err)
		}
	}
}

// findStart looks the record up; nil: there is none yet. Once written it never changes: it is looked for from the log's
// beginning, where compaction leaves it, and no more than that is read once it is found.
func (j *Journal) findStart(ctx context.Context) (*Start, error) {
	if s := j.start.Load(); s != nil {
		return s, nil
	}
	ends, err := j.cluster.Offsets(ctx, j.o.Topic, []int32{startPartition}, wire.Latest, true)
	if err != nil {
		return nil, err
	}
	return j.readStart(ctx, ends[startPartition])
}

func (j *Journal) readStart(ctx context.Context, end int64) (*Start, error) {
	found, err := j.scanStart(ctx, end)
	if err != nil || found == nil {
		return nil, err
	}
	return &found.Start, j.adopt(ctx, found)
}

// Of returns whose journal a topic is, by what it says itself; empty if no pipeline has begun in it.
func Of(ctx context.Context, c *wire.Cluster, topic string) (stream, pipeline string, err error) {
	ends, err := c.Offsets(ctx, topic, []int32{startPartition}, wire.Latest, true)
	if err != nil {
		return "", "", fmt.Errorf("whose journal %s is: %w", topic, err)
	}
	j := &Journal{o: Options{Topic: topic}, cluster: c}
	r, err := j.scanStart(ctx, ends[startPartition])
	if err != nil || r == nil {
		return "", "", err
	}
	return r.Stream, r.Pipeline, nil
}

func (j *Journal) scanStart(ctx context.Context, end int64) (found *startRecord, err error) {
	err = j.scan(ctx, startPartition, 0, end, func(e *entry) error {
		if string(e.key) != startKey {
			return nil
		}
		found = new(startRecord)
		if err := json.Unmarshal(e.value, found); err != nil {
			return fmt.Errorf("%w: offset %d: how the pipeline began: %w", errFormat, e.offset, err)
		}
		return errStop
	})
	return found, err
}

// adopt checks the record against what is there.
func (j *Journal) adopt(ctx context.Context, r *startRecord) error {
	if r.Stream != j.o.Stream || r.Pipeline != j.o.Pipeline {
		return fmt.Errorf("%w: it is the journal of stream %s, pipeline %s, not of stream %s, pipeline %s: choose another JOURNAL_TOPIC",
			ErrTopic, r.Stream, r.Pipeline, j.o.Stream, j.o.Pipeline)
	}
	topics, err := j.cluster.Topics(ctx, j.o.Topic)
	if err != nil {
		return err
	}
	if len(topics) == 1 && topics[0].Err == nil && len(topics[0].Partitions) < r.Partitions {
		return fmt.Errorf("%w: it has %d partitions and had %d when the pipeline began: the shards can't be found; restore the topic, or choose another JOURNAL_TOPIC to start anew",
			ErrTopic, len(topics[0].Partitions), r.Partitions)
	}
	j.partitions.Store(int32(r.Partitions))
	j.start.Store(&r.Start)
	return nil
}

// begin commits a proposal, unless another worker's is there first.
func (j *Journal) begin(ctx context.Context, propose func(context.Context) (Start, error)) (*Start, error) {
	w := &writer{j: j, txn: j.transaction(""), partition: startPartition}
	end, err := j.fence(ctx, w, ownerKey(startKey), nil)
	if err != nil {
		return nil, err
	}
	if s, err := j.readStart(ctx, end); s != nil || err != nil {
		return s, err
	}
	s, err := propose(ctx)
	if err != nil {
		return nil, err
	}
	s.Partitions = int(j.partitions.Load())
	r := &startRecord{Stream: j.o.Stream, Pipeline: j.o.Pipeline, Start: s}
	value, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var b record.Builder
	b.Add(time.Now().UnixMilli(), []byte(startKey), value)
	fault.Point("start.before")
	_, err = w.commit(ctx, []wire.Batch{w.journalBatch(&b)})
	fault.Point("start.after")
	if err != nil {
		return nil, err
	}
	j.partitions.Store(int32(s.Partitions))
	j.start.Store(&s)
	return &s, nil
}
