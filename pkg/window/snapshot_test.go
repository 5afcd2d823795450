package window_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/windrow-io/windrow/internal/fuzztest"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

var snapshotSettings = []window.Settings{
	{Emitter: "count", Size: 5},
	{Emitter: "count", Size: 5, Key: "@key", Timeout: time.Second},
	{Emitter: "fixed", Interval: time.Second, EmitEmpty: true, StateMaxBytes: 600},
	{Emitter: "fixed", Interval: time.Second, Key: "@key"},
	{Emitter: "fixed", Interval: 100 * time.Millisecond, CatchUp: "merge", Aggregate: "count()"},
	{Emitter: "tumbling", Interval: time.Millisecond, EmitEmpty: true, CatchUp: "skip-empty"},
	{Emitter: "relaxed", Interval: time.Second, EmitEmpty: true},
	{Emitter: "sorted"},
	{Emitter: "tumbling", Interval: time.Second, Key: "@key", WatermarkIdle: time.Second, MaxFuture: time.Second},
	{Emitter: "session", Gap: 2 * time.Millisecond, WatermarkDelay: 3 * time.Millisecond},
	{Emitter: "session", Gap: 2 * time.Millisecond, MaxLength: 3 * time.Millisecond, WatermarkDelay: time.Second, Key: "@key", Aggregate: "count(), collect(@offset)"},
	{Emitter: "session", Gap: 2 * time.Millisecond, AllowedLateness: 9 * time.Millisecond, EmitEarly: 100 * time.Millisecond, Key: "@key"},
	{Emitter: "tumbling", Interval: 2 * time.Millisecond, AllowedLateness: time.Second, Aggregate: "count()"},
	{Emitter: "relaxed", Interval: time.Second, EmitEarly: 100 * time.Millisecond},
	{Emitter: "sliding", Interval: 6 * time.Millisecond, Slide: 2 * time.Millisecond, StateMaxBytes: 900},
	{Emitter: "count", Size: 3, SlideSize: 2, Key: "@key", MaxKeys: 3, KeyTimeout: time.Second},
	{Emitter: "bytes", Bytes: 200, Aggregate: "count()", Interval: time.Second},
	{Emitter: "count", Size: 5, Dedupe: "@key", DedupeWithin: time.Second, DedupeMax: 3},
	{Emitter: "sample", Size: 1, Interval: time.Second, Key: "@key", MaxKeys: 3},
}

// snapshots are of machines under settings s at several moments.
func snapshots(t testing.TB, s window.Settings) (all [][]byte) {
	m := machine(t, s)
	all = append(all, m.Snapshot(nil))
	var offset int64
	for step := range int64(4) {
		var records []record.Record
		for range 3 {
			records = append(records, record.Record{
				Topic: fmt.Sprint("t", step%2), Offset: offset, Key: fmt.Append(nil, offset%4), Received: 1000 + step*300,
				Value: bytes.Repeat([]byte("v"), int(offset)*10),
			})
			offset++
		}
		m.Step(1000+step*300, window.Each(records), &kept{})
		all = append(all, m.Snapshot(nil))
	}
	s.Stream, s.Pipeline = "s", "p"
	changed, err := m.Change(s, 3000, &kept{})
	if err != nil {
		t.Fatal(err)
	}
	return append(all, changed.Snapshot(nil))
}

func TestRestoreRefuses(t *testing.T) {
	for _, s := range snapshotSettings {
		s.Stream, s.Pipeline = "s", "p"
		for _, snapshot := range snapshots(t, s) {
			refused := func(what string, s window.Settings, shard string, p []byte, want string) {
				t.Helper()
				m, err := window.Restore(s, shard, p)
				if err == nil || !strings.Contains(err.Error(), want) || m != nil {
					t.Errorf("%s: %v, want %q", what, err, want)
				}
			}
			for n := range snapshot {
				if _, err := window.Restore(s, "t/0", snapshot[:n]); err == nil {
					t.Errorf("restored from the first %d bytes of %d", n, len(snapshot))
				}
			}
			refused("a byte more", s, "t/0", append(slices.Clone(snapshot), 0), "corrupt")
			later := slices.Clone(snapshot)
			later[0]++
			refused("later version", s, "t/0", later, "another version")
			refused("another shard", s, "t/1", snapshot, "other settings")
			other := s
			other.StateMaxBytes++
			refused("other settings", other, "t/0", snapshot, "other settings")
			other = s
			other.Emitter = "none"
			refused("wrong settings", other, "t/0", snapshot, "EMITTER=none is unknown")
		}
	}
}

// FuzzRestore holds that no bytes make Restore panic or take memory without bound, and that what it accepts works on.
func FuzzRestore(f *testing.F) {
	for i, s := range snapshotSettings {
		for _, p := range snapshots(f, s) {
			f.Add(uint8(i), p)
		}
	}
	f.Fuzz(func(t *testing.T, i uint8, p []byte) {
		s := snapshotSettings[int(i)%len(snapshotSettings)]
		s.Stream, s.Pipeline = "s", "p"
		own := machine(t, s).Snapshot(nil)
		if len(p) > 9 {
			copy(p, own[:9]) // version and fingerprint, or hardly anything gets through
		}
		var m *window.Machine
		var err error
		fuzztest.Bounded(t, 4<<20+500*len(p), func() { m, err = window.Restore(s, "t/0", p) })
		if err != nil {
			return
		}
		first := m.Snapshot(nil)
		again, err := window.Restore(s, "t/0", first)
		if err != nil {
			t.Fatalf("the snapshot of what was restored is refused: %v", err)
		}
		if second := again.Snapshot(nil); !bytes.Equal(first, second) {
			t.Fatalf("snapshots differ:\n%x\n%x", first, second)
		}
		if s.EmitEmpty && m.Deadline() < 1_000_000_000 {
			return // it would catch up with a long past
		}
		records := []record.Record{{Key: []byte("1"), Offset: 1, Received: 5000}, {Key: []byte("2"), Offset: 2, Received: 9000}}
		a, b := &tape{}, &tape{}
		for step := range int64(10) {
			m.Step(5000+step*500, window.Each(records), a)
			again.Step(5000+step*500, window.Each(records), b)
		}
		if !slices.Equal(a.Full, b.Full) {
			t.Fatalf("windows differ:\n%q\n%q", a.Full, b.Full)
		}
	})
}
