package window_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

// feed is a random input: turns, each with its time and the records of several lanes, as an owner reads them.
type feed struct {
	rng     *rand.Rand
	now     int64
	offsets [3]int64
	all     []record.Record
	keys    int
}

func newFeed(seed, stream uint64) *feed {
	return &feed{rng: rand.New(rand.NewPCG(seed, stream)), now: 10_000, keys: 4}
}

// turn is the next one. Every record is received at or after the time of the turn before; the time of the turn is a bound
// for those that come later.
func (f *feed) turn() (now int64, records []record.Record) {
	before := f.now
	f.now += f.rng.Int64N(700)
	if f.rng.IntN(20) == 0 {
		f.now += f.rng.Int64N(20_000) // a downtime
	}
	if f.rng.IntN(4) == 0 {
		return f.now, nil
	}
	for lane := range f.offsets {
		at := before
		for range f.rng.IntN(6) {
			at += f.rng.Int64N(f.now - before + 300)
			r := record.Record{
				Topic: "t", Partition: int32(lane), Offset: f.offsets[lane], Received: at, Timestamp: f.rng.Int64N(1000),
				Value: fmt.Appendf(nil, "%d/%d%*s", lane, f.offsets[lane], f.rng.IntN(200), ""),
				Key:   fmt.Appendf(nil, "k%d", f.rng.IntN(f.keys)),
			}
			if f.rng.IntN(50) == 0 {
				r.Value = bytes.Repeat([]byte{'L'}, 20<<10+f.rng.IntN(100))
			}
			f.offsets[lane]++
			records = append(records, r)
		}
	}
	f.all = append(f.all, records...)
	return f.now, records
}

// run feeds a machine with random turns, again and again replaced by one made from its snapshot, and the memory of each
// turn's records overwritten behind it. It returns the records and the windows.
func run(t *testing.T, seed uint64, s window.Settings, keys int) (f *feed, windows []*window.Window) {
	t.Helper()
	return runEach(t, seed, s, keys, func(int64, []record.Record) {})
}

// runEach is run, and hands each turn to watch too.
func runEach(t *testing.T, seed uint64, s window.Settings, keys int, watch func(now int64, records []record.Record)) (*feed, []*window.Window) {
	t.Helper()
	f, windows, m := play(t, seed, s, keys, watch)
	if s.SlideSize == 0 { // else records are in several windows
		f.check(t, windows, m)
	}
	return f, windows
}

// runDropping is runEach for emitters that don't want every record.
func runDropping(t *testing.T, seed uint64, s window.Settings, keys int, watch func(now int64, records []record.Record)) []*window.Window {
	t.Helper()
	f, windows, m := play(t, seed, s, keys, watch)
	n := m.Waiting()
	for _, w := range windows {
		n += len(w.Records)
	}
	if n >= len(f.all) {
		t.Errorf("%d of %d records are in windows or wait", n, len(f.all))
	}
	return windows
}

// play is what runEach and runDropping have in common.
func play(t *testing.T, seed uint64, s window.Settings, keys int, watch func(now int64, records []record.Record)) (f *feed, windows []*window.Window, m *window.Machine) {
	t.Helper()
	s.Stream, s.Pipeline = "s", "p"
	f = &feed{rng: rand.New(rand.NewPCG(seed, 1)), now: 10_000, keys: keys}
	m = machine(t, s)
	o := &kept{}
	for range 200 {
		now, records := f.turn()
		watch(now, records)
		mine := make([]record.Record, len(records))
		for i := range records {
			mine[i] = records[i].Clone()
			if !m.NeedsReceived() {
				mine[i].Received = 0
			}
		}
		before := len(o.windows)
		if n := m.Step(now, window.Each(mine), o); n != len(o.windows)-before {
			t.Fatalf("Step returned %d, gave %d windows", n, len(o.windows)-before)
		}
		for i := range mine {
			for j := range mine[i].Value {
				mine[i].Value[j] = '!'
			}
			clear(mine[i].Key)
		}
		if f.rng.IntN(10) == 0 {
			m = restored(t, s, m)
		}
	}
	if s.StateMaxBytes > 0 && m.Bytes() > s.StateMaxBytes {
		t.Errorf("%d bytes wait", m.Bytes())
	}
	return f, o.windows, m
}

