package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/pkg/letter"
)

// Letters are the dead letters of a pipeline.
type Letters interface {
	// Each visits those that there were when it was called, until visit returns an error. others are what is there and is
	// no letter.
	Each(ctx context.Context, visit func(*letter.Letter) error) (others int, err error)
	Close()
}

// Topic are the letters in a topic.
type Topic struct {
	cluster []kgo.Opt
	name    string
}

// InTopic returns the letters in a topic. cluster says how to reach the output's cluster.
func InTopic(cluster []kgo.Opt, name string) *Topic { return &Topic{cluster, name} }

// Close has nothing to close.
func (t *Topic) Close() {}

// Each reads the topic, partition by partition in the order of offsets. A topic that does not exist holds no letters.
func (t *Topic) Each(ctx context.Context, visit func(*letter.Letter) error) (others int, err error) {
	err = scan(ctx, t.cluster, t.name, func(r *kgo.Record) error {
		l, err := letter.Parse(r.Value)
		if err != nil {
			others++
			return nil
		}
		l.Written = r.Timestamp
		return visit(l)
	})
	return others, err
}

// Noted returns which letters were put back, and when, for showing. It disturbs nobody.
func Noted(ctx context.Context, cluster []kgo.Opt, p Pipeline) (map[string]time.Time, error) {
	noted := map[string]time.Time{}
	err := scan(ctx, cluster, p.Topic(), func(r *kgo.Record) error { return take(noted, r) })
	return noted, err
}

func take(noted map[string]time.Time, r *kgo.Record) error {
	if string(r.Key) == keyMark || r.Value == nil {
		return nil
	}
	var n note
	if err := json.Unmarshal(r.Value, &n); err != nil {
		return fmt.Errorf("offset %d: no note: %w", r.Offset, err)
	}
	noted[string(r.Key)] = n.At
	return nil
}

// readNotes reads the notes before a record that is known to be there.
func readNotes(ctx context.Context, cluster []kgo.Opt, p Pipeline, mark int64, noted map[string]time.Time) error {
	c, err := reader(cluster, map[string]map[int32]kgo.Offset{p.Topic(): {0: kgo.NewOffset().AtStart()}})
	if err != nil {
		return err
	}
	defer c.Close()
	for at := int64(-1); at < mark; {
		fs := c.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			return err
		}
		if errs := fs.Errors(); len(errs) > 0 {
			return errs[0].Err
		}
		for r := range fs.RecordsAll() {
			if at = r.Offset; r.Attrs.IsControl() {
				continue
			}
			if err := take(noted, r); err != nil {
				return err
			}
		}
	}
	return nil
}

func reader(cluster []kgo.Opt, from map[string]map[int32]kgo.Offset) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.ConsumePartitions(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxWait(500 * time.Millisecond), kgo.MetadataMinAge(100 * time.Millisecond),
	}, cluster...)...)
}

// silence is how long nothing comes where something could before a scan counts what is left as removed by compaction.
const silence = 5 * time.Second

// scan visits the committed records that a topic has now.
func scan(ctx context.Context, cluster []kgo.Opt, topic string, visit func(*kgo.Record) error) error {
	from, ends, err := ends(ctx, cluster, topic)
	if err != nil || len(from) == 0 {
		return err
	}
	c, err := reader(cluster, map[string]map[int32]kgo.Offset{topic: from})
	if err != nil {
		return err
	}
	defer c.Close()
	for left := len(from); left > 0; {
		poll, cancel := context.WithTimeout(ctx, silence)
		fs := c.PollFetches(poll)
		cancel()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errs := fs.Errors(); len(errs) > 0 && !errors.Is(errs[0].Err, context.DeadlineExceeded) {
			return fmt.Errorf("topic %s: %w", topic, errs[0].Err)
		} else if len(errs) > 0 {
			return nil
		}
		for r := range fs.RecordsAll() {
			end := ends[r.Partition]
			if r.Offset < end && !r.Attrs.IsControl() {
				if err := visit(r); err != nil {
					return err
				}
			}
			if r.Offset >= end-1 && end >= 0 {
				left--
				ends[r.Partition] = -1
				c.PauseFetchPartitions(map[string][]int32{topic: {r.Partition}})
			}
		}
	}
	return nil
}

// ends returns where the partitions of a topic that hold anything begin and end; none if the topic does not exist.
func ends(ctx context.Context, cluster []kgo.Opt, topic string) (from map[int32]kgo.Offset, ends map[int32]int64, err error) {
	c, err := kgo.NewClient(cluster...)
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	admin := kadm.NewClient(c)
	first, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = first.Error()
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("topic %s: %w", topic, err)
	}
	last, err := admin.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = last.Error()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("topic %s: %w", topic, err)
	}
	from, ends = map[int32]kgo.Offset{}, map[int32]int64{}
	last.Each(func(o kadm.ListedOffset) {
		if f, ok := first.Lookup(topic, o.Partition); ok && f.Offset < o.Offset {
			from[o.Partition], ends[o.Partition] = kgo.NewOffset().At(f.Offset), o.Offset
		}
	})
	return from, ends, nil
}
