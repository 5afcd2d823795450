package aggregate_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/pkg/aggregate"
	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/record"
)

func parse(t *testing.T, text string) *aggregate.Plan {
	t.Helper()
	p, err := aggregate.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// result is what values come to, each also over a snapshot in between.
func result(t *testing.T, p *aggregate.Plan, values ...string) string {
	t.Helper()
	s := p.NewStates()
	s.New() // so that the one at hand is not the first
	n := s.New()
	for i, v := range values {
		if _, err := p.Read(&record.Record{Value: []byte(v), Key: []byte("k"), Timestamp: 5}, true); err != nil {
			t.Fatal(err)
		}
		s.Add(n, int64(i))
		snapshot := s.Snapshot([]byte("x"), n)
		other := p.NewStates()
		m, rest, err := other.Restore(append(snapshot[1:], "rest"...))
		if err != nil || string(rest) != "rest" {
			t.Fatalf("restored: %v, %q is left", err, rest)
		}
		if again := other.Snapshot([]byte("x"), m); !bytes.Equal(again, snapshot) {
			t.Fatalf("the snapshot of what was restored is %x, want %x", again, snapshot)
		}
		if other.Grown(m) != s.Grown(n) {
			t.Fatalf("restored: grown by %d bytes, want %d", other.Grown(m), s.Grown(n))
		}
		if i%2 == 0 {
			s, n = other, m
		}
	}
	return string(s.AppendJSON(nil, n, len(values)))
}

func TestResults(t *testing.T) {
	for _, c := range []struct {
		list   string
		values []string
		want   string
	}{
		{"count(), sum(v)", nil, `{"count":0,"sum_v":null}`},
		{"COUNT() as n , sum( a.b ) AS total", []string{`{"a":{"b":1}}`, `{"a":{"b":-3.5}}`, `{}`}, `{"n":3,"total":-2.5}`},
		{"sum(v)", []string{`{"v":1e100}`, `{"v":1}`, `{"v":-1e100}`}, `{"sum_v":1}`},
		{"sum(v)", []string{`{"v":0.1}`, `{"v":0.2}`, `{"v":0.3}`}, `{"sum_v":0.6}`},
		{"sum(v), avg(v)", []string{`{"v":1e308}`, `{"v":1e308}`}, `{"sum_v":null,"avg_v":null}`},
		{"min(v), max(v), stddev(v)", []string{`{"v":2}`}, `{"min_v":2,"max_v":2,"stddev_v":null}`},
		{"min(v), max(v), stddev(v)", []string{`{"v":-2}`, `{"v":"4"}`, `{"v":true}`}, `{"min_v":-2,"max_v":4,"stddev_v":4.242640687119285}`},
		{"first(v), last(v), collect(v)", []string{`{"v":{"a":[1]}}`, `{"v":"x"}`, `{"v":null}`}, `{"first_v":{"a":[1]},"last_v":"x","collect_v":[{"a":[1]},"x"]}`},
		{"top(v, 2) as t, distinct(v)", []string{`{"v":"b"}`, `{"v":"a"}`, `{"v":"c"}`, `{"v":"c"}`}, `{"t":[{"value":"c","count":2},{"value":"a","count":1}],"distinct_v":3}`},
		{"p1(v) as a, p50(v) as b, p51(v) as c, p99(v) as d", []string{`{"v":100}`, `{"v":1}`}, `{"a":1.01,"b":1.01,"c":100.5,"d":100.5}`},
		{"collect(v, 2)", []string{`{"v":1}`, `{"v":2}`, `{"v":3}`}, `{"collect_v":[1,2]}`},
		{"first(@key), sum(@timestamp), count(@offset)", []string{`x`, `y`}, `{"first__key":"k","sum__timestamp":10,"count__offset":2}`},
	} {
		if got := result(t, parse(t, c.list), c.values...); got != c.want {
			t.Errorf("%s of %q is\n%s, want\n%s", c.list, c.values, got, c.want)
		}
	}
}

// TestSketches: what is approximate is as near as it is said to be.
func TestSketches(t *testing.T) {
	p := parse(t, "distinct_approx(v) as d, p1(v), p50(v), p99.9(v)")
	s := p.NewStates()
	n := s.New()
	const most = 100_000
	for i := range most {
		if _, err := p.Read(&record.Record{Value: fmt.Appendf(nil, `{"v":%d}`, i*7919%most+1)}, false); err != nil {
			t.Fatal(err)
		}
		s.Add(n, 0)
	}
	var d, low, middle, high float64
	text := string(s.AppendJSON(nil, n, most))
	if _, err := fmt.Sscanf(text, `{"d":%g,"p1_v":%g,"p50_v":%g,"p99.9_v":%g}`, &d, &low, &middle, &high); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for _, c := range []struct{ got, want, within float64 }{{d, most, 0.04}, {low, most * 0.01, 0.011}, {middle, most * 0.5, 0.011}, {high, most * 0.999, 0.011}} {
		if math.Abs(c.got-c.want) > c.within*c.want {
			t.Errorf("%v, want %v within %v", c.got, c.want, c.within)
		}
	}
	if size := s.Grown(n); size > 32<<10 {
		t.Errorf("it has grown to %d bytes", size)
	}
}

func TestFaults(t *testing.T) {
	p := parse(t, "sum(v), first(w), count(x)")
	for _, c := range []struct {
		value  string
		faults int
		err    error
	}{
		{`{"v":1,"w":2}`, 0, nil}, {`{"v":1}`, 1, field.ErrMissing}, {`{"v":"one","w":1}`, 1, aggregate.ErrNotNumber}, {`{"v":[]}`, 2, aggregate.ErrNotNumber},
		{`{"v":"0x10","w":1}`, 1, aggregate.ErrNotNumber}, {`{"v":"","w":1}`, 1, aggregate.ErrNotNumber}, {`{"v":"NaN","w":1}`, 1, aggregate.ErrNotNumber}, {`{"v":1e999,"w":1}`, 1, aggregate.ErrNotNumber},
		{`no json`, 3, field.ErrNotJSON},
	} {
		r := &record.Record{Value: []byte(c.value)}
		if _, err := p.Read(r, false); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.value, err, c.err)
		}
		if faults, err := p.Read(r, true); faults != c.faults || err != nil {
			t.Errorf("%s: %d faults, %v, want %d", c.value, faults, err, c.faults)
		}
	}
}

