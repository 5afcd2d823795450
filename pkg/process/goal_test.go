package process

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/source"
	"github.com/windrow-io/windrow/pkg/window"
)

// goal is what is in topic "in" now.
func (r *rig) goal(flush bool) *Goal {
	r.t.Helper()
	c := wire.New(wire.Config{Brokers: r.brokers})
	defer c.Close()
	topics, err := source.ParseTopics("in")
	if err != nil {
		r.t.Fatal(err)
	}
	g, err := FindGoal(context.Background(), c, topics, true)
	if err != nil {
		r.t.Fatal(err)
	}
	g.Flush = flush
	return g
}

// once runs a worker until what is there is processed, and returns what it did.
func (r *rig) once(name string, s window.Settings, flush bool, change func(*Options)) Summary {
	r.t.Helper()
	g := r.goal(flush)
	a := r.worker(name, s, func(o *Options) {
		o.Goal = g
		if change != nil {
			change(o)
		}
	})
	a.wait()
	return a.Summary()
}

func TestUntilCaughtUp(t *testing.T) {
	r := newRig(t, 4)
	r.ingest()
	r.produce(3, 0, 130) // the partition 3 is empty
	if did, want := r.once("a", count100, false, nil), (Summary{Records: 390, Windows: 3, Waiting: 90}); did != want {
		t.Errorf("the first run: %+v, want %+v", did, want)
	}
	if did, want := r.once("b", count100, false, nil), (Summary{Waiting: 90}); did != want {
		t.Errorf("a run with nothing to do: %+v, want %+v", did, want)
	}
	r.produce(3, 130, 210)
	if did, want := r.once("c", count100, true, nil), (Summary{Records: 240, Windows: 6}); did != want {
		t.Errorf("the run that flushes: %+v, want %+v", did, want)
	}
	ws := r.consume("out", holds(630))
	exact(t, ws, 3, 210)
	flushed := 0
	for _, w := range ws {
		if w.Reason == "flush" && w.Count == 10 {
			flushed++
		}
	}
	if flushed != 3 {
		t.Errorf("%d windows of 10 were flushed, want 3: %+v", flushed, ws)
	}
	r.produce(3, 210, 310)
	d := r.worker("d", count100, nil) // and a worker without an end goes on
	exact(t, r.consume("out", holds(930)), 3, 310)
	d.stop()
}

// A worker that dies after it has flushed, before its checkpoint: the flush is replayed, not made again.
func TestAFlushIsReplayed(t *testing.T) {
	r := newRig(t, 1)
	r.ingest()
	r.produce(1, 0, 55)
	g := r.goal(true)
	var calls atomic.Int64
	a := r.worker("a", count10, func(o *Options) {
		o.Goal = g
		o.HandlerConcurrency = 10
		o.Handler = func(ctx context.Context, w *window.Window) (any, error) {
			if w.Reason == "flush" { // its decision is committed once the handler returns; then comes the checkpoint
				calls.Add(1)
			}
			return w, nil
		}
	})
	await.True(t, "the rest is flushed", func() bool { return calls.Load() > 0 })
	a.kill()
	r.produce(1, 55, 100)
	if did := r.once("b", count10, true, nil); did.Waiting != 0 {
		t.Errorf("%d records wait", did.Waiting)
	}
	exact(t, r.consume("out", holds(100)), 1, 100)
}

func TestUntilCaughtUpWaitsForTheHandler(t *testing.T) {
	r := newRig(t, 1)
	r.ingest()
	r.produce(1, 0, 40)
	var away atomic.Bool
	away.Store(true)
	c := &conditions{}
	g := r.goal(false)
	a := r.worker("a", count10, func(o *Options) {
		o.Goal, o.Conditions, o.HandlerAttempts = g, c, 1
		o.Handler = func(_ context.Context, w *window.Window) (any, error) {
			switch {
			case away.Load():
				return nil, Unavailable(errors.New("away"))
			case w.Seq == 2:
				return nil, Refuse(errors.New("no"))
			}
			return w, nil
		}
	})
	await.True(t, "the handler is missed", func() bool { return c.get("handler") != nil })
	await.True(t, "a condition says what is left to do", func() bool { return c.get("caught up") != nil })
	away.Store(false)
	a.wait()
	if did, want := a.Summary(), (Summary{Records: 40, Windows: 4, Dead: 1}); did != want {
		t.Errorf("%+v, want %+v", did, want)
	}
	if seqs, want := seqsOf(r.consume("out", windowCount(3))), []int64{0, 1, 3}; !slices.Equal(seqs, want) {
		t.Errorf("windows %v, want %v", seqs, want)
	}
}

// Time windows that are due are emitted, the one that is still open is kept or flushed.
func TestUntilCaughtUpWithTime(t *testing.T) {
	r := newRig(t, 1)
	r.ingest()
	r.produce(1, 0, 10)
	fixed := window.Settings{Emitter: "fixed", Interval: time.Hour}
	if did, want := r.once("a", fixed, false, nil), (Summary{Records: 10, Waiting: 10}); did != want {
		t.Errorf("%+v, want %+v", did, want)
	}
	if did, want := r.once("b", fixed, true, nil), (Summary{Windows: 1}); did != want {
		t.Errorf("%+v, want %+v", did, want)
	}
	exact(t, r.consume("out", holds(10)), 1, 10)
}

func TestUntilCaughtUpDirect(t *testing.T) {
	r := newRig(t, 1)
	r.ingest()
	b := r.buffer()
	defer b.Close()
	for n := range 25 {
		if err := b.Append(context.Background(), map[string]int{"n": n}); err != nil {
			t.Fatal(err)
		}
	}
	if did, want := r.once("a", count10, true, nil), (Summary{Records: 25, Windows: 3}); did != want {
		t.Errorf("%+v, want %+v", did, want)
	}
}

// A run that is stopped before its end says so.
func TestStoppedBeforeCaughtUp(t *testing.T) {
	r := newRig(t, 1)
	r.produce(1, 0, 10) // nobody ingests
	c := &conditions{}
	g := r.goal(false)
	stop := make(chan struct{})
	done := make(chan error, 1)
	b := r.buffer()
	defer b.Close()
	k := wire.New(wire.Config{Brokers: r.brokers})
	defer k.Close()
	w, err := New(r.options(b, k, "a", count10, func(o *Options) { o.Goal, o.Conditions = g, c }))
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- w.Run(context.Background(), stop) }()
	await.True(t, "it says what it waits for", func() bool {
		err := c.get("stream")
		return err != nil && strings.Contains(err.Error(), "ingest has not come to partition in/0")
	})
	close(stop)
	if err := <-done; !errors.Is(err, ErrStopped) {
		t.Errorf("got %v, want ErrStopped", err)
	}
}

func TestGoalOfATopicThatIsNotThere(t *testing.T) {
	r := newRig(t, 1)
	c := wire.New(wire.Config{Brokers: r.brokers})
	defer c.Close()
	topics, err := source.ParseTopics("in,nowhere")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FindGoal(context.Background(), c, topics, true); !errors.Is(err, ErrNoTopic) || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("got %v", err)
	}
}
