// Package process is the worker: it takes shards of a stream, turns each one's records into windows, has them processed,
// and delivers the results, exactly once, whatever dies.
//
// A Worker shares the shards of a pipeline with the other workers by leases in Redis. Each shard it holds has an owner, one
// goroutine that reads the shard's lanes (feed), steps the state machine (pkg/window), and commits what comes out together
// with the decision that led to it (pkg/journal). An owner that meets any error is thrown away and made anew from the
// journal, by the same path that takes a shard over from a worker that died.
//
// Main makes a program of it, with the user's own emitters and handler.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/expression"
	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/handler"
	"github.com/windrow-io/windrow/pkg/journal"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/source"
	"github.com/windrow-io/windrow/pkg/window"
)

// Conditions is told what the worker waits for: err nil means that all is well with name. Warn is for what an operator must
// see and what does not stop the work.
type Conditions interface {
	Set(name string, err error)
	Warn(name string, err error)
}

// Options are what a Worker is made of.
type Options struct {
	Buffer   *buffer.Buffer
	Source   *wire.Cluster // the cluster of the input topics: what the buffer lacks is read from there
	Output   *wire.Cluster // the cluster of the journal, and of a Kafka sink
	Journal  journal.Options
	Sink     sink.Sink
	Settings window.Settings

	Handler            Handler         // in Go, or
	Service            *handler.Client // over HTTP; neither: windows go to the sink as they are
	HandlerBatch       int             // windows that a call of Service may have; more than 1 if it is for batches
	HandlerAttempts    int             // at least 1
	HandlerConcurrency int             // calls at a time for one shard, at least 1

	Goal *Goal // nil: the worker runs until it is stopped

	Name       string        // of the worker, unique among those of the pipeline
	LeaseTTL   time.Duration // how long a worker that died keeps its shards
	Conditions Conditions
	Alive      func() // called whenever a part has moved on
	Logger     *zap.Logger
}

// Worker is one running process of a pipeline.
type Worker struct {
	o            Options
	log          *zap.Logger
	settingsJSON json.RawMessage
	journal      *journal.Journal
	refill       map[bool]refiller // by whether it reads committed records only
	member       string            // the name, with what decides whose settings hold
	positions    *positions
	processor    *processor // nil: there is no handler
	reach        reach
	hint         sync.Once // about its keys
	goal         *goal     // nil: there is none

	mu    sync.Mutex
	slots map[string]*slot
}

// New makes a Worker. The error is about the settings.
func New(o Options) (*Worker, error) {
	if errs := o.Settings.Validate(); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	s, err := json.Marshal(o.Settings)
	if err != nil {
		return nil, err
	}
	if o.Handler != nil && o.Service != nil {
		return nil, errors.New("HANDLER_URL is set, and this program has a handler of its own: unset the variable, or use process itself")
	}
	if o.Alive == nil {
		o.Alive = func() {}
	}
	w := &Worker{
		o: o, log: o.Logger, settingsJSON: s, slots: map[string]*slot{},
		member: newMember(time.Now(), s, o.Name),
		refill: map[bool]refiller{true: source.NewRefill(o.Source, true), false: source.NewRefill(o.Source, false)},
	}
	switch {
	case o.Handler != nil:
		w.processor = inGo(o.Handler)
	case o.Service != nil:
		w.processor = overHTTP(o.Service, max(o.HandlerBatch, 1))
	}
	w.goal = newGoal(w, o.Goal)
	w.reach.show = func(err error) { o.Conditions.Set("handler", err) }
	w.positions = &positions{w: w, marks: map[string][]buffer.Mark{}, streams: map[string]string{}, starting: semaphore.NewWeighted(1)}
	return w, nil
}

func (w *Worker) alive() { w.o.Alive() }

