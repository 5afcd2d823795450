package window_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/stdout"
	"github.com/windrow-io/windrow/pkg/window"
)

const someAggregates = "count() as n, count(v) as there, sum(v) as sum, avg(v) as avg, min(v) as min, max(v) as max, stddev(v) as stddev, first(v) as first, last(v) as last, distinct(v) as distinct, collect(v) as all, p50(v) as p50, top(v, 1) as top"

// TestAggregatesAreThoseOfTheRecords: whatever the emitter, the same windows come as without AGGREGATE, each with what a
// naive reading of its records gives; also over snapshots at any moment.
func TestAggregatesAreThoseOfTheRecords(t *testing.T) {
	for _, s := range []window.Settings{
		{Emitter: "count", Size: 7}, {Emitter: "count", Size: 5, Key: "@key", Timeout: 900 * time.Millisecond},
		{Emitter: "fixed", Interval: time.Second, EmitEmpty: true}, {Emitter: "fixed", Interval: time.Second, Key: "@key"},
		{Emitter: "relaxed", Interval: time.Second}, {Emitter: "tumbling", Interval: 40 * time.Millisecond, Key: "@key", Late: "drop"},
		{Emitter: "sliding", Interval: 40 * time.Millisecond, Slide: 15 * time.Millisecond, Late: "next"},
		{Emitter: "session", Gap: 60 * time.Millisecond, WatermarkDelay: 500 * time.Millisecond, Key: "@key", Late: "drop"},
		{Emitter: "session", Gap: 10 * time.Millisecond, MaxLength: 50 * time.Millisecond, WatermarkDelay: 900 * time.Millisecond, Late: "next"},
		{Emitter: "session", Gap: 20 * time.Millisecond, AllowedLateness: 300 * time.Millisecond, WatermarkDelay: 500 * time.Millisecond, EmitEarly: 300 * time.Millisecond, Late: "drop"},
		{Emitter: "sliding", Interval: 40 * time.Millisecond, Slide: 15 * time.Millisecond, AllowedLateness: 400 * time.Millisecond, Key: "@key", Late: "drop"},
		{Emitter: "fixed", Interval: time.Second, EmitEmpty: true, EmitEarly: 200 * time.Millisecond},
		{Emitter: "fixed", Interval: 100 * time.Millisecond, Key: "@key", CatchUp: "merge"},
		{Emitter: "tumbling", Interval: 40 * time.Millisecond, EmitEmpty: true, CatchUp: "skip-empty", Late: "drop"},
		{Emitter: "expr", Query: "take(records, 3)", Ready: "len(window) == 3", Key: "@key"},
	} {
		t.Run(s.Emitter+s.Key, func(t *testing.T) {
			eachSeed(t, func(t *testing.T, seed uint64) {
				s.Stream, s.Pipeline, s.BadField = "s", "p", "null"
				plain := machine(t, s)
				folded := s
				folded.Aggregate = someAggregates
				m := machine(t, folded)
				f := &feed{rng: rand.New(rand.NewPCG(seed, 5)), now: 10_000, keys: 4}
				want, got := &kept{}, &kept{}
				for range 150 {
					now, records := f.turn()
					for i := range records {
						records[i].Timestamp = now - f.rng.Int64N(1000)
						switch f.rng.IntN(8) {
						case 0:
							records[i].Value = []byte(`{"w":1}`)
						case 1:
							records[i].Value = fmt.Appendf(nil, `{"v":%g}`, f.rng.Float64()*1000)
						default:
							records[i].Value = fmt.Appendf(nil, `{"v":%d}`, f.rng.IntN(10))
						}
					}
					plain.Step(now, window.Each(records), want)
					m.Step(now, window.Each(records), got)
					if m.Waiting() != plain.Waiting() || m.Deadline() != plain.Deadline() {
						t.Fatalf("%d wait until %d, want %d until %d", m.Waiting(), m.Deadline(), plain.Waiting(), plain.Deadline())
					}
					if f.rng.IntN(10) == 0 {
						m = restored(t, folded, m)
					}
				}
				if len(want.windows) < 20 || len(got.windows) != len(want.windows) {
					t.Fatalf("%d windows, want %d", len(got.windows), len(want.windows))
				}
				for i, w := range want.windows {
					requireAggregate(t, got.windows[i], w)
				}
			})
		})
	}
}

