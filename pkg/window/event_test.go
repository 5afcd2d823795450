package window_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

// history is all that a machine by event time was told, for a reference that starts from it each time.
type history struct {
	s     window.Settings
	nows  []int64
	atEnd [][]bool // of each Step, and lane
	got   [][]bool
	seen  []sighting
	lanes int
}

type sighting struct {
	step, lane int
	event      int64
}

// mark is a lane's own watermark with the first n Steps over, and the records seen so far.
func (h *history) mark(lane, n int) int64 {
	mark := int64(math.MinInt64)
	for _, s := range h.seen {
		if s.lane != lane || s.event-h.nows[s.step] > h.s.MaxFuture.Milliseconds() {
			continue
		}
		m := s.event - h.s.WatermarkDelay.Milliseconds()
		for i := s.step + 1; i < n; i++ {
			if h.atEnd[i-1][lane] && h.atEnd[i][lane] {
				m += h.nows[i] - h.nows[i-1]
			}
		}
		mark = max(mark, m)
	}
	return mark
}

// allowed is where the lanes let the watermark be, after n Steps and what was seen since.
func (h *history) allowed(n int) int64 {
	step := len(h.nows) - 1
	least, greatest := int64(math.MaxInt64), int64(math.MinInt64)
	for lane := range h.lanes {
		m := h.mark(lane, n)
		greatest = max(greatest, m)
		holds := !h.atEnd[step][lane]
		for i := range h.nows {
			if h.got[i][lane] && (i == step && n == step || h.nows[step]-h.nows[i] < h.s.WatermarkIdle.Milliseconds()) {
				holds = true
			}
		}
		if holds {
			least = min(least, m)
		}
	}
	if least == math.MaxInt64 {
		return greatest
	}
	return least
}

type pane struct {
	start, end int64
	key        string
}

// TestEventTimeReference: windows by event time are what a naive reference makes of the whole history.
func TestEventTimeReference(t *testing.T) {
	for _, s := range []window.Settings{
		{Emitter: "tumbling", Interval: 700 * time.Millisecond, MaxFuture: 2 * time.Second},
		{Emitter: "tumbling", Interval: 300 * time.Millisecond, Offset: -50 * time.Millisecond, WatermarkDelay: 400 * time.Millisecond, WatermarkIdle: time.Second, MaxFuture: time.Second, Key: "@key", Late: "drop"},
		{Emitter: "tumbling", Interval: 70 * time.Millisecond, WatermarkDelay: 400 * time.Millisecond, MaxFuture: time.Second, EmitEmpty: true},
		{Emitter: "tumbling", Interval: 30 * time.Millisecond, WatermarkIdle: time.Second, MaxFuture: 2 * time.Second, EmitEmpty: true, EmitEarly: time.Second, Late: "next"},
		{Emitter: "sliding", Interval: time.Second, Slide: 300 * time.Millisecond, WatermarkIdle: 5 * time.Second, MaxFuture: time.Second, Key: "@key", Late: "next"},
		{Emitter: "sliding", Interval: 900 * time.Millisecond, Slide: 300 * time.Millisecond, WatermarkDelay: time.Second, Late: "drop"},
		{Emitter: "session", Gap: 150 * time.Millisecond, MaxFuture: 2 * time.Second, Late: "drop", WatermarkDelay: 300 * time.Millisecond},
		{Emitter: "session", Gap: 300 * time.Millisecond, WatermarkDelay: 600 * time.Millisecond, WatermarkIdle: time.Second, MaxFuture: time.Second, Key: "@key", Late: "next"},
		{Emitter: "session", Gap: 200 * time.Millisecond, MaxLength: 500 * time.Millisecond, WatermarkDelay: 900 * time.Millisecond, MaxFuture: time.Second, Key: "@key", Late: "drop"},
	} {
		t.Run(fmt.Sprint(s.Emitter, s.Late, s.Key, s.MaxLength, s.EmitEmpty), func(t *testing.T) {
			eachSeed(t, func(t *testing.T, seed uint64) { eventTimes(t, seed, s) })
		})
	}
}

// reference makes windows the naive way.
type reference interface {
	// place takes in a record that happened at this moment; false: it is late.
	place(r record.Record, at, watermark int64) bool
	// closed are the windows that are over now.
	closed(watermark int64) model
	// waiting are those that are open, and end by then.
	waiting(end int64) model
}

func byHand(s window.Settings) reference {
	if s.Emitter == "session" {
		return &sessions{s: s}
	}
	return &grid{s: s, open: map[pane][]record.Record{}}
}

// grid has the windows that are there beforehand.
type grid struct {
	s    window.Settings
	open map[pane][]record.Record
	next int64 // with EMIT_EMPTY: start of the next window; 0: none has closed
}

func (g *grid) place(r record.Record, at, watermark int64) bool {
	size, slide, offset := g.s.Interval.Milliseconds(), cmp.Or(g.s.Slide, g.s.Interval).Milliseconds(), g.s.Offset.Milliseconds()
	in := false
	for start := int64(math.Floor(float64(at-offset)/float64(slide)))*slide + offset; start+size > at; start -= slide {
		if p := (pane{start, start + size, ""}); p.end > watermark {
			if g.s.Key != "" {
				p.key = string(r.Key)
			}
			g.open[p] = append(g.open[p], r)
			in = true
		}
	}
	return in
}