// check holds what is true of every strategy: each record is in one window or waits, unaltered; the windows are numbered.
func (f *feed) check(t *testing.T, windows []*window.Window, m *window.Machine) {
	t.Helper()
	type place struct {
		lane   int32
		offset int64
	}
	value := map[place]string{}
	for _, r := range f.all {
		value[place{r.Partition, r.Offset}] = string(r.Key) + string(r.Value)
	}
	for i, w := range windows {
		if w.Seq != int64(i) {
			t.Fatalf("window %d has the number %d", i, w.Seq)
		}
		for _, r := range w.Records {
			p := place{r.Partition, r.Offset}
			if v, ok := value[p]; !ok || v != string(r.Key)+string(r.Value) {
				t.Fatalf("window %d has record %v with %.40q, want %.40q", i, p, r.Value, v)
			}
			delete(value, p)
		}
	}
	if len(value) != m.Waiting() {
		t.Fatalf("%d records are in no window, %d wait", len(value), m.Waiting())
	}
}

// model is what the windows should be: for each, its key, interval, and the records' values, in order.
type model []string

func line(key string, start, end int64, records []record.Record) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s [%d %d]", key, start, end)
	for _, r := range records {
		fmt.Fprintf(&b, " %d/%d", r.Partition, r.Offset)
	}
	return b.String()
}

func compare(t *testing.T, windows []*window.Window, want model, ordered bool) {
	t.Helper()
	var got model
	for _, w := range windows {
		got = append(got, line(string(w.Key), w.Start, w.End, w.Records))
	}
	if !ordered {
		slices.Sort(got)
		slices.Sort(want)
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("window %d is\n%s\nwant\n%s", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d windows, want %d", len(got), len(want))
	}
}

func eachSeed(t *testing.T, f func(t *testing.T, seed uint64)) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { f(t, seed) })
	}
}

func timestamps(records []record.Record) (least, greatest int64) {
	least, greatest = records[0].Timestamp, records[0].Timestamp
	for _, r := range records {
		least, greatest = min(least, r.Timestamp), max(greatest, r.Timestamp)
	}
	return least, greatest
}

// TestCountIsChunks: count windows are the records, n by n.
func TestCountIsChunks(t *testing.T) {
	eachSeed(t, func(t *testing.T, seed uint64) {
		n := 1 + int(seed)*7
		f, got := run(t, seed, window.Settings{Emitter: "count", Size: n}, 1)
		var want model
		for chunk := range slices.Chunk(f.all, n) {
			if len(chunk) == n {
				least, greatest := timestamps(chunk)
				want = append(want, line("", least, greatest, chunk))
			}
		}
		compare(t, got, want, true)
	})
}

// TestCountOfKeysIsChunks: the same for each key.
func TestCountOfKeysIsChunks(t *testing.T) {
	eachSeed(t, func(t *testing.T, seed uint64) {
		n := 1 + int(seed)
		f, got := run(t, seed, window.Settings{Emitter: "count", Size: n, Key: "@key"}, 7)
		var want model
		byKey := map[string][]record.Record{}
		for _, r := range f.all {
			k := string(r.Key)
			if byKey[k] = append(byKey[k], r); len(byKey[k]) == n {
				least, greatest := timestamps(byKey[k])
				want = append(want, line(k, least, greatest, byKey[k]))
				delete(byKey, k)
			}
		}
		compare(t, got, want, true)
	})
}

// TestFixedIsFloor: fixed windows are the records grouped by floor(received/s), and every record is within its window.
func TestFixedIsFloor(t *testing.T) {
	for _, key := range []string{"", "@key"} {
		for _, empty := range []bool{false, true} {
			if key != "" && empty {
				continue
			}
			t.Run(fmt.Sprintf("key %q empty %v", key, empty), func(t *testing.T) {
				eachSeed(t, func(t *testing.T, seed uint64) {
					const s = 500
					f, got := run(t, seed, window.Settings{Emitter: "fixed", Interval: s * time.Millisecond, Key: key, EmitEmpty: empty}, 5)
					type group struct {
						start int64
						key   string
					}
					groups := map[group][]record.Record{}
					for _, r := range f.all {
						g := group{start: r.Received / s * s}
						if key != "" {
							g.key = string(r.Key)
						}
						groups[g] = append(groups[g], r)
					}
					if empty {
						first := slices.MinFunc(slices.Collect(maps.Keys(groups)), func(a, b group) int { return int(a.start - b.start) }).start
						first = min(first, got[0].Start)
						for start := first; start+s <= f.now; start += s {
							groups[group{start: start}] = append(groups[group{start: start}], []record.Record{}...)
						}
					}
					var want model
					for g, records := range groups {
						if g.start+s <= f.now {
							want = append(want, line(g.key, g.start, g.start+s, records))
						}
					}
					compare(t, got, want, false)
					for i := 1; i < len(got); i++ {
						if got[i].Start < got[i-1].Start || empty && got[i].Start != got[i-1].End {
							t.Fatalf("window %d is [%d %d) after [%d %d)", i, got[i].Start, got[i].End, got[i-1].Start, got[i-1].End)
						}
					}
				})
			})
		}
	}
}

