package ingest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/source"
)

// commitEvery is how often the pipelines' positions are committed and what Redis should know is checked.
const commitEvery = 2 * time.Second

// idText is a topic's id as text, empty if the cluster has none.
func idText(id source.ID) string {
	if !id.Known() {
		return ""
	}
	return id.String()
}

// differ reports whether both ids are known and not the same.
func differ(a, b string) bool { return a != "" && b != "" && a != b }

// offsets are the group's committed offsets: where a lane without a tail begins, and how far all pipelines are.
type offsets struct {
	in *Ingest

	one   *semaphore.Weighted // asks and commits at a time
	of    *source.Assignment  // whose partitions are known
	known map[source.TopicPartition]source.Committed
}

// start returns where a partition is to be read from if its lane has no tail. What was never committed for any of the
// topics gets its start now, all at once, and that is committed before anything is appended.
func (o *offsets) start(ctx context.Context, tp source.TopicPartition) (source.Committed, error) {
	if err := o.one.Acquire(ctx, 1); err != nil {
		return source.Committed{}, err
	}
	defer o.one.Release(1)
	in := o.in
	view, _ := in.watch.View()
	have, err := source.FetchCommitted(ctx, in.cluster, in.o.Group, view.Partitions())
	if err != nil {
		return source.Committed{}, err
	}
	if c, ok := have[tp]; ok {
		return c, nil
	}
	fresh := map[source.TopicPartition]source.Committed{}
	for name, t := range view.Topics {
		var missing []int32
		begun := false
		for _, p := range t.Partitions {
			if _, ok := have[source.TopicPartition{Topic: name, Partition: p.ID}]; ok {
				begun = true
			} else {
				missing = append(missing, p.ID)
			}
		}
		if len(missing) == 0 {
			continue
		}
		// KAFKA_START is for what is there when the stream begins. What is found later is read from its beginning: records
		// that came before it was noticed would be lost otherwise.
		start := in.start
		if begun || !t.Early || !t.Named && len(have) > 0 {
			start = source.Earliest
		}
		at, err := start.Offsets(ctx, in.cluster, name, missing, in.o.ReadCommitted)
		if err != nil {
			err = fmt.Errorf("finding where topic %s starts: %w", name, err)
			if name == tp.Topic {
				return source.Committed{}, err
			}
			in.log.Warn("a topic can't be started yet", zap.Error(err)) // its own lanes will ask again
			continue
		}
		for p, offset := range at {
			fresh[source.TopicPartition{Topic: name, Partition: p}] = source.Committed{Offset: offset, Metadata: source.Note{Topic: idText(t.ID)}.String()}
		}
		in.log.Info("starting with a topic", zap.String("topic", name), zap.Stringer("at", start), zap.Int32s("partitions", missing))
	}
	if err := o.write(ctx, fresh); err != nil {
		return source.Committed{}, err
	}
	c, ok := fresh[tp]
	if !ok {
		return c, fmt.Errorf("topic %s partition %d is not there", tp.Topic, tp.Partition)
	}
	return c, nil
}

// committed returns what is committed for one partition; ok is false if nothing is.
func (o *offsets) committed(ctx context.Context, tp source.TopicPartition) (source.Committed, bool, error) {
	have, err := source.FetchCommitted(ctx, o.in.cluster, o.in.o.Group, []source.TopicPartition{tp})
	if err != nil {
		return source.Committed{}, false, err
	}
	c, ok := have[tp]
	return c, ok, nil
}

// set commits one offset, whatever was there.
func (o *offsets) set(ctx context.Context, tp source.TopicPartition, c source.Committed) error {
	if err := o.one.Acquire(ctx, 1); err != nil {
		return err
	}
	defer o.one.Release(1)
	return o.write(ctx, map[source.TopicPartition]source.Committed{tp: c})
}

// write commits under the current assignment. o.one is held.
func (o *offsets) write(ctx context.Context, offsets map[source.TopicPartition]source.Committed) error {
	a, _ := o.in.assigned()
	if err := source.Commit(ctx, o.in.cluster, o.in.o.Group, a, offsets); err != nil {
		o.of = nil // it may be in effect all the same: what is committed is not known any more
		return err
	}
	if o.of == a {
		for tp, c := range offsets {
			o.known[tp] = c
		}
	}
	return nil
}

// commit commits, for each lane of the assignment, the least position that a pipeline has published; never less than what is
// committed already. Lanes without a published position stay where they are.
func (o *offsets) commit(ctx context.Context) {
	if o.one.Acquire(ctx, 1) != nil {
		return
	}
	defer o.one.Release(1)
	err := o.publish(ctx)
	if err != nil && outdated(err) {
		o.in.log.Debug("the assignment is out of date; the next one commits", zap.Error(err))
		err = nil
	}
	if ctx.Err() == nil {
		o.in.waiting.set(conditionCommit, "", err)
	}
}

