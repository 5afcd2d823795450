package window_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

func closed(key string, reason emit.Reason, records []record.Record) string {
	least, greatest := timestamps(records)
	return string(reason) + " " + line(key, least, greatest, records)
}

// naive are windows by bounds, one key's, as one would write them down: a list that is looked at again with each record.
type naive struct {
	s       window.Settings
	records []record.Record
	since   int64
}

// due is when time closes the window, and why.
func (n *naive) due() (at int64, reason emit.Reason) {
	if len(n.records) == 0 {
		return 0, ""
	}
	if step := n.s.Interval.Milliseconds(); step > 0 {
		at, reason = (n.since/step+1)*step, emit.Interval
	}
	if timeout := n.since + n.s.Timeout.Milliseconds(); n.s.Timeout > 0 && (reason == "" || timeout < at) {
		at, reason = timeout, emit.Timeout
	}
	return at, reason
}

// add takes a record and says whether it closes the window.
func (n *naive) add(now int64, r record.Record) emit.Reason {
	if len(n.records) == 0 {
		n.since = now
	}
	n.records = append(n.records, r)
	bytes, sum := 0, int64(0)
	for _, r := range n.records {
		bytes += len(r.Key) + len(r.Value)
		sum += r.Offset % 7
	}
	switch {
	case n.s.Size > 0 && len(n.records) == n.s.Size:
		return emit.Count
	case n.s.Bytes > 0 && int64(bytes) >= n.s.Bytes:
		return emit.Bytes
	case n.s.When != "" && sum >= 12:
		return emit.When
	}
	return ""
}

// TestFirstWins: with any bounds, each key's windows are those of a list that is looked at again with each record.
func TestFirstWins(t *testing.T) {
	const sum = `sum(records, .offset % 7) >= 12`
	for _, s := range []window.Settings{
		{Emitter: "count", Size: 7, Timeout: 900 * time.Millisecond},
		{Emitter: "count", Size: 7, Interval: time.Second},
		{Emitter: "count", Size: 7, Interval: time.Second, Timeout: 400 * time.Millisecond},
		{Emitter: "count", Size: 6, Bytes: 900, When: sum},
		{Emitter: "bytes", Bytes: 500},
		{Emitter: "bytes", Bytes: 800, Size: 9, When: sum, Interval: 2 * time.Second, Timeout: time.Second},
	} {
		for _, key := range []string{"", "@key"} {
			s.Key = key
			t.Run(fmt.Sprintf("%s%s size %d bytes %d when %v interval %v timeout %v", s.Emitter, key, s.Size, s.Bytes, s.When != "", s.Interval, s.Timeout), func(t *testing.T) {
				eachSeed(t, func(t *testing.T, seed uint64) {
					byKey := map[string]*naive{}
					want := map[string][]string{} // key → its windows
					close := func(key string, reason emit.Reason) {
						n := byKey[key]
						want[key] = append(want[key], closed(key, reason, n.records))
						n.records = nil
					}
					turns := func(now int64, records []record.Record) {
						for key, n := range byKey {
							if at, reason := n.due(); reason != "" && at <= now {
								close(key, reason)
							}
						}
						for _, r := range records {
							k := ""
							if s.Key != "" {
								k = string(r.Key)
							}
							if byKey[k] == nil {
								byKey[k] = &naive{s: s}
							}
							if reason := byKey[k].add(now, r); reason != "" {
								close(k, reason)
							}
						}
					}
					_, windows := runEach(t, seed, s, 4, turns)
					got := map[string][]string{}
					for _, w := range windows {
						got[string(w.Key)] = append(got[string(w.Key)], closed(string(w.Key), w.Reason, w.Records))
					}
					total := 0
					for key := range want {
						total += len(want[key])
						for i := range max(len(want[key]), len(got[key])) {
							if i >= len(want[key]) || i >= len(got[key]) || got[key][i] != want[key][i] {
								t.Fatalf("key %q: from window %d on\n%q\nwant\n%q", key, i, got[key][i:], want[key][i:])
							}
						}
					}
					if total != len(windows) || total < 20 {
						t.Fatalf("%d windows, want %d", len(windows), total)
					}
				})
			})
		}
	}
}

