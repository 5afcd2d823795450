package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/journal"
	"github.com/windrow-io/windrow/pkg/letter"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/window"
)

// Bounds of what an owner keeps in hand. Reading stops at them until a transaction is through: a slow sink slows the
// fetch, and drops nothing.
const (
	gatherBytes     = 4 << 20  // output gathered while a transaction is under way
	journalBytes    = 64 << 10 // decisions without output, before they are journaled alone
	handlerBytes    = 8 << 20  // windows waiting for the handler
	checkpointMin   = 4 << 20  // bytes read between checkpoints: at least, unless time or the buffer asks
	checkpointMax   = 16 << 20 // … at most
	checkpointEvery = 2 * time.Second
	checkpointSoon  = 50 * time.Millisecond // when the source is held back by a full buffer
	maxBlock        = time.Second
)

// owner works on one shard: it reads, steps, commits. One goroutine, the one that calls run, owns all its state; one
// read and one transaction are under way at most, each in a goroutine that hands its result back through a channel.
type owner struct {
	w     *Worker
	shard string
	log   *zap.Logger

	machine *window.Machine
	feed    *feed
	journal *journal.Owner

	k         int64 // number of the last decision
	now       int64 // of the last decision: time never goes back
	drained   int64 // decisions up to here have put what they give into a group
	committed int64 // decisions up to here are committed
	settled   bool  // a transaction of this owner was committed
	delivered int64 // … and acknowledged, by a sink outside the transaction; 0 for any other

	ready    []journal.Decision // whose outputs are all in group; not sealed yet
	group    sink.Group         // being filled
	free     []sink.Group
	jobs     []*job // sealed, in order: transactions to be done
	handling *handling
	inStep   *journal.Decision // the decision being made, for Out

	replaying bool

	lanes []journal.Lane // what was known of them at the last decision, where the emitter looks at that
	told  []window.Lane  // the same for the machine

	since       int64 // bytes read since the last checkpoint
	moved       bool  // positions moved since then
	checkpoints int   // in jobs or under way
	lastPoint   time.Time

	tally   Summary // since the last snapshot
	refused int64   // by the handler, of what was drained since the last checkpoint
	endBy   int64   // windows that are due by then are emitted before the run's end; Unix milliseconds, 0: not known yet

	reading, busy, stopping bool
	ending                  bool // the run's goal is reached: what is due is still to be emitted
	ended                   bool // that is done, and the rest flushed if it was to be: stopping
}

// job is one transaction: a group with its decisions, or a checkpoint.
type job struct {
	group     sink.Group
	decisions []journal.Decision
	upTo      int64 // the last decision it commits
	point     *journal.Checkpoint
	marks     []buffer.Mark
	tally     Summary // that is final with the checkpoint
}

type readResult struct {
	got
	err error
}

// errStopped ends run after a graceful stop: everything is committed and a checkpoint taken.
var errStopped = errors.New("stopped")

