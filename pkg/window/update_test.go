package window_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/window"
)

// TestUpdatesReference: with ALLOWED_LATENESS and EMIT_EARLY the last revisions are the windows of a reference that waits
// until the lateness is over, and after each Step the latest revision is all that is known of what is over.
func TestUpdatesReference(t *testing.T) {
	for _, s := range []window.Settings{
		{Emitter: "tumbling", Interval: 300 * time.Millisecond, MaxFuture: 2 * time.Second, AllowedLateness: 700 * time.Millisecond},
		{Emitter: "tumbling", Interval: 300 * time.Millisecond, MaxFuture: time.Second, Key: "@key", EmitEarly: 150 * time.Millisecond, Late: "drop"},
		{Emitter: "sliding", Interval: 900 * time.Millisecond, Slide: 300 * time.Millisecond, WatermarkIdle: 5 * time.Second, MaxFuture: time.Second, Key: "@key", AllowedLateness: 450 * time.Millisecond, Late: "next"},
		{Emitter: "session", Gap: 150 * time.Millisecond, MaxFuture: time.Second, AllowedLateness: 600 * time.Millisecond, Late: "drop"},
		{Emitter: "session", Gap: 150 * time.Millisecond, WatermarkIdle: time.Second, MaxFuture: time.Second, AllowedLateness: 400 * time.Millisecond, Key: "@key", EmitEarly: time.Second, Late: "drop"},
		{Emitter: "session", Gap: 150 * time.Millisecond, MaxLength: 400 * time.Millisecond, MaxFuture: time.Second, AllowedLateness: 300 * time.Millisecond, Key: "@key", EmitEarly: 300 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(s.Emitter, s.AllowedLateness, s.EmitEarly, s.MaxLength), func(t *testing.T) {
			eachSeed(t, func(t *testing.T, seed uint64) { eventTimes(t, seed, s) })
		})
	}
}

// last are the windows that come no more, without those that are in others now.
func last(windows []*window.Window) (final []*window.Window) {
	for _, w := range windows {
		if !w.Updates || w.Final && w.Reason != emit.Merged {
			final = append(final, w)
		}
	}
	return final
}

// latest is what somebody knows who keeps the latest revision of each window, of those that are not final. The revisions of a window
// must have one id, that no other has, and follow on each other up to the final one.
func latest(t *testing.T, windows []*window.Window) map[string]bool {
	t.Helper()
	byID := map[string]*window.Window{}
	ids := map[int64]string{}
	for _, w := range windows {
		id := w.ID(0)
		switch before := byID[id]; {
		case before == nil && w.Revision == 0 && ids[w.Seq] == "":
		case before == nil || before.Seq != w.Seq || before.Revision+1 != w.Revision || before.Final:
			t.Fatalf("%+v comes after %+v", w, before)
		}
		byID[id], ids[w.Seq] = w, id
	}
	open := map[string]bool{}
	for _, w := range byID {
		if !w.Final {
			open[line(string(w.Key), w.Start, w.End, w.Records)] = true
		}
	}
	return open
}

func requireKnown(t *testing.T, known map[string]bool, want model) {
	t.Helper()
	for _, l := range want {
		if !known[l] {
			t.Fatalf("the latest revisions lack\n%s", l)
		}
	}
}

// TestRevisionsAreNotLost: whatever the settings change to, a window that was emitted has a last revision, and no record is
// in two windows at last.
func TestRevisionsAreNotLost(t *testing.T) {
	settings := []window.Settings{
		{Emitter: "tumbling", Interval: 50 * time.Millisecond, AllowedLateness: 500 * time.Millisecond, Late: "next", Key: "@key"},
		{Emitter: "session", Gap: 20 * time.Millisecond, AllowedLateness: 300 * time.Millisecond, EmitEarly: 500 * time.Millisecond, Late: "next", Key: "@key"},
		{Emitter: "fixed", Interval: time.Second, EmitEarly: 100 * time.Millisecond, StateMaxBytes: 5000},
		{Emitter: "relaxed", Interval: time.Second, EmitEarly: 100 * time.Millisecond, Key: "@key"},
		{Emitter: "tumbling", Interval: 100 * time.Millisecond, EmitEarly: 100 * time.Millisecond, Late: "next", StateMaxBytes: 5000},
		{Emitter: "count", Size: 20},
	}
	eachSeed(t, func(t *testing.T, seed uint64) {
		f := newFeed(seed, 7)
		for i := range settings {
			settings[i].Stream, settings[i].Pipeline = "s", "p"
		}
		s := settings[0]
		m := machine(t, s)
		o := &kept{}
		for range 300 {
			now, records := f.turn()
			m.Step(now, window.Each(records), o)
			switch f.rng.IntN(8) {
			case 0:
				s = settings[f.rng.IntN(len(settings))]
				n, err := m.Change(s, now, o)
				if err != nil {
					t.Fatal(err)
				}
				m = n
			case 1:
				m = restored(t, s, m)
			case 2:
				if f.rng.IntN(10) == 0 {
					m.Flush(o)
				}
			}
		}
		m.Flush(o)
		if open := latest(t, slices.DeleteFunc(slices.Clone(o.windows), func(w *window.Window) bool { return !w.Updates })); len(open) > 0 {
			t.Fatalf("%d windows have no last revision: %v", len(open), open)
		}
		final := last(o.windows)
		if len(final) < 100 || len(final) == len(o.windows) {
			t.Fatalf("the test is too tame: %d windows, %d of them final", len(o.windows), len(final))
		}
		for i, w := range final {
			w.Seq = int64(i)
		}
		f.check(t, final, m)
	})
}