// TestLastOfEach: windows of the last n with every m are, of each key, the records from k·m to k·m + n.
func TestLastOfEach(t *testing.T) {
	for _, key := range []string{"", "@key"} {
		eachSeed(t, func(t *testing.T, seed uint64) {
			size := 2 + int(seed)*3
			slide := 1 + int(seed)*5%size
			s := window.Settings{Emitter: "count", Size: size, SlideSize: slide, Key: key}
			of := map[string][]record.Record{}
			_, windows := runEach(t, seed, s, 3, func(_ int64, records []record.Record) {
				for _, r := range records {
					k := ""
					if key != "" {
						k = string(r.Key)
					}
					of[k] = append(of[k], r)
				}
			})
			next := map[string]int{}
			for i, w := range windows {
				k := string(w.Key)
				at := next[k]
				next[k] += slide
				if at+size > len(of[k]) {
					t.Fatalf("window %d of key %q begins at record %d, of %d", i, k, at, len(of[k]))
				}
				if got, want := closed(k, w.Reason, w.Records), closed(k, emit.Count, of[k][at:at+size]); got != want {
					t.Fatalf("window %d is %q, want %q", i, got, want)
				}
			}
			for k := range of {
				if next[k]+size <= len(of[k]) {
					t.Errorf("key %q has %d records, and its windows end at %d", k, len(of[k]), next[k]-slide+size)
				}
			}
		})
	}
}

// TestBoundsWithin: windows that close early lose nothing, stay within their bounds, and within their interval.
func TestBoundsWithin(t *testing.T) {
	for _, s := range []window.Settings{
		{Emitter: "fixed", Interval: time.Second, Size: 3},
		{Emitter: "fixed", Interval: time.Second, Size: 3, EmitEmpty: true},
		{Emitter: "fixed", Interval: time.Second, Bytes: 500, Key: "@key"},
		{Emitter: "relaxed", Interval: time.Second, Size: 4, EmitEmpty: true},
		{Emitter: "tumbling", Interval: 200 * time.Millisecond, Size: 2, EmitEmpty: true, Late: "next"},
		{Emitter: "relaxed", Interval: time.Second, Size: 4, Timeout: 300 * time.Millisecond, Key: "@key"},
		{Emitter: "tumbling", Interval: 200 * time.Millisecond, Size: 2, Late: "next"},
		{Emitter: "tumbling", Interval: 200 * time.Millisecond, Size: 2, When: "offset % 3 == 0", Late: "next", Key: "@key"},
	} {
		t.Run(fmt.Sprint(s.Emitter, s.Size, s.Bytes, s.When, s.Key, s.EmitEmpty), func(t *testing.T) {
			eachSeed(t, func(t *testing.T, seed uint64) {
				_, windows := run(t, seed, s, 3)
				reasons := map[emit.Reason]int{}
				of := map[int64][]int{} // start of an interval → how many records its windows hold
				for i, w := range windows {
					reasons[w.Reason]++
					n, bytes, when := len(w.Records), 0, false
					for _, r := range w.Records {
						when = r.Offset%3 == 0
						bytes += r.Size()
						if r.Received != 0 && (r.Received < w.Start || r.Received >= w.End) {
							t.Fatalf("window %d is [%d %d) and holds what was received at %d", i, w.Start, w.End, r.Received)
						}
					}
					ok := s.Size == 0 || n <= s.Size
					switch w.Reason {
					case emit.Count:
						ok = n == s.Size
					case emit.Bytes:
						ok = int64(bytes) >= s.Bytes && int64(bytes-w.Records[n-1].Size()) < s.Bytes
					case emit.When:
						ok = when && n <= s.Size
					case emit.Interval:
						ok = ok && (n > 0 || s.EmitEmpty)
					case emit.Timeout:
						ok = n > 0
					}
					if !ok || (w.End-w.Start)%s.Interval.Milliseconds() != 0 && s.Emitter != "relaxed" {
						t.Fatalf("window %d closed by %s has %d records, %d bytes, and is [%d %d)", i, w.Reason, n, bytes, w.Start, w.End)
					}
					if n == 0 && len(of[w.Start]) > 0 || n > 0 && slices.Contains(of[w.Start], 0) {
						t.Fatalf("of the interval from %d on there is an empty window and another", w.Start)
					}
					of[w.Start] = append(of[w.Start], n)
				}
				if reasons[emit.Interval] == 0 || len(reasons) < 2 {
					t.Errorf("windows closed by %v", reasons)
				}
			})
		})
	}
}