// run works on the shard until it is to be given back (errStopped, gracefully), ctx ends, or something fails.
func (o *owner) run(ctx context.Context, s *slot) error {
	stop, end := (<-chan struct{})(s.stop), (<-chan struct{})(s.end)
	ctx, cancel := context.WithCancel(ctx)
	reads := make(chan readResult, 1)
	done := make(chan error, 1)
	defer func() {
		cancel()
		if o.reading {
			<-reads
		}
		if o.busy {
			<-done
		}
	}()
	o.lastPoint = time.Now()
	more := false // lanes to be added: the feed is the reading goroutine's until that is back
	for {
		if more && !o.reading {
			if err := o.addLanes(ctx, nil, s.known()); err != nil {
				return err
			}
			more = false
		}
		if err := o.start(ctx, reads, done); err != nil {
			return err
		}
		select {
		case r := <-reads:
			o.reading = false
			if r.err != nil {
				return r.err
			}
			o.w.alive()
			o.step(ctx, r.got)
			o.w.stepped(o)
		case err := <-done:
			o.busy = false
			if err != nil {
				return err
			}
			o.w.alive()
			o.finished()
		case x := <-o.handling.results:
			o.handling.finish(ctx, x)
			o.handled()
		case <-s.more:
			more = true
		case <-end:
			end = nil
			o.ending = true
		case <-stop:
			stop = nil
			o.stopping = true
			o.handling.stop()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// start begins what can begin: the next transaction, the next read. errStopped when a graceful stop has nothing left to do.
func (o *owner) start(ctx context.Context, reads chan<- readResult, done chan<- error) error {
	if o.ending && !o.stopping && !o.reading {
		o.maybeEnd(ctx)
	}
	if !o.reading { // what was read is the reading goroutine's until it is back
		o.maybeCheckpoint()
	}
	if !o.busy {
		if len(o.jobs) == 0 && o.worthCommitting() {
			o.seal()
		}
		if len(o.jobs) > 0 {
			o.busy = true
			j := o.jobs[0]
			go func() { done <- o.do(ctx, j) }()
		}
	}
	if o.stopping {
		if !o.busy && !o.reading && len(o.jobs) == 0 && o.handling.over() {
			if o.ended && o.handling.idle() {
				return &finished{waiting: int64(o.machine.Waiting())}
			}
			return errStopped
		}
		return nil
	}
	if !o.reading && o.room() {
		o.reading = true
		block := o.block()
		go func() {
			g, err := o.feed.fill(ctx, block)
			reads <- readResult{g, err}
		}()
	}
	return nil
}

// room reports whether more may be read.
func (o *owner) room() bool {
	return o.group.Size() < gatherBytes && len(o.jobs) <= 2 && o.handling.bytes < handlerBytes && o.since < 2*checkpointMax
}

// block is how long the next read may wait for a record: until time alone changes anything, or a checkpoint is due.
func (o *owner) block() time.Duration {
	if o.feed.waiting() {
		return 0
	}
	d := maxBlock
	if at := o.machine.Deadline(); at != 0 {
		d = min(d, time.Duration(at-o.feed.clock.now())*time.Millisecond)
	}
	if o.moved && o.checkpoints == 0 {
		due := checkpointEvery
		if o.hurried() {
			due = checkpointSoon
		}
		d = min(d, due-time.Since(o.lastPoint))
	}
	return max(d, 0)
}

// step makes one decision of what was read.
func (o *owner) step(ctx context.Context, g got) {
	now := g.now
	if !o.machine.NeedsReceived() {
		now = o.feed.clock.now()
	}
	now = max(now, o.now)
	if o.feed.stale {
		o.feed.stale, o.moved = false, true // a checkpoint trims them
	}
	moved := o.feed.waiting() // what was just read, and what a replay may have left
	deadline := o.machine.Deadline()
	d := journal.Decision{K: o.k + 1, Now: now}
	if o.machine.NeedsLanes() {
		d.Lanes = o.feed.known()
	}
	if !moved && (deadline == 0 || now < deadline) && !otherEnds(d.Lanes, o.lanes) {
		return
	}
	bytes := o.pending()
	o.decide(&d, o.everything(), o.noteReceipts(&d))
	o.since += bytes
	o.moved = o.moved || moved
	if d.Outputs == 0 && !o.machine.NeedsTurns() && o.feed.single() {
		return // it joins the next one: nobody saw it
	}
	d.Positions = o.feed.positions()
	o.k++
	o.handling.decided(ctx, d)
	o.handled()
}

// maybeEnd brings the work to its end for this run once all that was read is taken and what was due is emitted.
func (o *owner) maybeEnd(ctx context.Context) {
	if o.endBy == 0 {
		o.endBy = o.feed.clock.now()
	}
	if at := o.machine.Deadline(); o.feed.waiting() || at != 0 && at <= o.endBy {
		return
	}
	if o.w.goal.Flush && o.machine.Waiting() > 0 {
		d := journal.Decision{K: o.k + 1, Now: o.now, Flush: true}
		if o.machine.NeedsLanes() {
			d.Lanes = o.feed.known()
		}
		o.decide(&d, o.everything(), o.noteReceipts(&d))
		d.Positions = o.feed.positions()
		o.k++
		o.handling.decided(ctx, d)
		o.handled()
	}
	o.stopping, o.ended, o.moved = true, true, true // a last checkpoint
}

func (o *owner) pending() (bytes int64) {
	for _, l := range o.feed.lanes {
		for i := range l.spans {
			bytes += int64(len(l.spans[i].batches))
		}
	}
	return bytes
}

// everything is where a step that takes all that was read ends, per lane.
func (o *owner) everything() map[string]int64 {
	m := make(map[string]int64, len(o.feed.lanes))
	for _, l := range o.feed.lanes {
		m[l.name] = l.read
	}
	return m
}

// decide lets the machine make decision d of the records up to the positions, lane by lane.
func (o *owner) decide(d *journal.Decision, to map[string]int64, received func(l *lane) received) {
	o.inStep = d
	d.Outputs = 0
	n := 0
	o.tell(d.Lanes)
	before := o.machine.Counts()
	o.machine.Step(d.Now, func(yield func(*record.Record) bool) {
		for _, l := range o.feed.lanes {
			for r := range o.feed.records(l, to[l.name], received(l)) {
				n++
				if foreign, id := letter.Addressed(r, o.w.o.Settings.Stream, o.w.o.Settings.Pipeline); foreign {
					continue
				} else if id != "" {
					o.again(r, id)
				} else if !yield(r) {
					return
				}
			}
		}
	}, o)
	if d.Flush {
		o.machine.Flush(o)
	}
	if !o.replaying {
		records.Add(float64(n))
		o.counted(before)
	}
	o.tally.Records += int64(n)
	o.inStep = nil
	o.feed.drop()
	o.now = d.Now
}

// tell tells the machine what is known of the lanes.
func (o *owner) tell(lanes []journal.Lane) {
	if !o.machine.NeedsLanes() {
		return
	}
	o.lanes, o.told = lanes, o.told[:0]
	for _, l := range lanes {
		if x := o.feed.lane(l.Lane); x != nil {
			o.told = append(o.told, window.Lane{Topic: x.source.Topic, Partition: x.source.Partition, AtEnd: l.AtEnd, Got: l.Got})
		}
	}
	o.machine.Lanes(o.told)
}

// otherEnds reports whether other lanes are read to their end than before.
func otherEnds(lanes, before []journal.Lane) bool {
	return !slices.EqualFunc(lanes, before, func(a, b journal.Lane) bool { return a.Lane == b.Lane && a.AtEnd == b.AtEnd })
}

// noteReceipts notes in d when the records were received, where the emitter looks at that. A record never counts as
// received before the decision ahead of it, nor before the record ahead of it in its lane: Redis's clock may go back in a
// fail-over, and records would come in windows before those of the records ahead of them.
func (o *owner) noteReceipts(d *journal.Decision) func(l *lane) received {
	return func(l *lane) received {
		if !o.machine.NeedsReceived() {
			return nil
		}
		last, floor := int64(-1), o.now
		return func(offset, ms int64) int64 {
			l.receipt = max(l.receipt, ms, floor)
			if ms = l.receipt; ms != last {
				d.Receipts = append(d.Receipts, journal.Receipt{Lane: l.name, Offset: offset, Ms: ms})
				last = ms
			}
			return ms
		}
	}
}

// Window and Reject take what a step gives (window.Out).
func (o *owner) Window(w *window.Window) {
	o.inStep.Outputs++
	o.tally.Windows++
	if o.replaying {
		if o.inStep.K > o.delivered && !o.w.o.Sink.Transactional() {
			o.handling.add(&out{window: w.Clone()})
		}
		return
	}
	reason := string(w.Reason)
	if w.Letter != "" {
		reason = "replayed" // by whoever has written it: its words are no labels
	}
	windows.WithLabelValues(reason).Inc()
	if o.handling.processor == nil {
		o.group.Add(o.inStep.Now, w)
		return
	}
	o.handling.add(&out{window: w.Clone()})
}

// again takes a record that is a window, put back from the dead letters.
func (o *owner) again(r *record.Record, letterID string) {
	w, err := letter.Window(letterID, r.Value)
	if err != nil {
		o.reject(r, "bad-replay", err)
		return
	}
	o.Window(w)
}

// Reject takes a record that can't be processed.
func (o *owner) Reject(r *record.Record, reason error) { o.reject(r, rejectReason(reason), reason) }

func (o *owner) reject(r *record.Record, word string, err error) {
	o.inStep.Outputs++
	o.tally.Dead++
	dead := &sink.Dead{Record: r, Reason: word, Err: err, First: o.inStep.Now, Last: o.inStep.Now}
	switch {
	case o.replaying && (o.w.o.Sink.Transactional() || o.inStep.K <= o.delivered):
	case o.replaying || o.handling.processor != nil:
		c := r.Clone()
		dead.Record = &c
		o.handling.add(&out{dead: dead, done: true})
	default:
		o.group.Dead(o.inStep.Now, dead)
	}
	if !o.replaying {
		rejects.WithLabelValues(word).Inc()
	}
}

// handled moves decisions whose windows are all handled into the group, in order; at a checkpoint's place it seals.
func (o *owner) handled() {
	o.handling.drain(func(it *item) {
		if it.point != nil {
			o.sealPoint(it)
			return
		}
		group := o.group
		if it.decision.K <= o.committed {
			group = sink.Outside(group) // what is in the transaction was committed with it
		}
		for _, x := range it.outs {
			x.addTo(group, it.decision.Now)
			if x.window != nil && x.dead != nil {
				o.refused++
			}
		}
		o.drained = it.decision.K
		if it.decision.K > o.committed {
			o.ready = append(o.ready, it.decision)
		}
	})
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