// requireAggregate compares a window with the records that it is the aggregate of.
func requireAggregate(t *testing.T, got, of *window.Window) {
	t.Helper()
	if !got.Aggregate || got.Count() != len(of.Records) || len(got.Records) != 1 || got.Start != of.Start || got.End != of.End || got.Seq != of.Seq ||
		got.Reason != of.Reason || got.Revision != of.Revision || got.Final != of.Final || !bytes.Equal(got.Key, of.Key) {
		t.Fatalf("window %+v, want one of %+v", got, of)
	}
	type result struct {
		N, There, Distinct                           int
		Sum, Avg, Min, Max, Stddev, First, Last, P50 *float64
		All                                          []float64
		Top                                          []struct{ Count int }
	}
	var r result
	if err := json.Unmarshal(got.Records[0].Value, &r); err != nil {
		t.Fatalf("%s: %v", got.Records[0].Value, err)
	}
	type event struct {
		at int64
		v  float64
	}
	var events []event
	var values []float64
	counts := map[float64]int{}
	sum, most := 0.0, 0
	for i := range of.Records {
		var v struct{ V *float64 }
		if json.Unmarshal(of.Records[i].Value, &v) != nil || v.V == nil {
			continue
		}
		at := int64(0)
		if window.EventTimed(of.Emitter) {
			at = of.Records[i].Timestamp
		}
		events = append(events, event{at, *v.V})
		values = append(values, *v.V)
		sum += *v.V
		counts[*v.V]++
		most = max(most, counts[*v.V])
	}
	if all := slices.Clone(values); of.Emitter == "session" { // those of sessions that became one come session by session
		slices.Sort(all)
		slices.Sort(r.All)
		if !slices.Equal(r.All, all) {
			t.Fatalf("%s of the values %v", got.Records[0].Value, values)
		}
		r.All = values
	}
	if r.N != len(of.Records) || r.There != len(values) || r.Distinct != len(counts) || !slices.Equal(r.All, values) {
		t.Fatalf("%s of the values %v", got.Records[0].Value, values)
	}
	if len(values) == 0 {
		if r.Sum != nil || r.Avg != nil || r.Min != nil || r.Max != nil || r.First != nil || r.Last != nil || r.P50 != nil || len(r.Top) != 0 {
			t.Fatalf("%s of no values", got.Records[0].Value)
		}
		return
	}
	slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })
	mean, squares := sum/float64(len(values)), 0.0
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	near := func(name string, got *float64, want, within float64) {
		if got == nil || math.Abs(*got-want) > within*math.Max(1, math.Abs(want)) {
			t.Fatalf("%s is %v, want %v of %v", name, got, want, values)
		}
	}
	near("sum", r.Sum, sum, 1e-12)
	near("avg", r.Avg, mean, 1e-12)
	near("min", r.Min, slices.Min(values), 0)
	near("max", r.Max, slices.Max(values), 0)
	near("first", r.First, events[0].v, 0)
	near("last", r.Last, events[len(events)-1].v, 0)
	if len(values) > 1 {
		near("stddev", r.Stddev, math.Sqrt(squares/float64(len(values)-1)), 1e-9)
	}
	if r.Top[0].Count != most {
		t.Fatalf("the most frequent comes %d times, want %d of %v", r.Top[0].Count, most, values)
	}
	slices.Sort(values)
	low, high := values[int(float64(len(values)-1)*0.5)], values[int(math.Ceil(float64(len(values)-1)*0.5))]
	if *r.P50 < low*0.989 || *r.P50 > high*1.011 {
		t.Fatalf("the median is %v, want %v to %v", *r.P50, low, high)
	}
}

// TestSnapshotsOfAggregates: bytes that are no snapshot are refused, or are one of some state.
func TestSnapshotsOfAggregates(t *testing.T) {
	s := window.Settings{Stream: "s", Pipeline: "p", Emitter: "count", Size: 100, Key: "@key", Aggregate: someAggregates + ", distinct_approx(v)"}
	m := machine(t, s)
	var records []record.Record
	for i := range 50 {
		records = append(records, record.Record{Key: fmt.Appendf(nil, "k%d", i%3), Value: fmt.Appendf(nil, `{"v":%d}`, i)})
	}
	m.Step(1000, window.Each(records), &kept{})
	snapshot := m.Snapshot(nil)
	rng := rand.New(rand.NewPCG(1, 1))
	refused := 0
	for n := range 3000 {
		bad := slices.Clone(snapshot)
		if n%2 == 0 {
			bad = bad[:rng.IntN(len(bad))]
		} else {
			bad[9+rng.IntN(len(bad)-9)] ^= byte(1 + rng.IntN(255))
		}
		r, err := window.Restore(s, "t/0", bad)
		if err != nil {
			refused++
			continue
		}
		r.Step(2000, window.Each(records), &kept{})
		r.Flush(&kept{})
	}
	if refused < 1500 {
		t.Errorf("%d of 3000 were refused: those that are cut off must be", refused)
	}
}

