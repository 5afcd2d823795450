package emit_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
)

type all struct{ ready bool }

func (all) Query(w *emit.Waiting) []int {
	var picked []int
	for i := range w.Records {
		picked = append(picked, i)
	}
	return picked
}

func (a all) Ready(_ *emit.Waiting, picked []int) bool {
	if len(picked) == 0 {
		panic("asked about an empty pick")
	}
	return a.ready
}

func TestRegister(t *testing.T) {
	emit.Register("z.all", func() emit.Emitter { return all{} })
	emit.Register("a-all", func() emit.Emitter { return all{} })
	names := emit.Names()
	if i := slices.Index(names, "a-all"); !slices.Equal(names[:3], []string{"count", "bytes", "fixed"}) || i < 3 || slices.Index(names, "z.all") < i {
		t.Errorf("names are %v", names)
	}
	if build, ok := emit.Registered("z.all"); !ok || build() == nil {
		t.Error("z.all is not registered")
	}
	if _, ok := emit.Registered("count"); ok {
		t.Error("count is registered")
	}
	for name, want := range map[string]string{
		"z.all": "already registered", "count": "built-in", "": "must match", "with space": "must match",
		strings.Repeat("x", 65): "must match", "nil": "without a function",
	} {
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.Contains(p, want) {
					t.Errorf("registering %q: %v, want %q", name, p, want)
				}
			}()
			build := func() emit.Emitter { return all{} }
			if name == "nil" {
				build = nil
			}
			emit.Register(name, build)
		}()
	}
}

// condition holds for records with this value.
type condition string

func (c condition) Holds(_ *emit.Queue, r *record.Record) (bool, error) {
	if string(r.Value) == "bad" {
		return false, errors.New("bad")
	}
	return string(r.Value) == string(c), nil
}

func (condition) Looks() bool { return true }

