package window_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

// sessions is the reference for sessions: what waits of a key, put together anew from its records each time. Only a bound
// of their length makes it matter in which order they came; then a session keeps its records once it has them.
type sessions struct {
	s    window.Settings
	open []session
	n    int
}

type session struct {
	key        string
	start, end int64
	events     []event
}

type event struct {
	n, at int64
	r     record.Record
}

func (x *sessions) place(r record.Record, at, watermark int64) bool {
	key := ""
	if x.s.Key != "" {
		key = string(r.Key)
	}
	gap, most := x.s.Gap.Milliseconds(), cmp.Or(x.s.MaxLength, time.Duration(1<<50)).Milliseconds()
	x.n++
	e := event{int64(x.n), at, r}
	var others, mine []session
	for _, s := range x.open {
		if s.key == key {
			mine = append(mine, s)
		} else {
			others = append(others, s)
		}
	}
	changed := session{key: key, events: []event{e}}
	if x.s.MaxLength == 0 {
		// All that waits of the key, in the order of time, cut wherever more than the gap lies between.
		all := []event{e}
		for _, s := range mine {
			all = append(all, s.events...)
		}
		slices.SortFunc(all, func(a, b event) int { return cmp.Compare(a.at, b.at) })
		mine = nil
		for i, e := range all {
			if i == 0 || e.at-all[i-1].at > gap {
				mine = append(mine, session{key: key, start: e.at})
			}
			last := &mine[len(mine)-1]
			last.events, last.end = append(last.events, e), e.at+gap
			if e.n == int64(x.n) {
				changed.start = last.start
			}
		}
		for _, s := range mine {
			if s.start == changed.start && s.end <= watermark {
				return false
			}
		}
		x.open = append(others, mine...)
		return true
	}
	slices.SortFunc(mine, func(a, b session) int { return cmp.Compare(a.start, b.start) })
	changed.start, changed.end = at, at+gap
	var rest []session
	joined := false
	for i, s := range mine {
		switch {
		case s.start <= at && at <= s.end && at < s.start+most,
			s.start > at && s.start <= at+gap && s.end-min(changed.start, at) <= most:
			changed.start, changed.end = min(changed.start, s.start), max(changed.end, s.end)
			changed.end = min(changed.end, changed.start+most)
			changed.events = append(changed.events, s.events...)
			joined = joined || s.start <= at
		default:
			rest = append(rest, mine[i])
		}
	}
	for _, s := range rest {
		if s.start > changed.start {
			changed.end = min(changed.end, s.start)
		}
	}
	if changed.end <= watermark {
		return false
	}
	x.open = append(append(others, rest...), changed)
	return true
}

func (x *sessions) closed(watermark int64) model {
	lines := x.waiting(watermark)
	x.open = slices.DeleteFunc(x.open, func(s session) bool { return s.end <= watermark })
	return lines
}

func (x *sessions) waiting(end int64) (lines model) {
	for _, s := range x.open {
		if s.end > end {
			continue
		}
		slices.SortFunc(s.events, func(a, b event) int { return cmp.Compare(a.n, b.n) })
		var records []record.Record
		for _, e := range s.events {
			records = append(records, e.r)
		}
		lines = append(lines, line(s.key, s.start, s.end, records))
	}
	return lines
}

// TestSessionsInAnyOrder: as long as nothing is late, sessions are the same in whatever order their records come, each with
// no gap in it, and with one between it and the next.
func TestSessionsInAnyOrder(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 9))
		var records []record.Record
		for i := range 200 {
			records = append(records, record.Record{Topic: "t", Offset: int64(i), Timestamp: 100_000 + rng.Int64N(20_000), Key: fmt.Append(nil, rng.IntN(2))})
		}
		want := map[string]bool{}
		for round := range 6 {
			s := window.Settings{Stream: "s", Pipeline: "p", Emitter: "session", Gap: 150 * time.Millisecond, WatermarkDelay: time.Minute, MaxFuture: time.Hour, Key: "@key"}
			m := machine(t, s)
			o := &kept{}
			now := int64(120_000)
			for chunk := range slices.Chunk(records, 1+rng.IntN(30)) {
				now++
				m.Step(now, window.Each(chunk), o)
				if rng.IntN(3) == 0 {
					m = restored(t, s, m)
				}
			}
			m.Step(now+100_000, nil, o)
			if m.Waiting() > 0 || m.Keys() > 0 || m.Bytes() != 0 {
				t.Fatalf("%d records of %d keys wait, %d bytes", m.Waiting(), m.Keys(), m.Bytes())
			}
			got := map[string]bool{}
			for _, w := range o.windows {
				slices.SortFunc(w.Records, func(a, b record.Record) int { return cmp.Compare(a.Offset, b.Offset) })
				got[line(string(w.Key), w.Start, w.End, w.Records)] = true
			}
			if round == 0 {
				want = got
			}
			for l := range got {
				if !want[l] || len(got) != len(want) {
					t.Fatalf("seed %d: in another order there is a session\n%s\nof %d, and %d before", seed, l, len(got), len(want))
				}
			}
			rng.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		}
		if len(want) < 20 {
			t.Fatalf("the test is too tame: %d sessions", len(want))
		}
	}
}