func (g *grid) closed(watermark int64) (lines model) {
	first := int64(math.MaxInt64)
	for p, records := range g.open {
		if p.end <= watermark {
			first = min(first, p.start)
			lines = append(lines, line(p.key, p.start, p.end, records))
			delete(g.open, p)
		}
	}
	if !g.s.EmitEmpty || g.next == 0 && len(lines) == 0 {
		return lines
	}
	filled := lines
	for start := cmp.Or(g.next, first); start+g.s.Interval.Milliseconds() <= watermark; start = g.next {
		g.next = start + g.s.Interval.Milliseconds()
		empty := line("", start, g.next, nil)
		if !slices.ContainsFunc(filled, func(l string) bool { return strings.HasPrefix(l, empty) }) {
			lines = append(lines, empty)
		}
	}
	return lines
}

func (g *grid) waiting(end int64) (lines model) {
	for p, records := range g.open {
		if p.end <= end {
			lines = append(lines, line(p.key, p.start, p.end, records))
		}
	}
	return lines
}

func eventTimes(t *testing.T, seed uint64, s window.Settings) {
	s.Stream, s.Pipeline = "s", "p"
	rng := rand.New(rand.NewPCG(seed, 3))
	h := &history{s: s, lanes: 1 + int(seed)%3}
	m := machine(t, s)
	now, value := int64(100_000), int64(math.MinInt64)
	lateness := s.AllowedLateness.Milliseconds()
	// open is where the reference's watermark is: it keeps windows until their lateness is over.
	open := func() int64 {
		if value == math.MinInt64 {
			return value
		}
		return value - lateness
	}
	ref := byHand(s)
	var want model
	var late, future int
	o := &kept{}
	offsets := make([]int64, h.lanes)
	lag := make([]int64, h.lanes)
	for step := range 200 {
		now += 1 + rng.Int64N(400)
		h.nows = append(h.nows, now)
		h.atEnd, h.got = append(h.atEnd, make([]bool, h.lanes)), append(h.got, make([]bool, h.lanes))
		var records []record.Record
		var lanes []window.Lane
		for lane := range h.lanes {
			if rng.IntN(15) == 0 {
				lag[lane] = rng.Int64N(3000)
			}
			h.atEnd[step][lane] = rng.IntN(4) > 0
			n := max(0, rng.IntN(8)-3)
			h.got[step][lane] = n > 0
			lanes = append(lanes, window.Lane{Topic: "t", Partition: int32(lane), AtEnd: h.atEnd[step][lane], Got: n > 0})
			for range n {
				r := record.Record{Topic: "t", Partition: int32(lane), Offset: offsets[lane], Key: fmt.Appendf(nil, "k%d", rng.IntN(3)), Timestamp: now - lag[lane] - rng.Int64N(900)}
				if rng.IntN(30) == 0 {
					r.Timestamp = now + rng.Int64N(4000)
				}
				offsets[lane]++
				records = append(records, r)
			}
		}
		value = max(value, h.allowed(step))
		want = append(want, ref.closed(open())...)
		for _, r := range records {
			at := r.Timestamp
			if !ref.place(r, at, open()) {
				if late++; s.Late == "next" && !ref.place(r, value, open()) {
					t.Fatal("the watermark is late")
				}
			}
			h.seen = append(h.seen, sighting{step, int(r.Partition), at})
			if at-now > s.MaxFuture.Milliseconds() {
				future++
			}
			value = max(value, h.allowed(step))
			want = append(want, ref.closed(open())...)
		}
		value = max(value, h.allowed(step+1))
		want = append(want, ref.closed(open())...)
		m.Lanes(lanes)
		m.Step(now, window.Each(records), o)
		if got, ok := m.Watermark(); ok != (value != math.MinInt64) || ok && got != value {
			t.Fatalf("step %d: the watermark is %d, want %d", step, got, value)
		}
		if s.Updates() {
			known := latest(t, o.windows)
			requireKnown(t, known, ref.waiting(value))
			if e := s.EmitEarly.Milliseconds(); step > 0 && e > 0 && now/e > h.nows[step-1]/e {
				requireKnown(t, known, ref.waiting(math.MaxInt64))
			}
		}
		if rng.IntN(10) == 0 {
			m = restored(t, s, m)
		}
	}
	compare(t, last(o.windows), slices.Clone(want), false)
	for i := 1; i < len(o.windows) && !s.Updates(); i++ {
		if o.windows[i].Seq != o.windows[i-1].Seq+1 {
			t.Fatalf("window %d has the number %d", i, o.windows[i].Seq)
		}
	}
	if len(want) < 20 || late == 0 || future == 0 {
		t.Fatalf("the test is too tame: %d windows, %d late, %d in the future", len(want), late, future)
	}

	// Nothing comes any more: time alone closes the rest, each window at the moment that Deadline told and not before.
	var lanes []window.Lane
	for lane := range h.lanes {
		lanes = append(lanes, window.Lane{Topic: "t", Partition: int32(lane), AtEnd: true})
	}
	m.Lanes(lanes)
	m.Step(now, nil, o)
	for range 1000 {
		at := m.Deadline()
		if at == 0 {
			break
		}
		if at <= now {
			t.Fatalf("the deadline is %d at %d", at, now)
		}
		m.Lanes(lanes)
		if n := m.Step(at-1, nil, o); n > 0 {
			t.Fatalf("%d windows before the deadline %d", n, at)
		}
		m.Lanes(lanes)
		m.Step(at, nil, o)
		now = at
	}
	if m.Waiting() > 0 {
		t.Errorf("%d records wait for ever", m.Waiting())
	}
	if open := latest(t, o.windows); s.Updates() && len(open) > 0 {
		t.Errorf("%d windows have no last revision: %v", len(open), open)
	}
}
