package window_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

// naiveKeys are count windows of keys as one would write them down: a list of keys, the one used last at its end.
type naiveKeys struct {
	s       window.Settings
	keys    []string
	records map[string][]record.Record
	used    map[string]int64
	windows []string
}

// told is what a window and its model are compared by.
func told(key string, reason emit.Reason, records []record.Record, n int) string {
	if records == nil {
		return fmt.Sprintf("%s key %s of %d", reason, key, n)
	}
	return closed(key, reason, records)
}

func (n *naiveKeys) close(key string, reason emit.Reason) {
	records := n.records[key]
	if n.s.Aggregate != "" {
		records = nil
	}
	n.windows = append(n.windows, told(key, reason, records, len(n.records[key])))
	delete(n.records, key)
	n.keys = slices.DeleteFunc(n.keys, func(k string) bool { return k == key })
}

func (n *naiveKeys) turn(now int64, records []record.Record) {
	for n.s.KeyTimeout > 0 && len(n.keys) > 0 && n.used[n.keys[0]]+n.s.KeyTimeout.Milliseconds() <= now {
		n.close(n.keys[0], emit.Idle)
	}
	for _, r := range records {
		key := string(r.Key)
		if len(n.records[key]) == 0 && n.s.MaxKeys > 0 && len(n.keys) == n.s.MaxKeys {
			n.close(n.keys[0], emit.Limit)
		}
		n.keys = append(slices.DeleteFunc(n.keys, func(k string) bool { return k == key }), key)
		n.used[key] = now
		if n.records[key] = append(n.records[key], r); len(n.records[key]) == n.s.Size {
			n.close(key, emit.Count)
		}
	}
}

// TestKeysAreBounded: with MAX_KEYS and KEY_TIMEOUT windows are those of a list of keys in the order of their use.
func TestKeysAreBounded(t *testing.T) {
	for _, s := range []window.Settings{
		{MaxKeys: 3}, {MaxKeys: 1}, {KeyTimeout: 800 * time.Millisecond}, {MaxKeys: 4, KeyTimeout: 2 * time.Second},
	} {
		s.Emitter, s.Size, s.Key = "count", 4, "@key"
		for _, aggregate := range []string{"", "count()"} {
			t.Run(fmt.Sprint(s.MaxKeys, s.KeyTimeout, aggregate), func(t *testing.T) {
				s.Aggregate = aggregate
				eachSeed(t, func(t *testing.T, seed uint64) {
					n := &naiveKeys{s: s, records: map[string][]record.Record{}, used: map[string]int64{}}
					f := &feed{rng: rand.New(rand.NewPCG(seed, 4)), now: 10_000, keys: 7}
					m := machine(t, s)
					o := &kept{}
					for range 200 {
						now, records := f.turn()
						n.turn(now, records)
						m.Step(now, window.Each(records), o)
						if s.MaxKeys > 0 && m.Keys() > s.MaxKeys {
							t.Fatalf("%d keys wait", m.Keys())
						}
						if f.rng.IntN(10) == 0 {
							settings := s
							settings.Stream, settings.Pipeline = "s", "p"
							m = restored(t, settings, m)
						}
					}
					reasons := map[emit.Reason]bool{}
					for i, w := range o.windows {
						reasons[w.Reason] = true
						records := w.Records
						if aggregate != "" {
							records = nil
						}
						if i == len(n.windows) {
							break
						}
						got, want := told(string(w.Key), w.Reason, records, w.Count()), n.windows[i]
						if got != want {
							t.Fatalf("window %d is %q, want %q", i, got, want)
						}
					}
					if len(o.windows) != len(n.windows) || !reasons[emit.Limit] && !reasons[emit.Idle] {
						t.Fatalf("%d windows closed by %v, want %d", len(o.windows), reasons, len(n.windows))
					}
				})
			})
		}
	}
}

// TestEveryKeyOnce: with a bound on keys every emitter has each record in a window once, or it waits.
func TestEveryKeyOnce(t *testing.T) {
	for _, s := range []window.Settings{
		{Emitter: "fixed", Interval: time.Second}, {Emitter: "relaxed", Interval: time.Second}, {Emitter: "never", KeyTimeout: time.Second},
		{Emitter: "tumbling", Interval: 200 * time.Millisecond, Late: "next"}, {Emitter: "bytes", Bytes: 1000, Timeout: time.Second, KeyTimeout: 500 * time.Millisecond},
	} {
		t.Run(s.Emitter, func(t *testing.T) {
			s.Key, s.MaxKeys = "@key", 3
			eachSeed(t, func(t *testing.T, seed uint64) { run(t, seed, s, 9) })
		})
	}
}