func TestBounds(t *testing.T) {
	r := &record.Record{Value: []byte("last")}
	for _, c := range []struct {
		name       string
		s          emit.Strategy
		traits     emit.Traits
		wait       int
		bytes      int64
		value      string
		closes     emit.Reason
		due        int64
		reasonTime emit.Reason
	}{
		{"size", emit.NewBounded(emit.Bounds{Size: 3}), emit.Traits{Meets: true, MeetsAt: 3}, 2, 0, "x", emit.Count, 0, emit.Timeout},
		{"not yet", emit.NewBounded(emit.Bounds{Size: 3}), emit.Traits{Meets: true, MeetsAt: 3}, 1, 0, "x", "", 0, emit.Timeout},
		{"bytes", emit.NewBounded(emit.Bounds{Size: 3, Bytes: 10}), emit.Traits{Meets: true, Weighs: true}, 1, 10, "x", emit.Bytes, 0, emit.Timeout},
		{"too few bytes", emit.NewBounded(emit.Bounds{Size: 3, Bytes: 10}), emit.Traits{Meets: true, Weighs: true}, 1, 9, "x", "", 0, emit.Timeout},
		{"when", emit.NewBounded(emit.Bounds{Size: 3, When: condition("x")}), emit.Traits{Meets: true, Looks: true}, 1, 0, "x", emit.When, 0, emit.Timeout},
		{"not when", emit.NewBounded(emit.Bounds{Size: 3, When: condition("y")}), emit.Traits{Meets: true, Looks: true}, 1, 0, "x", "", 0, emit.Timeout},
		{"timeout", emit.NewBounded(emit.Bounds{Size: 3, Timeout: 1500 * time.Millisecond}), emit.Traits{Meets: true, MeetsAt: 3, Turns: true}, 1, 0, "x", "", 2000, emit.Timeout},
		{"interval", emit.NewBounded(emit.Bounds{Size: 3, Interval: time.Second}), emit.Traits{Meets: true, MeetsAt: 3, Turns: true}, 1, 0, "x", "", 1000, emit.Interval},
		{"the timeout first", emit.NewBounded(emit.Bounds{Size: 3, Interval: time.Second, Timeout: 400 * time.Millisecond}), emit.Traits{Meets: true, MeetsAt: 3, Turns: true}, 1, 0, "x", "", 900, emit.Timeout},
		{"the interval first", emit.NewBounded(emit.Bounds{Size: 3, Interval: time.Second, Timeout: time.Minute}), emit.Traits{Meets: true, MeetsAt: 3, Turns: true}, 1, 0, "x", "", 1000, emit.Interval},
		{"slide", emit.NewCount(3, 2), emit.Traits{Meets: true, MeetsAt: 3, Looks: true, Slide: 2}, 2, 0, "x", emit.Count, 0, emit.Timeout},
		{"slide of all", emit.NewCount(3, 3), emit.Traits{Meets: true, MeetsAt: 3}, 2, 0, "x", emit.Count, 0, emit.Timeout},
		{"relaxed", emit.Within(emit.NewRelaxed(time.Second, false), emit.Bounds{Size: 2}), emit.Traits{Meets: true, MeetsAt: 2, Turns: true}, 1, 0, "x", emit.Count, 1000, emit.Interval},
		{"relaxed with a timeout", emit.Within(emit.NewRelaxed(time.Second, false), emit.Bounds{Timeout: 100 * time.Millisecond}), emit.Traits{Turns: true}, 1, 0, "x", "", 600, emit.Timeout},
		{"fixed", emit.Within(emit.NewFixed(time.Second, false), emit.Bounds{Bytes: 2}), emit.Traits{Meets: true, Weighs: true, Turns: true, Received: true}, 1, 2, "x", emit.Bytes, 1000, emit.Interval},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.s.Traits(); got != c.traits {
				t.Errorf("traits %+v, want %+v", got, c.traits)
			}
			q := &emit.Queue{Records: make([]record.Record, c.wait)}
			if c.s.Traits().Received {
				q.Start, q.End = c.s.Span(500)
			}
			c.s.Open(q, 500, 0)
			if q.Due != c.due {
				t.Errorf("due %d, want %d", q.Due, c.due)
			}
			r.Value = []byte(c.value)
			if wanted, closes, err := c.s.Meet(q, r, c.bytes); !wanted || closes != c.closes || err != nil {
				t.Errorf("%v %q %v, want %q", wanted, closes, err, c.closes)
			}
			if cut := c.s.Ask(q, q.Due); cut.Reason != c.reasonTime || cut.Picked != nil {
				t.Errorf("%+v, want %q", cut, c.reasonTime)
			}
			if _, _, ok := c.s.Empty(0, 1<<40); ok {
				t.Error("it has an empty window")
			}
		})
	}
	r.Value = []byte("bad")
	if wanted, closes, err := emit.NewBounded(emit.Bounds{When: condition("x")}).Meet(&emit.Queue{}, r, 0); !wanted || closes != "" || err == nil {
		t.Errorf("%v %q %v, want an error, and that it can go on", wanted, closes, err)
	}
	opens := emit.NewState(condition("on"), emit.Bounds{Size: 3})
	if want := (emit.Traits{Meets: true, Looks: true}); opens.Traits() != want {
		t.Errorf("traits %+v, want %+v", opens.Traits(), want)
	}
	sample := emit.NewSample(2, time.Second)
	if want := (emit.Traits{Meets: true, Stays: true, Turns: true}); sample.Traits() != want {
		t.Errorf("traits %+v, want %+v", sample.Traits(), want)
	}
	for _, c := range []struct {
		name   string
		s      emit.Strategy
		q      emit.Queue
		value  string
		wanted bool
		closes emit.Reason
		fails  bool
	}{
		{"it opens", opens, emit.Queue{}, "on", true, "", false},
		{"it does not open", opens, emit.Queue{}, "x", false, "", false},
		{"it is open", opens, emit.Queue{Folded: 1}, "x", true, "", false},
		{"it is full", opens, emit.Queue{Folded: 2}, "bad", true, emit.Count, false},
		{"that can't be told", opens, emit.Queue{}, "bad", false, "", true},
		{"first", sample, emit.Queue{}, "x", true, "", false},
		{"last", sample, emit.Queue{Folded: 1, Due: 2000}, "x", true, emit.Count, false},
		{"too many", sample, emit.Queue{Due: 2000}, "x", false, "", false},
	} {
		r.Value = []byte(c.value)
		if wanted, closes, err := c.s.Meet(&c.q, r, 0); wanted != c.wanted || closes != c.closes || (err != nil) != c.fails {
			t.Errorf("%s: %v %q %v, want %v %q", c.name, wanted, closes, err, c.wanted, c.closes)
		}
	}
	q := &emit.Queue{}
	if sample.Open(q, 2500, 0); q.Start != 2000 || q.End != 3000 || q.Due != 3000 || sample.Ask(q, 3000).Reason != emit.Interval {
		t.Errorf("%+v", q)
	}
	plain := emit.NewRelaxed(time.Second, false)
	if emit.Within(plain, emit.Bounds{}) != plain {
		t.Error("no bounds are bounds")
	}
}

