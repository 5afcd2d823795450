package aggregate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/pkg/aggregate"
	"github.com/windrow-io/windrow/pkg/record"
)

// TestMerge: states of some values each, merged in any order, are the state of all of them.
func TestMerge(t *testing.T) {
	const exact = "count() as n, count(v) as there, min(v), max(v), first(w), last(w), distinct(w), top(w, 3), collect(w), collect(w, 4) as four, distinct_approx(w), p50(v), p99(v)"
	plan := parse(t, exact+", sum(v), avg(v), stddev(v)")
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		s := plan.NewStates()
		all := s.New()
		var parts []int32
		n := 0
		for part := range 1 + rng.IntN(5) {
			parts = append(parts, s.New())
			for range rng.IntN(8) {
				value := fmt.Sprintf(`{"v":%g,"w":%s}`, math.Floor(rng.NormFloat64()*1e4)/16, []string{`"a,b"`, `[1,{"x":"]\",\\"}]`, "null", "7", `"x"`, fmt.Sprint(rng.IntN(1000)), `{}`}[rng.IntN(7)])
				switch rng.IntN(8) {
				case 0:
					value = `{"v":-1e-300}`
				case 1:
					value = `{"w":1}`
				}
				if _, err := plan.Read(&record.Record{Value: []byte(value)}, true); err != nil {
					t.Fatal(err)
				}
				at := int64(part*1000 + n)
				if rng.IntN(20) == 0 {
					at = int64(part * 1000) // not alone at its time
				}
				s.Add(parts[part], at)
				s.Add(all, at)
				n++
			}
		}
		// They are merged neighbour by neighbour, in any order, as sessions are.
		for len(parts) > 1 {
			i := rng.IntN(len(parts) - 1)
			into, from, earlier := parts[i], parts[i+1], false
			if rng.IntN(2) == 0 {
				into, from, earlier = from, into, true
			}
			before := s.Grown(into)
			if grown := s.Merge(into, from, earlier); s.Grown(into) != before+grown {
				t.Fatalf("seed %d: it has grown by %d bytes, from %d to %d", seed, grown, before, s.Grown(into))
			}
			s.Free(from)
			parts = append(append(parts[:i:i], into), parts[i+2:]...)
			requireRestored(t, plan, s, into)
		}
		got, want := string(s.AppendJSON(nil, parts[0], n)), string(s.AppendJSON(nil, all, n))
		if cut := strings.Index(want, `,"sum_v"`); got[:min(cut, len(got))] != want[:cut] {
			t.Fatalf("seed %d:\n%s, want\n%s", seed, got, want)
		}
		if s.Grown(parts[0]) != s.Grown(all) {
			t.Fatalf("seed %d: merged it takes %d bytes, want %d", seed, s.Grown(parts[0]), s.Grown(all))
		}
		type rounded struct{ Sum_v, Avg_v, Stddev_v *float64 }
		var a, b rounded
		if json.Unmarshal([]byte(got), &a) != nil || json.Unmarshal([]byte(want), &b) != nil {
			t.Fatalf("%s or %s is no JSON", got, want)
		}
		for _, pair := range [][2]*float64{{a.Sum_v, b.Sum_v}, {a.Avg_v, b.Avg_v}, {a.Stddev_v, b.Stddev_v}} {
			if (pair[0] == nil) != (pair[1] == nil) || pair[0] != nil && math.Abs(*pair[0]-*pair[1]) > 1e-12*math.Max(1, math.Abs(*pair[1])) {
				t.Fatalf("seed %d:\n%s, want\n%s", seed, got, want)
			}
		}
	}
}

// TestMergeOfWideSketches: what the sketches give up for their size they give up merged, too.
func TestMergeOfWideSketches(t *testing.T) {
	plan := parse(t, "p1(v), p50(v), p99(v), distinct_approx(v)")
	s := plan.NewStates()
	all, a, b := s.New(), s.New(), s.New()
	for i := range 40_000 {
		exponent := i*7919%600 - 300
		if _, err := plan.Read(&record.Record{Value: fmt.Appendf(nil, `{"v":%de%d}`, 1+i%9, exponent)}, false); err != nil {
			t.Fatal(err)
		}
		s.Add(all, 0)
		if exponent%2 == 0 {
			s.Add(a, 0)
		} else {
			s.Add(b, 0)
		}
	}
	s.Merge(a, b, false)
	if got, want := s.AppendJSON(nil, a, 0), s.AppendJSON(nil, all, 0); !bytes.Equal(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
	requireRestored(t, plan, s, a)
}

func requireRestored(t *testing.T, plan *aggregate.Plan, s *aggregate.States, n int32) {
	t.Helper()
	snapshot := s.Snapshot(nil, n)
	other := plan.NewStates()
	m, _, err := other.Restore(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	if again := other.Snapshot(nil, m); !bytes.Equal(again, snapshot) || other.Grown(m) != s.Grown(n) {
		t.Fatalf("restored it is %x of %d bytes, want %x of %d", again, other.Grown(m), snapshot, s.Grown(n))
	}
}