// TestBytesPerKey: open keys take at most 250 bytes each, beyond their key.
func TestBytesPerKey(t *testing.T) {
	const keys = 250_000 // fill the map's tables as far as a million do
	each, said := bytesPerKey(t, keys)
	if each > 250 {
		t.Errorf("%.0f bytes a key, want at most 250", each)
	}
	if said < each*0.8 || said > each*1.3 {
		t.Errorf("STATE_MAX_BYTES counts %.0f bytes a key, and it takes %.0f", said, each)
	}
}

// BenchmarkOpenKeys measures the memory of a million open keys.
func BenchmarkOpenKeys(b *testing.B) {
	for range b.N {
		each, _ := bytesPerKey(b, 1_000_000)
		b.ReportMetric(each, "B/key")
	}
}

// bytesPerKey is what each of so many open keys takes beyond its name, and what it counts for.
func bytesPerKey(t testing.TB, keys int) (each, said float64) {
	t.Helper()
	m := machine(t, window.Settings{Emitter: "tumbling", Interval: time.Hour, MaxFuture: time.Hour, Key: "@key", Aggregate: "count(), sum(v), avg(v)"})
	memory := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	r := record.Record{Value: []byte(`{"v":1.5}`), Timestamp: 1_700_000_000_000}
	length := 0
	before := memory()
	m.Step(r.Timestamp, func(yield func(*record.Record) bool) {
		for i := range keys {
			r.Key = fmt.Appendf(r.Key[:0], "device-%08d", i)
			length += len(r.Key)
			yield(&r)
		}
	}, &kept{})
	each = float64(memory()-before-uint64(length)) / float64(keys)
	if m.Keys() != keys {
		t.Fatalf("%d keys are open", m.Keys())
	}
	return each, float64(m.Bytes()-int64(length)) / float64(keys)
}

// BenchmarkAggregate compares windows per key of event time in the JSON, aggregated, with count windows of the same records.
func BenchmarkAggregate(b *testing.B) {
	const perTurn, keys = 1337, 1000
	const form = `{"at":%d,"device":{"id":"device-%d","type":"thermometer"},"temperature":%d.%d,"humidity":0.41,"ok":true,"note":"nothing of interest to report"}`
	base := int64(1_700_000_000_000)
	var records []record.Record
	for i := range perTurn {
		records = append(records, record.Record{Topic: "t", Offset: int64(i), Value: fmt.Appendf(nil, form, base, i*7%keys, i%40, i%10)})
	}
	for _, c := range []struct {
		name string
		s    window.Settings
	}{
		{"count", window.Settings{Emitter: "count", Size: 100}},
		{"aggregate", window.Settings{
			Emitter: "tumbling", Interval: 10 * time.Second, EventTime: "at", MaxFuture: time.Hour, Key: "device.id", Aggregate: "count(), sum(temperature), avg(temperature)",
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.s.Stream, c.s.Pipeline = "s", "p"
			m, err := window.New(c.s, "t/0")
			if err != nil {
				b.Fatal(err)
			}
			now, out := base, &written{group: stdout.New(io.Discard, sink.OutputWindow).Group("s", "p", "t/0")}
			turn := func() {
				now += 1000
				for i := range records {
					at := now + int64(i)%1000
					for d := len(`{"at":1700000000000`) - 1; d > len(`{"at":`)+2; d-- {
						records[i].Value[d] = byte('0' + at%10)
						at /= 10
					}
				}
				m.Step(now, window.Each(records), out)
				out.group.Reset()
			}
			for range 12 {
				turn()
			}
			if out.n == 0 {
				b.Fatal("no window came")
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				turn()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*perTurn), "ns/record")
		})
	}
}

// written is an Out that writes windows as a sink does.
type written struct {
	group sink.Group
	n     int
}

func (o *written) Window(w *window.Window)      { o.n++; o.group.Add(w.End, w) }
func (o *written) Reject(*record.Record, error) { panic("no record is to be rejected") }