// TestRelaxedLosesNothing: relaxed windows lie end to end in order, and hold the records in the order of reading.
func TestRelaxedLosesNothing(t *testing.T) {
	for _, empty := range []bool{false, true} {
		eachSeed(t, func(t *testing.T, seed uint64) {
			const s = 500
			f, got := run(t, seed, window.Settings{Emitter: "relaxed", Interval: s * time.Millisecond, EmitEmpty: empty}, 1)
			i := 0
			for n, w := range got {
				if n > 0 && w.Start != got[n-1].End || w.End <= w.Start || w.Start%s != 0 || w.End%s != 0 || w.Reason != emit.Interval {
					t.Fatalf("window %d is [%d %d)", n, w.Start, w.End)
				}
				if !empty && len(w.Records) == 0 {
					t.Fatalf("window %d is empty", n)
				}
				for _, r := range w.Records {
					if r.Partition != f.all[i].Partition || r.Offset != f.all[i].Offset {
						t.Fatalf("window %d has %d/%d, want %d/%d", n, r.Partition, r.Offset, f.all[i].Partition, f.all[i].Offset)
					}
					i++
				}
			}
		})
	}
}

// TestLimitHolds: whatever comes, no more waits than STATE_MAX_BYTES, and nothing is lost.
func TestLimitHolds(t *testing.T) {
	for _, s := range []window.Settings{
		{Emitter: "count", Size: 1000}, {Emitter: "count", Size: 1000, Key: "@key", Timeout: time.Minute}, {Emitter: "fixed", Interval: time.Hour, EmitEmpty: true},
		{Emitter: "fixed", Interval: 5 * time.Second, Key: "@key"}, {Emitter: "relaxed", Interval: time.Hour, Key: "@key"}, {Emitter: "sorted"}, {Emitter: "never", Key: "@key"},
		{Emitter: "tumbling", Interval: time.Hour, Key: "@key", MaxFuture: time.Hour}, {Emitter: "bytes", Bytes: 1 << 40, Timeout: time.Hour},
		{Emitter: "session", Gap: 20 * time.Millisecond, WatermarkDelay: time.Hour, Key: "@key", MaxFuture: time.Hour},
	} {
		t.Run(s.Emitter+s.Key, func(t *testing.T) {
			s.StateMaxBytes = 30_000
			_, got := run(t, 1, s, 9)
			limited := 0
			for _, w := range got {
				if w.Reason == emit.Limit {
					limited++
				}
			}
			if limited == 0 {
				t.Error("the limit was never reached")
			}
		})
	}
}

// TestChangeLosesNothing: settings that change all the time lose no record and repeat none.
func TestChangeLosesNothing(t *testing.T) {
	settings := []window.Settings{
		{Emitter: "count", Size: 7}, {Emitter: "count", Size: 3, Key: "@key"}, {Emitter: "fixed", Interval: time.Second}, {Emitter: "relaxed", Interval: time.Second, Key: "@key"},
		{Emitter: "never"}, {Emitter: "fixed", Interval: 300 * time.Millisecond, Key: "@key"}, {Emitter: "count", Size: 50, StateMaxBytes: 5000},
		{Emitter: "bytes", Bytes: 700, Size: 9, Timeout: time.Second}, {Emitter: "relaxed", Interval: time.Second, When: "size >= 3", Key: "@key"},
		{Emitter: "tumbling", Interval: 50 * time.Millisecond, Late: "next", Key: "@key"}, {Emitter: "tumbling", Interval: 200 * time.Millisecond, Late: "next"},
		{Emitter: "session", Gap: 20 * time.Millisecond, WatermarkDelay: 300 * time.Millisecond, Late: "next", Key: "@key"},
	}
	eachSeed(t, func(t *testing.T, seed uint64) {
		f := newFeed(seed, 2)
		m := machine(t, settings[0])
		o := &kept{}
		for range 200 {
			now, records := f.turn()
			m.Step(now, window.Each(records), o)
			if f.rng.IntN(5) == 0 {
				s := settings[f.rng.IntN(len(settings))]
				s.Stream, s.Pipeline = "s", "p"
				waiting := m.Waiting()
				n, err := m.Change(s, now, o)
				if err != nil {
					t.Fatal(err)
				}
				if n.Waiting() != waiting {
					t.Fatalf("%d wait after the change, %d before", n.Waiting(), waiting)
				}
				m = n
				if f.rng.IntN(2) == 0 {
					m = restored(t, s, m)
				}
			}
		}
		f.check(t, o.windows, m)
	})
}
