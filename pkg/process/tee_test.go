package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/pkg/sink/stdout"
	"github.com/windrow-io/windrow/pkg/sink/tee"
	"github.com/windrow-io/windrow/pkg/window"
)

// paper is a sink's writer that can be out of order, and is the same for several workers.
type paper struct {
	mu     sync.Mutex
	text   bytes.Buffer
	broken bool
	tries  int
}

func (p *paper) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries++
	if p.broken {
		return 0, errors.New("out of order")
	}
	return p.text.Write(b)
}

func (p *paper) set(broken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = broken
}

// windows are the windows written, without those that came again.
func (p *paper) windows(t *testing.T) (ws []output) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range bytes.Lines(p.text.Bytes()) {
		var o output
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if !slices.ContainsFunc(ws, func(w output) bool { return w.ID == o.ID }) {
			ws = append(ws, o)
		}
	}
	return ws
}

// Windows go to Kafka exactly once and to the other sink as well, also when a worker dies between the two.
func TestSeveralSinks(t *testing.T) {
	r := newRig(t, 2)
	r.ingest()
	p := &paper{broken: true}
	both := func(o *Options) { o.Sink = tee.New(0, o.Sink, stdout.New(p, "")) }
	a := r.worker("a", count100, both)
	r.produce(2, 0, 550)
	r.consume("out", windowCount(1))
	await.True(t, "the other sink is tried", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.tries > 1 })
	a.kill()
	p.set(false)
	// The windows that b repeats come back from the handler only when new ones are there as well: they are written together.
	gates := map[string]chan struct{}{"in/0": make(chan struct{}), "in/1": make(chan struct{})}
	b := r.worker("b", count100, func(o *Options) {
		both(o)
		o.HandlerConcurrency, o.HandlerAttempts = 10, 1
		o.Handler = func(ctx context.Context, w *window.Window) (any, error) {
			switch gate := gates[w.Shard]; {
			case w.Seq == 7:
				close(gate)
			case w.Seq < 5:
				select {
				case <-gate:
				case <-ctx.Done():
				}
			}
			return w, nil
		}
	})
	r.produce(2, 550, 1000)
	ws := r.consume("out", holds(2000))
	await.True(t, "the other sink has all", func() bool { return recordCount(p.windows(t)) >= 2000 })
	b.stop()
	exact(t, ws, 2, 1000)
	exact(t, p.windows(t), 2, 1000)
	exact(t, r.consume("out", holds(2000)), 2, 1000) // nothing came after it
}