func (o *offsets) publish(ctx context.Context) error {
	a, lanes := o.in.assigned()
	if a == nil || len(lanes) == 0 {
		return nil
	}
	if o.of != a {
		have, err := source.FetchCommitted(ctx, o.in.cluster, o.in.o.Group, a.Partitions)
		if err != nil {
			return err
		}
		o.of, o.known = a, have
	}
	due := map[source.TopicPartition]source.Committed{}
	for _, l := range lanes {
		at := l.place()
		if !at.open {
			continue
		}
		before, ok := o.known[l.tp]
		was := source.NoteOf(before)
		if ok && (was.Epoch > at.lane.Epoch || was.Epoch == at.lane.Epoch && before.Offset >= at.next) {
			continue // committed to the end, or not ours to commit any more
		}
		least, err := o.in.leastMark(ctx, l.tp, at.lane.String())
		if err != nil {
			return err
		}
		if least < 0 || ok && was.Epoch == at.lane.Epoch && least <= before.Offset {
			continue
		}
		due[l.tp] = source.Committed{Offset: least, Metadata: source.Note{Epoch: at.lane.Epoch, Topic: at.topic, Starts: was.Starts}.String()}
	}
	if len(due) == 0 {
		return nil
	}
	commits.Inc()
	return o.write(ctx, due)
}

// leastMark is the least position that a pipeline has published in a partition's lane, in any of its shards; -1: in one of
// them there is none.
func (in *Ingest) leastMark(ctx context.Context, tp source.TopicPartition, lane string) (int64, error) {
	least := int64(math.MaxInt64)
	for _, shard := range in.shards(tp) {
		marks, err := in.buffer.Marks(ctx, shard)
		if err != nil {
			return -1, err
		}
		none := true
		for _, lanes := range marks {
			if m, ok := lanes[lane]; ok {
				none, least = false, min(least, m.Position)
			}
		}
		if none {
			return -1, nil
		}
	}
	return least, nil
}

// outdated reports whether Kafka refused a commit because the group has moved on.
func outdated(err error) bool {
	return errors.Is(err, kafka.IllegalGeneration) || errors.Is(err, kafka.UnknownMemberId) || errors.Is(err, kafka.RebalanceInProgress)
}

// keep commits, and renews what Redis should know of the stream, until ctx is done.
func (in *Ingest) keep(ctx context.Context) {
	for pause.For(ctx, commitEvery) {
		in.offsets.commit(ctx)
		if err := in.remind(ctx); err != nil && ctx.Err() == nil {
			in.log.Debug("looking after the stream's registry", zap.Error(err))
		}
		in.measure(ctx)
		if err := in.buffer.CheckDirect(ctx); ctx.Err() == nil {
			in.waiting.set(conditionDirect, "", err)
		}
	}
}

// remind registers again what Redis has lost: the settings, shards, lanes. Then their tails are in doubt as well.
func (in *Ingest) remind(ctx context.Context) error {
	_, lanes := in.assigned()
	lost := false
	defer func() {
		if !lost {
			return
		}
		in.log.Warn("redis has lost what was registered of the stream: looking whether the lanes are still there")
		for _, l := range lanes {
			select {
			case l.doubt <- struct{}{}:
			default:
			}
		}
	}()
	if _, ok, err := in.buffer.Settings(ctx); err != nil {
		return err
	} else if !ok {
		lost = true
		if _, err := in.buffer.Claim(ctx, in.settings()); err != nil {
			return err
		}
	}
	shards, err := in.buffer.Shards(ctx)
	if err != nil {
		return err
	}
	for _, l := range lanes {
		at := l.place()
		for _, shard := range in.shards(l.tp) {
			if !at.open || slices.Contains(shards[shard], at.lane.String()) {
				continue
			}
			lost = true
			if err := in.buffer.Register(ctx, shard, at.lane.String()); err != nil {
				return err
			}
		}
	}
	return nil
}

// measure keeps the lag of lanes true that nothing is fetched for, because they are full.
func (in *Ingest) measure(ctx context.Context) {
	_, lanes := in.assigned()
	for _, l := range lanes {
		at := l.place()
		if !at.full {
			continue
		}
		end, err := in.cluster.Offsets(ctx, l.tp.Topic, []int32{l.tp.Partition}, wire.Latest, false)
		if err != nil {
			return
		}
		if l.place() == at {
			l.lag.Set(float64(max(end[l.tp.Partition]-at.next, 0)))
		}
	}
}