// TestDuplicates: what is taken is what a list of all that was taken before, and when, lets pass.
func TestDuplicates(t *testing.T) {
	for _, emitter := range []string{"count", "tumbling"} {
		t.Run(emitter, func(t *testing.T) {
			eachSeed(t, func(t *testing.T, seed uint64) {
				s := window.Settings{Emitter: emitter, Dedupe: "id", DedupeWithin: 1500 * time.Millisecond, DedupeMax: 1000}
				switch emitter {
				case "count":
					s.Size = 1
				default:
					s.Interval, s.Late, s.MaxFuture = time.Hour, "next", 10*time.Second
					s.WatermarkDelay = time.Second // none is forgotten too early
				}
				rng := rand.New(rand.NewPCG(seed, 5))
				m := machine(t, s)
				o := &kept{}
				at := map[string]int64{} // value → when it was taken last
				var want []int64
				now, offset := int64(1_000_000), int64(0)
				for range 300 {
					now += rng.Int64N(900)
					var records []record.Record
					for range rng.IntN(5) {
						id := strconv.Itoa(rng.IntN(12))
						moment := now
						if emitter == "tumbling" {
							moment += rng.Int64N(400)
						}
						records = append(records, record.Record{Topic: "t", Offset: offset, Timestamp: moment, Value: []byte(`{"id":"` + id + `"}`)})
						if last, known := at[id]; !known || moment-last >= 1500 || last-moment >= 1500 {
							at[id] = moment
							want = append(want, offset)
						}
						offset++
					}
					m.Step(now, window.Each(records), o)
					if rng.IntN(10) == 0 {
						settings := s
						settings.Stream, settings.Pipeline = "s", "p"
						m = restored(t, settings, m)
					}
				}
				m.Flush(o)
				var got []int64
				for _, w := range o.windows {
					for _, r := range w.Records {
						got = append(got, r.Offset)
					}
				}
				slices.Sort(got)
				for i := range min(len(got), len(want)) {
					if got[i] != want[i] {
						t.Fatalf("taken was, in place %d, record %d, want %d", i, got[i], want[i])
					}
				}
				if len(got) != len(want) {
					t.Errorf("%d were taken, want %d", len(got), len(want))
				}
				if len(want) < 50 || len(want) == int(offset) {
					t.Errorf("%d of %d were taken", len(want), offset)
				}
			})
		})
	}
}

// TestOrderIsStable: a window's records are those that came, sorted by the field, and equal ones as they came.
func TestOrderIsStable(t *testing.T) {
	for _, down := range []bool{false, true} {
		eachSeed(t, func(t *testing.T, seed uint64) {
			s := window.Settings{Emitter: "count", Size: 3 + int(seed)*4, OrderBy: "v", Key: "@key"}
			sign := 1
			if down {
				s.OrderBy, sign = "v desc", -1
			}
			rng := rand.New(rand.NewPCG(seed, 6))
			m := machine(t, s)
			o := &kept{}
			byKey := map[string][]record.Record{}
			var want []string
			value := map[int64]int{}
			for step := range 100 {
				var records []record.Record
				for range rng.IntN(9) {
					offset := int64(len(value))
					value[offset] = rng.IntN(7) - 3
					r := record.Record{Topic: "t", Offset: offset, Key: fmt.Appendf(nil, "k%d", rng.IntN(3)), Value: fmt.Appendf(nil, `{"v":%d}`, value[offset])}
					records = append(records, r)
					k := string(r.Key)
					if byKey[k] = append(byKey[k], r); len(byKey[k]) == s.Size {
						for i := range byKey[k] { // insertion, as one learns it
							for j := i; j > 0 && sign*value[byKey[k][j].Offset] < sign*value[byKey[k][j-1].Offset]; j-- {
								byKey[k][j], byKey[k][j-1] = byKey[k][j-1], byKey[k][j]
							}
						}
						want = append(want, closed(k, emit.Count, byKey[k]))
						byKey[k] = nil
					}
				}
				m.Step(int64(step), window.Each(records), o)
			}
			for i, w := range o.windows {
				if got := closed(string(w.Key), w.Reason, w.Records); got != want[i] {
					t.Fatalf("window %d is %q, want %q", i, got, want[i])
				}
			}
			if len(o.windows) != len(want) || len(want) == 0 {
				t.Errorf("%d windows, want %d", len(o.windows), len(want))
			}
		})
	}
}