func TestIntervals(t *testing.T) {
	for _, s := range []emit.Strategy{emit.NewFixed(time.Second, false), emit.NewRelaxed(time.Second, false)} {
		for ms, want := range map[int64]int64{0: 0, 1: 0, 999: 0, 1000: 1000, 1999: 1000, -1: -1000, -1000: -1000, -1001: -2000} {
			if start, end := s.Span(ms); start != want || end != want+1000 {
				t.Errorf("%d lies in [%d %d), want %d", ms, start, end, want)
			}
		}
		if _, _, ok := s.Empty(0, 10_000); ok {
			t.Error("empty windows that nobody asked for")
		}
		if c := s.Ask(&emit.Queue{}, 0); c.Reason != emit.Interval || c.Picked != nil {
			t.Errorf("%+v", c)
		}
	}
	if !emit.NewFixed(time.Second, false).Traits().Received || emit.NewRelaxed(time.Second, false).Traits().Received {
		t.Error("fixed alone looks at the time of receipt")
	}
}

func TestRelaxedOpens(t *testing.T) {
	s := emit.NewRelaxed(time.Second, false)
	for now, due := range map[int64]int64{5000: 6000, 5001: 6000, 5999: 6000, 6000: 7000} {
		q := &emit.Queue{}
		s.Open(q, now, 2000)
		if q.Start != 2000 || q.End != due || q.Due != due {
			t.Errorf("at %d: %+v", now, q)
		}
	}
}

func TestEmpties(t *testing.T) {
	for _, c := range []struct {
		s           emit.Strategy
		last, until int64
		end         int64 // 0: none
	}{
		{emit.NewFixed(time.Second, true), 5000, 5999, 0},
		{emit.NewFixed(time.Second, true), 5000, 6000, 6000},
		{emit.NewFixed(time.Second, true), 5000, 9500, 6000}, // and the others after it
		{emit.NewRelaxed(time.Second, true), 5000, 5999, 0},
		{emit.NewRelaxed(time.Second, true), 5000, 6000, 6000},
		{emit.NewRelaxed(time.Second, true), 5000, 9500, 9000}, // one for all
	} {
		start, end, ok := c.s.Empty(c.last, c.until)
		if ok != (c.end > 0) || ok && (start != c.last || end != c.end) {
			t.Errorf("%T from %d until %d: [%d %d) %v, want %d", c.s, c.last, c.until, start, end, ok, c.end)
		}
	}
}

func TestCustom(t *testing.T) {
	q := &emit.Queue{Records: make([]record.Record, 2)}
	if c := emit.NewCustom(all{ready: true}).Ask(q, 100); c.Reason != emit.Ready || !slices.Equal(c.Picked, []int{0, 1}) {
		t.Errorf("%+v", c)
	}
	if c := emit.NewCustom(all{}).Ask(q, 100); c.Reason != "" || q.Due != 1100 {
		t.Errorf("%+v, due %d", c, q.Due)
	}
	if c := emit.NewCustom(all{ready: true}).Ask(&emit.Queue{}, 100); c.Reason != "" {
		t.Errorf("a window of nothing: %+v", c)
	}
}