// Run works until stop is closed – then it finishes what is under way, takes checkpoints, gives its shards back and
// returns nil – or until ctx ends, which aborts. With a Goal it ends by itself when that is reached, and a stop before is
// ErrStopped. Servers that are away are waited for; an error is one that waiting will
// not mend.
func (w *Worker) Run(ctx context.Context, stop <-chan struct{}) error {
	if err := w.prepare(ctx, stop); err != nil {
		switch {
		case !errors.Is(err, errStopped):
			return err
		case w.goal != nil:
			return ErrStopped
		}
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var side sync.WaitGroup
	side.Go(func() { w.renew(ctx) })
	side.Go(func() { w.positions.run(ctx) })
	side.Go(func() { w.ping(ctx) })
	if w.goal != nil {
		side.Go(func() { w.goal.run(ctx) })
		stop = w.goal.either(ctx, stop)
	}
	err := w.share(ctx, stop)
	if err == nil && w.goal != nil && w.goal.missed() {
		err = ErrStopped
	}
	cancel()
	side.Wait()
	leave, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer done()
	if lerr := w.o.Buffer.Leave(leave, w.o.Settings.Pipeline, w.member); lerr != nil {
		w.log.Warn("could not remove the heartbeat; it expires by itself", zap.Error(lerr))
	}
	return err
}

// prepare waits until all that the worker needs is there.
func (w *Worker) prepare(ctx context.Context, stop <-chan struct{}) error {
	for _, s := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"redis", func(ctx context.Context) error {
			if err := w.o.Buffer.Check(ctx); err != nil {
				return err
			}
			return w.o.Buffer.Enroll(ctx, w.o.Settings.Pipeline)
		}},
		{"journal", func(ctx context.Context) (err error) {
			w.journal, err = journal.Open(ctx, w.o.Output, w.o.Journal)
			return err
		}},
		{"sink", w.o.Sink.Check},
		{"stream", func(ctx context.Context) error {
			if w.goal == nil {
				return nil
			}
			return w.goal.prepare(ctx)
		}},
	} {
		if err := w.until(ctx, stop, s.name, s.do); err != nil {
			return err
		}
	}
	return nil
}

// until does something until it succeeds, with pauses that grow, and shows what it waits for.
func (w *Worker) until(ctx context.Context, stop <-chan struct{}, name string, do func(context.Context) error) error {
	again := newBackoff()
	for {
		attempt, cancel := context.WithTimeout(ctx, 15*time.Second)
		err := do(attempt)
		cancel()
		w.alive()
		w.o.Conditions.Set(name, err)
		if err == nil {
			return nil
		}
		if permanent(err) {
			return err
		}
		w.log.Warn("waiting for what is needed", zap.String("what", name), zap.Error(err))
		if !wait(ctx, stop, again.Next()) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return errStopped
		}
	}
}

// permanent reports whether err is about how things are set up, not about a server that is away.
func permanent(err error) bool {
	return errors.Is(err, buffer.ErrPolicy) || errors.Is(err, journal.ErrTopic) || errors.Is(err, sink.ErrPermanent)
}

// newBackoff is the pause between attempts.
func newBackoff() pause.Backoff {
	return pause.Backoff{Min: 50 * time.Millisecond, Max: 5 * time.Second}
}

// wait pauses; false if ctx ended or stop was closed meanwhile.
func wait(ctx context.Context, stop <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-stop:
	}
	return false
}

// work makes owners of a shard, one after the other, as long as its lease is the worker's. It returns why it ended.
func (w *Worker) work(ctx context.Context, s *slot) error {
	again := newBackoff()
	for {
		progress, err := w.own(ctx, s)
		if progress {
			again.Reset()
			s.settled = true
		}
		switch {
		case errors.Is(err, errStopped), ctx.Err() != nil, errors.Is(err, errLease):
			return err
		case errors.Is(err, journal.ErrTooLarge):
			// The topic's limit was lowered: learn it, and the windows are split anew. What fails here fails again there.
			if cerr := w.o.Sink.Check(ctx); cerr != nil {
				w.log.Warn("could not look at the sink's limits", zap.Error(cerr))
			}
		case errors.Is(err, journal.ErrFenced):
			if held, lerr := w.o.Buffer.Leases(ctx, w.o.Settings.Pipeline, []string{s.shard}); lerr == nil && held[s.shard] != w.o.Name {
				return errLease
			}
		}
		ownerErrors.WithLabelValues(kind(err)).Inc()
		w.o.Conditions.Set("shard "+s.shard, err)
		w.log.Warn("the work on the shard is taken up again from the journal", zap.String("shard", s.shard), zap.Error(err))
		if !wait(ctx, s.stop, again.Next()) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return errStopped
		}
	}
}

// own takes the shard over and works on it as one owner. progress: it committed something.
func (w *Worker) own(ctx context.Context, s *slot) (progress bool, err error) {
	ctx, cancel := context.WithCancel(ctx) // ends what the owner leaves behind: calls of the handler
	defer cancel()
	o, err := w.takeover(ctx, s)
	if err != nil {
		return false, err
	}
	defer o.feed.reader.Close()
	w.o.Conditions.Set("shard "+s.shard, nil)
	err = o.run(ctx, s)
	return o.settled, err
}

