package window_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

// naiveWindows writes a key's windows down record by record.
type naiveWindows struct {
	records []record.Record
	since   int64
	done    int64 // sample: the interval whose window was emitted
	windows []string
}

func (n *naiveWindows) close(key string, reason emit.Reason) {
	n.windows = append(n.windows, closed(key, reason, n.records))
	n.records = nil
}

// compareKeys holds each key's windows against those of its model.
func compareKeys(t *testing.T, windows []*window.Window, want map[string]*naiveWindows, tell func(w *window.Window) string) {
	t.Helper()
	next := map[string]int{}
	for i, w := range windows {
		key := string(w.Key)
		at := next[key]
		next[key]++
		if at == len(want[key].windows) {
			t.Fatalf("window %d, of key %q, is one too many", i, key)
		}
		if got := tell(w); got != want[key].windows[at] {
			t.Fatalf("window %d of key %q is %q, want %q", at, key, got, want[key].windows[at])
		}
	}
	for key, n := range want {
		if next[key] != len(n.windows) {
			t.Fatalf("key %q has %d windows, want %d", key, next[key], len(n.windows))
		}
	}
	if len(windows) < 20 {
		t.Errorf("%d windows are too few to compare", len(windows))
	}
}

// keysOf are the models of all keys.
func keysOf(models map[string]*naiveWindows, s window.Settings, r record.Record) (string, *naiveWindows) {
	key := ""
	if s.Key != "" {
		key = string(r.Key)
	}
	if models[key] == nil {
		models[key] = &naiveWindows{done: -1}
	}
	return key, models[key]
}

// TestState: windows go from a record that opens them to one that closes them, a number, or a timeout.
func TestState(t *testing.T) {
	for _, s := range []window.Settings{
		{When: "offset % 5 == 0"}, {When: "offset % 5 == 0", Size: 4}, {Timeout: 900 * time.Millisecond}, {When: "offset % 7 == 0", Timeout: 900 * time.Millisecond},
	} {
		for _, key := range []string{"", "@key"} {
			s.Emitter, s.Open, s.Key = "state", "offset % 3 == 0", key
			t.Run(fmt.Sprint(s.When, s.Size, s.Timeout, key), func(t *testing.T) {
				eachSeed(t, func(t *testing.T, seed uint64) {
					models := map[string]*naiveWindows{}
					windows := runDropping(t, seed, s, 3, func(now int64, records []record.Record) {
						for key, n := range models {
							if s.Timeout > 0 && len(n.records) > 0 && n.since+900 <= now {
								n.close(key, emit.Timeout)
							}
						}
						for _, r := range records {
							key, n := keysOf(models, s, r)
							if len(n.records) == 0 {
								if r.Offset%3 != 0 {
									continue
								}
								n.since = now
							}
							n.records = append(n.records, r)
							every := int64(5)
							if s.When == "offset % 7 == 0" {
								every = 7
							}
							switch {
							case s.Size > 0 && len(n.records) == s.Size:
								n.close(key, emit.Count)
							case s.When != "" && r.Offset%every == 0:
								n.close(key, emit.When)
							}
						}
					})
					compareKeys(t, windows, models, func(w *window.Window) string { return closed(string(w.Key), w.Reason, w.Records) })
				})
			})
		}
	}
}

// TestSample: the first n of each interval in which a record came, and no others.
func TestSample(t *testing.T) {
	for _, key := range []string{"", "@key"} {
		eachSeed(t, func(t *testing.T, seed uint64) {
			s := window.Settings{Emitter: "sample", Size: 1 + int(seed)%4, Interval: 1500 * time.Millisecond, Key: key}
			models := map[string]*naiveWindows{}
			windows := runDropping(t, seed, s, 3, func(now int64, records []record.Record) {
				for key, n := range models {
					if len(n.records) > 0 && n.since/1500 < now/1500 {
						n.close(key, emit.Interval)
					}
				}
				for _, r := range records {
					key, n := keysOf(models, s, r)
					if n.done == now/1500 {
						continue
					}
					if len(n.records) == 0 {
						n.since = now
					}
					if n.records = append(n.records, r); len(n.records) == s.Size {
						n.close(key, emit.Count)
						n.done = now / 1500
					}
				}
			})
			compareKeys(t, windows, models, func(w *window.Window) string {
				if w.Start%1500 != 0 || w.End != w.Start+1500 {
					t.Errorf("a window is [%d %d)", w.Start, w.End)
				}
				return closed(string(w.Key), w.Reason, w.Records)
			})
		})
	}
}
