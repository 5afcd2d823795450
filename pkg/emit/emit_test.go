package emit_test

import (
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
	if i := slices.Index(names, "a-all"); !slices.Equal(names[:3], []string{"count", "fixed", "relaxed"}) || i < 3 || slices.Index(names, "z.all") < i {
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

func TestCount(t *testing.T) {
	s := emit.NewCount(2, 0)
	if tr := s.Traits(); tr.Turns || tr.Received || tr.Asked {
		t.Errorf("traits %+v", tr)
	}
	q := &emit.Queue{}
	s.Open(q, 100, 0)
	if s.Traits().Full != 2 || q.Due != 0 {
		t.Errorf("%+v", q)
	}
	s = emit.NewCount(2, 1500*time.Millisecond)
	s.Open(q, 100, 0)
	if !s.Traits().Turns || q.Due != 1600 {
		t.Errorf("%+v %+v", s.Traits(), q)
	}
	for n, want := range []emit.Reason{1: emit.Timeout, 2: emit.Count} {
		q.Records = make([]record.Record, n)
		if c := s.Ask(q, 1600); n > 0 && (c.Reason != want || c.Picked != nil) {
			t.Errorf("%d records: %+v", n, c)
		}
	}
	if _, _, ok := s.Empty(0, 1<<40); ok {
		t.Error("count has an empty window")
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
