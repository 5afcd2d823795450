package process

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/internal/replay"
	"github.com/windrow-io/windrow/pkg/letter"
	"github.com/windrow-io/windrow/pkg/sink/kafka"
	"github.com/windrow-io/windrow/pkg/window"
)

// What is put back is processed again: records are records like any other, windows go to the handler as they were, under
// their old id, and not into other windows; another pipeline of the stream passes both over.
func TestPutBack(t *testing.T) {
	r := newRig(t, 2)
	r.ingest()
	var broken atomic.Bool
	broken.Store(true)
	handle := func(o *Options) {
		o.HandlerAttempts, o.HandlerConcurrency = 1, 1
		o.Handler = func(_ context.Context, w *window.Window) (any, error) {
			if broken.Load() && w.Seq == 1 {
				return nil, errors.New("broken")
			}
			return w, nil
		}
	}
	a := r.worker("a", count100, handle)
	other := r.worker("other", count100, func(o *Options) {
		o.Settings.Pipeline, o.Journal.Pipeline, o.Journal.Topic = "q", "q", "windrow.s.q.journal"
		o.Sink = kafka.New(o.Output, kafka.Options{Topic: "q.out", Logger: r.log})
	})
	r.produce(2, 0, 300)
	if ws := r.consume("out", holds(400)); len(ws) != 4 {
		t.Fatalf("%d windows came, want 4: two are dead letters", len(ws))
	}
	r.consume("q.out", holds(600))

	broken.Store(false)
	cluster := []kgo.Opt{kgo.SeedBrokers(r.brokers...)}
	letters := map[string]bool{}
	for range 2 { // the second time there is nothing to do
		b, err := replay.Open(t.Context(), cluster, replay.Pipeline{Stream: "s", Pipeline: "p"}, "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = replay.InTopic(cluster, "out.dead").Each(t.Context(), func(l *letter.Letter) error {
			letters[l.ID] = true
			if err := b.PutBack(t.Context(), l); !errors.Is(err, replay.ErrReplayed) {
				return err
			}
			return nil
		})
		if err == nil {
			err = b.Flush(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
	}
	r.produce(2, 300, 400)
	ws := r.consume("out", holds(800))
	again := r.consume("q.out", holds(800))
	a.stop()
	other.stop()
	exact(t, ws, 2, 400)
	exact(t, again, 2, 400)
	for _, w := range ws {
		if w.Seq == 1 && !letters[w.ID] {
			t.Errorf("the window %d of shard %s has the id %s, which no letter has", w.Seq, w.Shard, w.ID)
		}
	}
	if len(letters) != 2 {
		t.Errorf("%d dead letters, want 2", len(letters))
	}
}

// A record that says it is a window, and is none, is a dead letter.
func TestPutBackBadly(t *testing.T) {
	r := newRig(t, 1)
	r.ingest()
	a := r.worker("a", count100, nil)
	bad := &kgo.Record{Topic: "in", Value: []byte(`{"id":"x"`), Headers: []kgo.RecordHeader{
		{Key: letter.HeaderTo, Value: []byte("s/p")}, {Key: letter.HeaderID, Value: []byte("x")}, {Key: letter.HeaderWindow},
	}}
	if err := r.client.ProduceSync(t.Context(), bad).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r.produce(1, 0, 100)
	exact(t, r.consume("out", holds(100)), 1, 100)
	a.stop()
	var reasons []string
	if _, err := replay.InTopic([]kgo.Opt{kgo.SeedBrokers(r.brokers...)}, "out.dead").Each(t.Context(), func(l *letter.Letter) error {
		reasons = append(reasons, l.Reason)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(reasons) != 1 || reasons[0] != "bad-replay" {
		t.Errorf("dead letters with the reasons %q, want bad-replay", reasons)
	}
}
