package window_test

import (
	"bytes"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

// nothing is an Out that counts and forgets.
type nothing struct{ windows, records int }

func (n *nothing) Window(w *window.Window)      { n.windows++; n.records += len(w.Records) }
func (n *nothing) Reject(*record.Record, error) { n.windows++ }

// workload is what a pipeline's shard does all day: turns of records of 200 bytes, at a steady rate.
type workload struct {
	machine *window.Machine
	records []record.Record
	now     int64 // ahead by a second a turn
	out     nothing
	each    iter.Seq[*record.Record]
}

func newWorkload(tb testing.TB, s window.Settings, perTurn, keys int) *workload {
	tb.Helper()
	s.Stream, s.Pipeline = "s", "p"
	m, err := window.New(s, "t/0")
	if err != nil {
		tb.Fatal(err)
	}
	w := &workload{machine: m, now: 1_700_000_000_000}
	for i := range perTurn {
		w.records = append(w.records, record.Record{
			Topic: "t", Key: fmt.Appendf(nil, "device-%d", i*7%keys), Offset: int64(i),
			Value: bytes.Repeat([]byte{'x'}, 190), Timestamp: w.now + int64(i),
		})
	}
	w.each = window.Each(w.records)
	return w
}

func (w *workload) turn() {
	w.now += 1000
	for i := range w.records {
		w.records[i].Received = w.now - 1000 + int64(i)*1000/int64(len(w.records))
		w.records[i].Timestamp = w.records[i].Received
	}
	w.machine.Step(w.now, w.each, &w.out)
}

var workloads = []struct {
	name    string
	s       window.Settings
	perTurn int
	keys    int
}{
	{"count", window.Settings{Emitter: "count", Size: 100}, 1337, 1},
	{"count-timeout", window.Settings{Emitter: "count", Size: 100, Timeout: time.Minute}, 1337, 1},
	{"count-limit", window.Settings{Emitter: "count", Size: 100, StateMaxBytes: 64 << 20}, 1337, 1},
	{"count-key", window.Settings{Emitter: "count", Size: 100, Key: "@key"}, 1337, 100},
	{"fixed", window.Settings{Emitter: "fixed", Interval: 10 * time.Second}, 1337, 1},
	{"fixed-key", window.Settings{Emitter: "fixed", Interval: 10 * time.Second, Key: "@key"}, 1337, 100},
	{"tumbling", window.Settings{Emitter: "tumbling", Interval: 10 * time.Second, MaxFuture: time.Hour}, 1337, 1},
	{"tumbling-key", window.Settings{Emitter: "tumbling", Interval: 10 * time.Second, MaxFuture: time.Hour, Key: "@key"}, 1337, 100},
	{"sliding", window.Settings{Emitter: "sliding", Interval: 10 * time.Second, Slide: 5 * time.Second, MaxFuture: time.Hour}, 1337, 1},
	{"session", window.Settings{Emitter: "session", Gap: 10 * time.Second, MaxLength: 20 * time.Second, MaxFuture: time.Hour}, 1337, 1},
	{"session-key", window.Settings{Emitter: "session", Gap: 10 * time.Second, MaxLength: 20 * time.Second, MaxFuture: time.Hour, Key: "@key"}, 1337, 100},
	{"relaxed", window.Settings{Emitter: "relaxed", Interval: 10 * time.Second}, 1337, 1},
}

// BenchmarkStep measures what a record costs in Step, beyond decoding it.
func BenchmarkStep(b *testing.B) {
	for _, l := range workloads {
		b.Run(l.name, func(b *testing.B) {
			w := newWorkload(b, l.s, l.perTurn, l.keys)
			w.turn()
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				w.turn()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*l.perTurn), "ns/record")
		})
	}
}

// TestAllocations holds what the steady state may allocate: nothing for windows of the whole shard, and for keys no more
// than a key's name when it begins to wait.
func TestAllocations(t *testing.T) {
	for _, l := range workloads {
		t.Run(l.name, func(t *testing.T) {
			w := newWorkload(t, l.s, l.perTurn, l.keys)
			for range 50 {
				w.turn()
			}
			before := w.out
			perTurn := testing.AllocsPerRun(30, w.turn)
			windows := float64(w.out.windows-before.windows) / 31
			if w.out.records == 0 {
				t.Fatal("no window came")
			}
			if perRecord := perTurn / float64(l.perTurn); perRecord > 0.02 {
				t.Errorf("%.4f allocations per record, %.1f in a turn of %d records with %.1f windows", perRecord, perTurn, l.perTurn, windows)
			}
			if l.keys == 1 && l.s.Interval == 0 && perTurn > 0 {
				t.Errorf("%.1f allocations in a turn, want none", perTurn)
			}
		})
	}
}