// TestParseFaults: all that is wrong is told at once, with its column.
func TestParseFaults(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", []string{"column 1", "function(field)"}},
		{"summ(v), count(), avg()", []string{"column 1, summ(v): there is no function \"summ\"", "column 19, avg(): it needs a field"}},
		{"count(), count()", []string{"column 10", "the name \"count\" is taken"}},
		{"sum(v) total", []string{"column 1", "write `as` and a name"}},
		{"sum(v", []string{"column 1", "not closed"}},
		{"p100(v), p0(v)", []string{"column 1", "column 10", "between 0 and 100"}},
		{"top(v), top(v, x), collect(v, 0)", []string{"top(field, 10)", "\"x\" is no number", "\"0\" is no number between 1"}},
		{"sum(a..b), sum(@what)", []string{"column 1", "a name is empty", "@what"}},
		{"sum(a, b)", []string{"2 arguments"}},
	} {
		_, err := aggregate.Parse(c.text)
		if err == nil {
			t.Errorf("%q is accepted", c.text)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q in it", c.text, err, want)
			}
		}
	}
}

// TestStatesAreGivenBack: numbers are used again, and with the last one the memory goes.
func TestStatesAreGivenBack(t *testing.T) {
	p := parse(t, "sum(v), collect(v)")
	s := p.NewStates()
	add := func() int32 {
		n := s.New()
		if _, err := p.Read(&record.Record{Value: []byte(`{"v":2}`)}, false); err != nil {
			t.Fatal(err)
		}
		s.Add(n, 0)
		if got := string(s.AppendJSON(nil, n, 1)); got != `{"sum_v":2,"collect_v":[2]}` {
			t.Fatalf("state %d is %s", n, got)
		}
		return n
	}
	for range 3 {
		var all []int32
		for range 1000 {
			all = append(all, add())
		}
		for _, n := range all[100:] {
			s.Free(n)
		}
		for range 500 {
			all = append(all[:100:100], add())
			s.Free(all[100])
		}
		if all[100] >= 1000 {
			t.Fatalf("state %d is new, where others are free", all[100])
		}
		for _, n := range all[:100] {
			s.Free(n)
		}
	}
}