func kind(err error) string {
	switch {
	case errors.Is(err, journal.ErrFenced):
		return "fenced"
	case errors.Is(err, journal.ErrUnknown):
		return "unknown"
	case errors.Is(err, journal.ErrTooLarge):
		return "too-large"
	case errors.Is(err, journal.ErrClock):
		return "clock"
	case errors.Is(err, journal.ErrLost):
		return "journal-lost"
	case errors.Is(err, errReplay):
		return "replay"
	case errors.Is(err, errGone):
		return "gone"
	}
	return "other"
}

// slot returns the slot of a shard that the worker holds; nil if it doesn't.
func (w *Worker) slot(shard string) *slot {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.slots[shard]
}

// Summary is what a run with a Goal has done.
func (w *Worker) Summary() Summary {
	w.goal.mu.Lock()
	defer w.goal.mu.Unlock()
	return w.goal.summary
}

// deliver writes a group to a sink outside the transaction: until it succeeds, or the shard is lost.
func (w *Worker) deliver(ctx context.Context, shard string, g sink.Group) error {
	if g.Len() == 0 {
		return nil
	}
	again := newBackoff()
	for {
		err := g.Deliver(ctx)
		w.alive()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.o.Conditions.Set("sink", err)
		if err == nil {
			return nil
		}
		deliveryErrors.Inc()
		w.log.Warn("could not deliver, trying again", zap.String("shard", shard), zap.Error(err))
		if !wait(ctx, nil, again.Next()) {
			return ctx.Err()
		}
	}
}

// stepped keeps the gauges of a shard.
func (w *Worker) stepped(o *owner) {
	l := int64(0)
	for _, x := range o.feed.lanes {
		if x.high > 0 {
			l += max(x.high-x.taken, 0)
		}
	}
	if o.shard != buffer.Direct { // whose lag the buffer tells
		lag.WithLabelValues(o.shard).Set(float64(l))
	}
	stateBytes.WithLabelValues(o.shard).Set(float64(o.machine.Bytes()))
	stateRecords.WithLabelValues(o.shard).Set(float64(o.machine.Waiting()))
	stateKeys.WithLabelValues(o.shard).Set(float64(o.machine.Keys()))
	uncommitted.WithLabelValues(o.shard).Set(float64(o.group.Size()))
	if at, ok := o.machine.Watermark(); ok {
		watermarkLag.WithLabelValues(o.shard).Set(float64(o.now-at) / 1000)
	}
}

// counted adds what the machine has counted since before to the metrics.
func (o *owner) counted(before window.Counts) {
	c := o.machine.Counts()
	late.Add(float64(c.Late - before.Late))
	future.Add(float64(c.Future - before.Future))
	dropped.WithLabelValues("late").Add(float64(c.Dropped - before.Dropped))
	dropped.WithLabelValues("bad-field").Add(float64(c.Skipped - before.Skipped))
	dropped.WithLabelValues("filter").Add(float64(c.Filtered - before.Filtered))
	dropped.WithLabelValues("duplicate").Add(float64(c.Duplicate - before.Duplicate))
	dropped.WithLabelValues("emitter").Add(float64(c.Unwanted - before.Unwanted))
	forgotten.Add(float64(c.Forgotten - before.Forgotten))
	nulled.Add(float64(c.Nulled - before.Nulled))
}

func forget(shard string) {
	for _, g := range []interface{ DeleteLabelValues(...string) bool }{lag, watermarkLag, stateBytes, stateRecords, stateKeys, uncommitted} {
		g.DeleteLabelValues(shard)
	}
}

func rejectReason(err error) string {
	switch {
	case errors.Is(err, window.ErrLate):
		return "late"
	case errors.Is(err, field.ErrNotTime):
		return "not-a-time"
	case errors.Is(err, field.ErrNotJSON):
		return "not-json"
	case errors.Is(err, field.ErrMissing):
		return "missing-field"
	case errors.Is(err, expression.ErrFailed):
		return "expression"
	}
	return "rejected"
}

// refusalReason is the word for why a handler made nothing of a window.
func refusalReason(err error) string {
	if errors.Is(err, expression.ErrFailed) {
		return "expression"
	}
	return "handler"
}
