package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/journal"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/window"
)

// Handler is the user's processing of a window. What it returns is delivered in place of the window: nil drops it, the
// window itself passes it on unchanged, a []byte, json.RawMessage or string goes out as it is, anything else as JSON. It is
// called at least once per window – w.ID(0) is the same each time – and its result is delivered once. An error makes it
// be called again, after a pause that grows, HANDLER_ATTEMPTS times in all; then, or at once after Refuse, the window
// goes to the dead letters. Several windows may be handled at the same time (HANDLER_CONCURRENCY, and other shards); their
// results keep the windows' order. The window is the handler's own.
type Handler func(ctx context.Context, w *window.Window) (any, error)

// errRefused marks errors after which trying again is of no use.
var errRefused = errors.New("refused")

// Refuse makes of err one after which the window is not tried again but goes to the dead letters.
func Refuse(err error) error { return fmt.Errorf("%w: %w", errRefused, err) }

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
// It belongs to the owner's goroutine; only call runs beside it.
type handling struct {
	handler     Handler
	attempts    int
	concurrency int

	items   []*item
	outs    []*out // of the decision being made
	waiting []*out // for a call
	running int
	bytes   int64 // of the windows in items
	results chan *out
}

func newHandling(h Handler, attempts, concurrency int) *handling {
	return &handling{handler: h, attempts: max(attempts, 1), concurrency: max(concurrency, 1), results: make(chan *out)}
}

func (h *handling) idle() bool { return len(h.items) == 0 }

// add adds what the decision being made gives.
func (h *handling) add(x *out) {
	if h.handler == nil {
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
	h.call(ctx)
}

func (h *handling) checkpoint(p *journal.Checkpoint, marks []buffer.Mark) {
	h.items = append(h.items, &item{point: p, marks: marks})
}

// drain gives the complete items at the front to f.
func (h *handling) drain(f func(*item)) {
	for len(h.items) > 0 && h.items[0].complete() {
		it := h.items[0]
		h.items = h.items[1:]
		f(it)
	}
}

// call starts calls up to the concurrency.
func (h *handling) call(ctx context.Context) {
	for h.running < h.concurrency && len(h.waiting) > 0 {
		x := h.waiting[0]
		h.waiting = h.waiting[1:]
		h.running++
		go func() {
			h.handle(ctx, x)
			select {
			case h.results <- x:
			case <-ctx.Done():
			}
		}()
	}
	handlerWaiting.Set(float64(len(h.waiting)))
}

// finish takes a call's result.
func (h *handling) finish(ctx context.Context, x *out) {
	x.done = true
	h.running--
	h.bytes -= x.bytes
	h.call(ctx)
}

func size(w *window.Window) (n int64) {
	for i := range w.Records {
		n += int64(w.Records[i].Size())
	}
	return n
}

// handle calls the handler until it succeeds, refuses, or has had its attempts.
func (h *handling) handle(ctx context.Context, x *out) {
	first, again := time.Now(), pause.Backoff{Min: 100 * time.Millisecond, Max: 10 * time.Second}
	for attempt := 1; ; attempt++ {
		t := time.Now()
		err := h.try(ctx, x)
		handlerSeconds.Observe(time.Since(t).Seconds())
		if err == nil || ctx.Err() != nil {
			return
		}
		handlerErrors.Inc()
		if attempt >= h.attempts || errors.Is(err, errRefused) {
			x.dead = &sink.Dead{Window: x.window, Reason: "handler", Err: err, Attempts: attempt,
				First: first.UnixMilli(), Last: time.Now().UnixMilli()}
			return
		}
		if !again.Wait(ctx) {
			return
		}
	}
}

// try calls the handler once and puts its result into x. A panic is an error like any other: one bad window must not
// take the worker down, again and again, with all its shards.
func (h *handling) try(ctx context.Context, x *out) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the handler panicked: %v", p)
		}
	}()
	w := x.window.Clone()
	result, err := h.handler(ctx, w)
	if err != nil {
		return err
	}
	switch r := result.(type) {
	case nil:
		x.drop = true
	case *window.Window:
		if r == nil {
			x.drop = true
			return nil
		}
		x.window = r
	case []byte:
		x.window.Result = r
	case json.RawMessage:
		x.window.Result = r
	case string:
		x.window.Result = []byte(r)
	default:
		if x.window.Result, err = json.Marshal(r); err != nil {
			return Refuse(fmt.Errorf("the handler's result is not JSON: %w", err))
		}
	}
	return nil
}
