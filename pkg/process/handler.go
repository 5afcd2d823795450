package process

import (
	"context"

	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/journal"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/window"
)

// Handler is the user's processing of a window. What it returns is delivered in place of the window: nil drops it, the
// window itself passes it on unchanged, a []byte, json.RawMessage or string goes out as it is, anything else as JSON. It is
// called at least once per window – w.ID(0) is the same each time – and its result is delivered once. An error makes it
// be called again, after a pause that grows, HANDLER_ATTEMPTS times in all; then, or at once after Refuse, the window
// goes to the dead letters. An error made by Unavailable is none of the attempts. Several windows may be handled at the same time (HANDLER_CONCURRENCY, and other shards); their
// results keep the windows' order. The window is the handler's own.
type Handler func(ctx context.Context, w *window.Window) (any, error)

// out is one thing a decision gives to the sink.
type out struct {
	window *window.Window
	dead   *sink.Dead
	bytes  int64 // of the window, as it counts while it waits
	done   bool  // ready for the sink
	drop   bool  // the handler wants nothing written
}

func (x *out) addTo(g sink.Group, now int64) {
	switch {
	case x.dead != nil:
		g.Dead(now, x.dead)
	case !x.drop:
		g.Add(now, x.window)
	}
}

// item is a decision and what it gives, or a checkpoint's place between two decisions.
type item struct {
	decision journal.Decision
	outs     []*out
	point    *journal.Checkpoint
	marks    []buffer.Mark
	tally    Summary // of the decisions that the checkpoint is the first to cover
}

func (it *item) complete() bool {
	for _, x := range it.outs {
		if !x.done {
			return false
		}
	}
	return true
}

// handling keeps decisions in order while the handler works on their windows: several at a time, ahead of their turn.
// It belongs to the owner's goroutine; only calls run beside it.
type handling struct {
	processor   *processor // nil: there is no handler
	calls       *calls
	concurrency int

	items   []*item
	outs    []*out // of the decision being made
	waiting []*out // for a call
	running int
	bytes   int64 // of the windows in items
	results chan *call

	abandoned bool // a call was: see stop
}

func newHandling(w *Worker) *handling {
	return &handling{
		processor: w.processor, concurrency: max(w.o.HandlerConcurrency, 1), results: make(chan *call),
		calls: &calls{processor: w.processor, attempts: max(w.o.HandlerAttempts, 1), reach: &w.reach, quit: make(chan struct{})},
	}
}

func (h *handling) idle() bool { return len(h.items) == 0 }

// add adds what the decision being made gives.
func (h *handling) add(x *out) {
	if h.processor == nil {
		x.done = true
	}
	h.outs = append(h.outs, x)
}

// decided says that d is made, and gives what was added.
func (h *handling) decided(ctx context.Context, d journal.Decision) {
	it := &item{decision: d, outs: h.outs}
	h.outs = nil
	h.items = append(h.items, it)
	for _, x := range it.outs {
		if !x.done {
			x.bytes = size(x.window)
			h.bytes += x.bytes
			h.waiting = append(h.waiting, x)
		}
	}
	h.start(ctx)
}

func (h *handling) checkpoint(p *journal.Checkpoint, marks []buffer.Mark, tally Summary) {
	h.items = append(h.items, &item{point: p, marks: marks, tally: tally})
}

// drain gives the complete items at the front to f.
func (h *handling) drain(f func(*item)) {
	for len(h.items) > 0 && h.items[0].complete() {
		it := h.items[0]
		h.items = h.items[1:]
		f(it)
	}
}

// start starts calls up to the concurrency.
func (h *handling) start(ctx context.Context) {
	for h.running < h.concurrency && len(h.waiting) > 0 && !h.abandoned {
		n := min(len(h.waiting), h.processor.batch)
		c := &call{outs: h.waiting[:n:n]}
		h.waiting = h.waiting[n:]
		h.running++
		go func() {
			h.calls.make(ctx, c)
			select {
			case h.results <- c:
			case <-ctx.Done():
			}
		}()
	}
	handlerWaiting.Set(float64(len(h.waiting)))
}

// finish takes a call's result.
func (h *handling) finish(ctx context.Context, c *call) {
	h.running--
	if c.abandoned {
		h.abandoned = true
		return
	}
	for _, x := range c.outs {
		x.done = true
		h.bytes -= x.bytes
	}
	h.start(ctx)
}

// stop has calls abandoned that wait for a handler to be there again: whoever takes the shard over makes them.
func (h *handling) stop() { close(h.calls.quit) }

// over reports whether no call is under way, nor will be made.
func (h *handling) over() bool { return h.idle() || h.abandoned && h.running == 0 }

func size(w *window.Window) (n int64) {
	for i := range w.Records {
		n += int64(w.Records[i].Size())
	}
	return n
}
