package process

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

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
