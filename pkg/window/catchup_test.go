package window_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

// TestCatchUpReference: what CATCH_UP makes of each Step follows, the naive way, from the windows that come of it without.
func TestCatchUpReference(t *testing.T) {
	for _, s := range []window.Settings{
		{Emitter: "fixed", Interval: 500 * time.Millisecond, CatchUp: "merge"},
		{Emitter: "fixed", Interval: 500 * time.Millisecond, CatchUp: "merge", Key: "@key"},
		{Emitter: "fixed", Interval: 500 * time.Millisecond, CatchUp: "merge", EmitEmpty: true},
		{Emitter: "fixed", Interval: 50 * time.Millisecond, CatchUp: "skip-empty", EmitEmpty: true},
		{Emitter: "relaxed", Interval: 300 * time.Millisecond, CatchUp: "skip-empty", EmitEmpty: true},
		{Emitter: "tumbling", Interval: 100 * time.Millisecond, CatchUp: "skip-empty", EmitEmpty: true, WatermarkDelay: 900 * time.Millisecond, MaxFuture: time.Second},
		{Emitter: "tumbling", Calendar: "hour", Zone: "Asia/Kolkata", CatchUp: "skip-empty", EmitEmpty: true, WatermarkDelay: time.Hour, MaxFuture: time.Second},
	} {
		t.Run(fmt.Sprint(s.Emitter, s.CatchUp, s.Key, s.EmitEmpty, s.Calendar), func(t *testing.T) {
			eachSeed(t, func(t *testing.T, seed uint64) { catchUp(t, seed, s) })
		})
	}
}

func catchUp(t *testing.T, seed uint64, s window.Settings) {
	s.Stream, s.Pipeline = "s", "p"
	without := s
	without.CatchUp = ""
	plain, m := machine(t, without), machine(t, s)
	f := &feed{rng: rand.New(rand.NewPCG(seed, 7)), now: 10_000, keys: 3}
	pace, length := int64(1), s.Interval.Milliseconds()
	if s.Calendar != "" {
		pace, length = 7_000, time.Hour.Milliseconds()
	}
	var looked []int64 // the time after each Step
	changed := 0
	for range 200 {
		now, records := f.turn()
		now *= pace
		for i := range records {
			records[i].Timestamp = now - f.rng.Int64N(800*pace)
			records[i].Received *= pace
			if !m.NeedsReceived() {
				records[i].Received = 0
			}
		}
		all, got := &kept{}, &kept{}
		plain.Step(now, window.Each(records), all)
		m.Step(now, window.Each(records), got)
		var want model
		switch s.CatchUp {
		case "merge":
			want = merge(all.windows)
		case "skip-empty":
			for _, w := range all.windows {
				if len(w.Records) > 0 || slices.ContainsFunc(looked, func(at int64) bool { return w.End-length <= at && at < w.End }) {
					want = append(want, line("", w.Start, w.End, w.Records))
				}
			}
		}
		compare(t, got.windows, want, false)
		if len(want) < len(all.windows) {
			changed++
		}
		at := now
		if m.NeedsLanes() {
			at, _ = m.Watermark()
		}
		looked = append(looked, at)
		if f.rng.IntN(10) == 0 {
			m = restored(t, s, m)
		}
	}
	if changed < 5 {
		t.Errorf("the test is too tame: %d Steps had anything to catch up with", changed)
	}
}

// merge makes one line of the windows of each key.
func merge(windows []*window.Window) (lines model) {
	type overdue struct {
		start, end int64
		records    []record.Record
	}
	byKey := map[string]*overdue{}
	for _, w := range windows {
		o := byKey[string(w.Key)]
		if o == nil {
			o = &overdue{start: w.Start}
			byKey[string(w.Key)] = o
		}
		o.start, o.end = min(o.start, w.Start), max(o.end, w.End)
		o.records = append(o.records, w.Records...)
	}
	for key, o := range byKey {
		lines = append(lines, line(key, o.start, o.end, o.records))
	}
	return lines
}
