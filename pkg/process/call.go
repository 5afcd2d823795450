package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/pkg/handler"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/windowjson"
	"github.com/windrow-io/windrow/pkg/window"
)

var (
	errRefused     = errors.New("refused")
	errUnavailable = errors.New("unavailable")
)

// Refuse makes of err one after which the window is not tried again but goes to the dead letters.
func Refuse(err error) error { return fmt.Errorf("%w: %w", errRefused, err) }

// Unavailable makes of err one that says nothing of the window: what the handler needs is away. It doesn't count as an
// attempt; the shard waits until a call gets through, and /readyz says so.
func Unavailable(err error) error { return fmt.Errorf("%w: %w", errUnavailable, err) }

// processor is a handler as the worker calls it.
type processor struct {
	batch int // windows that a call may have
	// call handles windows of a shard and returns a result for each. The windows are its own.
	call func(ctx context.Context, attempt int, ws []*window.Window) ([]any, error)
}

// inGo is the processor of a Handler. A panic is an error like any other: one bad window must not take the worker down,
// again and again, with all its shards.
func inGo(h Handler) *processor {
	return &processor{batch: 1, call: func(ctx context.Context, _ int, ws []*window.Window) (results []any, err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("the handler panicked: %v", p)
			}
		}()
		result, err := h(ctx, ws[0])
		return []any{result}, err
	}}
}

// overHTTP is the processor of a user's service.
func overHTTP(c *handler.Client, batch int) *processor {
	return &processor{batch: batch, call: func(ctx context.Context, attempt int, ws []*window.Window) ([]any, error) {
		first := ws[0]
		call := handler.Call{Stream: first.Stream, Pipeline: first.Pipeline, Shard: first.Shard, Attempt: attempt}
		for _, w := range ws {
			call.Windows = append(call.Windows, windowjson.Append(nil, w))
			call.IDs = append(call.IDs, w.RevisionID(0))
		}
		answers, err := c.Do(ctx, &call)
		if e := (*handler.Error)(nil); errors.As(err, &e) {
			switch e.Kind {
			case handler.Refused:
				err = Refuse(err)
			case handler.Unavailable:
				err = Unavailable(err)
			}
		}
		results := make([]any, len(answers))
		for i, a := range answers {
			if a != nil {
				results[i] = a
			}
		}
		return results, err
	}}
}

// call is one call of the handler under way.
type call struct {
	outs      []*out
	abandoned bool // not made to its end: the shard is to be given back
}

// calls are how a shard's windows are handed to the handler. They run beside the owner and touch nothing of it but their
// outs.
type calls struct {
	processor *processor
	attempts  int
	reach     *reach
	quit      chan struct{} // closed: don't wait for a handler that can't be reached
}

// make makes a call until it has come to its end, or is abandoned.
func (c *calls) make(ctx context.Context, x *call) { x.abandoned = !c.handle(ctx, x.outs, 0) }

// handle calls the handler until it succeeds, refuses, or has had its attempts, of which some were made before. Windows of
// a batch that comes to nothing are tried once more one by one: a bad one must not take others with it. false: abandoned.
func (c *calls) handle(ctx context.Context, outs []*out, before int) bool {
	first, again, unreached := time.Now(), newCallBackoff(), newCallBackoff()
	waiting := false // for a handler that can't be reached
	defer func() {
		if waiting {
			c.reach.end()
		}
	}()
	for attempt := before + 1; ; {
		err := c.try(ctx, attempt, outs)
		if ctx.Err() != nil {
			return false
		}
		if errors.Is(err, errUnavailable) {
			handlerUnreachable.Inc()
			c.reach.lost(err, !waiting)
			waiting = true
			if !c.wait(ctx, unreached.Next(), true) {
				return false
			}
			continue
		}
		if waiting {
			c.reach.end()
			waiting = false
			unreached.Reset()
		}
		if err == nil {
			return true
		}
		handlerErrors.Inc()
		if attempt >= max(c.attempts, before+1) || errors.Is(err, errRefused) {
			return c.lastly(ctx, outs, &sink.Dead{Reason: refusalReason(err), Err: err, Attempts: attempt,
				First: first.UnixMilli(), Last: time.Now().UnixMilli()})
		}
		var after time.Duration
		if e := (*handler.Error)(nil); errors.As(err, &e) {
			after = e.After
		}
		if !c.wait(ctx, max(again.Next(), after), after > 0) {
			return false
		}
		attempt++
	}
}

// newCallBackoff is the pause between calls for the same windows.
func newCallBackoff() pause.Backoff {
	return pause.Backoff{Min: 100 * time.Millisecond, Max: 10 * time.Second}
}

// lastly makes a dead letter of a window that the handler will not have; of several it tries each alone.
func (c *calls) lastly(ctx context.Context, outs []*out, d *sink.Dead) bool {
	if len(outs) == 1 {
		d.Window = outs[0].window
		outs[0].dead = d
		return true
	}
	for i := range outs {
		if !c.handle(ctx, outs[i:i+1], d.Attempts) {
			return false
		}
	}
	return true
}

// wait pauses before a call is made again; false if it is to be abandoned. long: it may take long, and a graceful stop is
// not to wait for it.
func (c *calls) wait(ctx context.Context, d time.Duration, long bool) bool {
	var quit <-chan struct{}
	if long {
		quit = c.quit
	}
	handlerRetrying.Inc()
	defer handlerRetrying.Dec()
	return wait(ctx, quit, d)
}

// try calls the handler once and puts its results into outs.
func (c *calls) try(ctx context.Context, attempt int, outs []*out) error {
	ws := make([]*window.Window, len(outs))
	for i, x := range outs {
		ws[i] = x.window.Clone()
	}
	begin := time.Now()
	results, err := c.processor.call(ctx, attempt, ws)
	handlerSeconds.Observe(time.Since(begin).Seconds())
	if err != nil {
		return err
	}
	for i, x := range outs {
		if err := x.take(results[i]); err != nil {
			return err
		}
	}
	return nil
}

// take puts what the handler made of the window into x.
func (x *out) take(result any) (err error) {
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

// reach knows how many calls wait for a handler that can't be reached, over all shards, and shows whether any does.
type reach struct {
	show func(err error)

	mu    sync.Mutex
	calls int
}

// lost says that a call can't reach the handler; begins: it is the first time for this call.
func (r *reach) lost(err error, begins bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if begins {
		r.calls++
	}
	r.show(err)
}

// end says that a call waits no more.
func (r *reach) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls--; r.calls == 0 {
		r.show(nil)
	}
}
