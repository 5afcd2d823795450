package process

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/source"
	"github.com/windrow-io/windrow/pkg/window"
)

// emptySource has lost everything that it is asked for. It says so once it is released.
type emptySource struct {
	asked, free chan struct{}
	release     func()
}

func (s emptySource) Read(_ context.Context, p source.Range, _ []byte) ([]byte, int64, error) {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	<-s.free
	return nil, p.From, &source.LostError{TopicPartition: p.TopicPartition, From: p.From, To: p.To}
}

// loser is a worker whose source has lost everything.
func (r *rig) loser(name string) (w running, s emptySource, said func() error) {
	c := wire.New(wire.Config{Brokers: r.brokers, ClientID: name})
	b := r.buffer()
	of := &conditions{}
	worker, err := New(r.options(b, c, name, count100, func(o *Options) { o.Conditions = of }))
	if err != nil {
		r.t.Fatal(err)
	}
	s = emptySource{asked: make(chan struct{}, 1), free: make(chan struct{})}
	s.release = sync.OnceFunc(func() { close(s.free) })
	worker.refill = map[bool]refiller{true: s, false: s}
	r.t.Cleanup(s.release)
	w = r.run(worker, name, func() {
		_ = worker.o.Sink.Close(context.Background())
		b.Close()
		c.Close()
	})
	return w, s, func() error {
		of.mu.Lock()
		defer of.mu.Unlock()
		return of.bad["data in/0"]
	}
}

// emptied has 100 records of which the buffer knows, and which it no longer has.
func (r *rig) emptied() {
	r.ingest()
	r.produce(1, 0, 100)
	await.True(r.t, "the records are in the buffer", func() bool { return r.redis.HGet("windrow:{s/in/0}:lane:in/0:tail", "next") == "100" })
	r.redis.Del("windrow:{s/in/0}:lane:in/0")
}

// A worker that was superseded while it looked finds gone what its successor has processed: it does not cry.
func TestWhatASuccessorHasProcessedIsNotLost(t *testing.T) {
	r := newRig(t, 1)
	r.emptied()
	a, of, said := r.loser("a")
	<-of.asked
	if err := r.redis.Set("windrow:{s/in/0}:p:lease", "b"); err != nil {
		t.Fatal(err)
	}
	b := r.worker("b", window.Settings{Emitter: "count", Size: 50}, nil) // newer settings: a is not to have the shard again
	exact(t, r.consume("out", holds(100)), 1, 100)
	of.release()
	await.True(t, "a has given the shard up", func() bool { return a.slot("in/0") == nil })
	b.stop() // a takes the shard over, and knows better than to look for what is done
	r.produce(1, 100, 200)
	exact(t, r.consume("out", holds(200)), 1, 200)
	a.stop()
	if err := said(); err != nil {
		t.Errorf("nothing is lost, and a says: %v", err)
	}
}

// What nobody has processed is lost: the shard's next owner says so, and goes on behind it.
func TestWhatIsLostIsSaid(t *testing.T) {
	r := newRig(t, 1)
	r.emptied()
	a, of, said := r.loser("a")
	of.release()
	await.True(t, "a loss is said", func() bool { return said() != nil })
	if err := said(); !strings.Contains(err.Error(), "DATA LOSS: the offsets 0 to 99 of lane in/0") {
		t.Error(err)
	}
	r.produce(1, 100, 200)
	r.consume("out", holds(100))
	a.stop()
}

// Only what was missed before the journal was read is lost; what is found gone beyond is asked for once more.
func TestALossIsToldByTheNextOwner(t *testing.T) {
	of := &conditions{}
	w := &Worker{o: Options{Conditions: of}, log: zap.NewNop()}
	s := &slot{shard: "in/0"}
	for i, c := range []struct {
		from, to int64
		upTo     int64 // 0: not known to be lost
	}{
		{5, 10, 0},   // the first owner misses them
		{5, 12, 10},  // the second as well, and more
		{10, 12, 0},  // … of which it can't tell
		{11, 12, 12}, // the third is further on
		{20, 30, 0},
		{5, 10, 0}, // never asked for again, for positions don't go back; if it were, it would be no proof
	} {
		upTo, err := w.goneFrom(s)("in/0", c.from, c.to)
		if upTo != c.upTo || (c.upTo == 0) != errors.Is(err, errGone) {
			t.Errorf("%d: [%d, %d) is lost up to %d, %v; want %d", i, c.from, c.to, upTo, err, c.upTo)
		}
	}
}
