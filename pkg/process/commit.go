package process

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/journal"
	"github.com/windrow-io/windrow/pkg/sink"
)

// job is one transaction: a group with its decisions, or a checkpoint.
type job struct {
	group     sink.Group
	decisions []journal.Decision
	upTo      int64 // the last decision it commits
	point     *journal.Checkpoint
	marks     []buffer.Mark
	tally     Summary // that is final with the checkpoint
}

func (o *owner) worthCommitting() bool {
	return o.group.Len() > 0 || len(o.ready) > 0 && (o.outputs() || journal.Pending(o.ready) > journalBytes)
}

func (o *owner) outputs() bool {
	for i := range o.ready {
		if o.ready[i].Outputs > 0 {
			return true // its handler dropped all of its windows: that, too, is a decision to keep
		}
	}
	return false
}

// seal makes a job of what has gathered.
func (o *owner) seal() {
	j := &job{group: o.group, decisions: o.ready, upTo: o.drained}
	o.jobs = append(o.jobs, j)
	o.ready = nil
	o.group = o.newGroup()
}

func (o *owner) newGroup() sink.Group {
	if n := len(o.free); n > 0 {
		g := o.free[n-1]
		o.free = o.free[:n-1]
		return g
	}
	return o.w.o.Sink.Group(o.w.o.Settings.Stream, o.w.o.Settings.Pipeline, o.shard)
}

// do is one transaction, with what a sink outside it has to write afterwards. It runs beside the owner's goroutine and
// touches nothing of the owner that changes.
func (o *owner) do(ctx context.Context, j *job) error {
	if j.point != nil {
		t := time.Now()
		if err := o.journal.Checkpoint(ctx, j.point); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
		checkpointSeconds.Observe(time.Since(t).Seconds())
		for i := range j.marks {
			j.marks[i].Journal = j.point.Offset
		}
		o.w.publish(ctx, o.shard, j.marks)
		return nil
	}
	if len(j.decisions) > 0 || o.w.o.Sink.Transactional() {
		if err := o.journal.Commit(ctx, j.group.Batches(), j.decisions, o.delivered); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	if o.w.o.Sink.Transactional() {
		return nil
	}
	return o.w.deliver(ctx, o.shard, j.group)
}

// finished is called when the first job is done.
func (o *owner) finished() {
	j := o.jobs[0]
	o.jobs = o.jobs[1:]
	o.settled = true
	if j.point != nil {
		o.checkpoints--
		o.w.goal.count(j.tally)
		return
	}
	o.committed = max(o.committed, j.upTo)
	if !o.w.o.Sink.Transactional() {
		o.delivered = max(o.delivered, j.upTo)
	}
	j.group.Reset()
	o.free = append(o.free, j.group)
}

// maybeCheckpoint takes a snapshot when it pays: what is retained costs more than the state, the buffer needs the room,
// or time has passed. The snapshot's place is behind every decision made so far: those that led to output are committed
// before it, those that did not are covered by it.
func (o *owner) maybeCheckpoint() {
	if o.checkpoints > 0 || !o.moved {
		return
	}
	passed := time.Since(o.lastPoint)
	due := o.stopping || passed >= checkpointEvery ||
		o.since >= min(max(checkpointMin, 2*o.machine.Bytes()), checkpointMax) ||
		passed >= checkpointSoon && o.hurried()
	if !due {
		return
	}
	p, marks := o.snapshot()
	o.since, o.moved, o.lastPoint = 0, false, time.Now()
	o.checkpoints++
	o.handling.checkpoint(p, marks, o.tally)
	o.tally = Summary{}
	o.handled()
}

// hurried reports whether somebody waits for the next checkpoint: ingest, or a run that ends when all is covered by one.
func (o *owner) hurried() bool {
	return o.heldBack() || o.w.goal != nil && !slices.ContainsFunc(o.feed.lanes, func(l *lane) bool { return l.joined && l.read < l.tail })
}

// heldBack reports whether ingest seems to wait for room: a lane is read to its end, and the source has more.
func (o *owner) heldBack() bool {
	for _, l := range o.feed.lanes {
		if l.joined && l.read == l.tail && l.high > l.tail {
			return true
		}
	}
	return false
}

func (o *owner) snapshot() (*journal.Checkpoint, []buffer.Mark) {
	return &journal.Checkpoint{
		K: o.k, Now: o.now, Positions: o.feed.positions(), Receipts: o.feed.receipts(o.now),
		Settings: o.w.settingsJSON, State: o.machine.Snapshot(nil),
	}, o.feed.marks()
}

// sealPoint makes jobs of what has gathered before a checkpoint, and of the checkpoint.
func (o *owner) sealPoint(it *item) {
	p := it.point
	if o.group.Len() > 0 || o.outputs() {
		o.seal()
	}
	o.ready = nil // the rest led to nothing and is covered by the checkpoint
	if !o.w.o.Sink.Transactional() {
		p.Delivered = p.K // the job before it has been delivered when this one is done
	}
	it.tally.Dead += o.refused
	o.refused = 0
	o.jobs = append(o.jobs, &job{point: p, marks: it.marks, tally: it.tally})
}
