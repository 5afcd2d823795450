package job

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/windrow-io/windrow/e2e/lab"
)

// ByShard groups windows by shard, each in the order of their numbers, and requires these to be 0, 1, 2, … without gap or
// repeat, and all ids to be distinct.
func ByShard(t testing.TB, windows []lab.Window) map[string][]lab.Window {
	t.Helper()
	shards := map[string][]lab.Window{}
	ids := map[string]lab.Window{}
	for _, w := range windows {
		if other, repeated := ids[w.ID]; repeated || w.ID == "" {
			t.Errorf("%v and %v have the same id %q", other, w, w.ID)
		}
		ids[w.ID] = w
		if !w.Aggregate && w.Count != len(w.Data) {
			t.Errorf("%v says it has %d records and has %d", w, w.Count, len(w.Data))
		}
		shards[w.Shard] = append(shards[w.Shard], w)
	}
	for shard, ws := range shards {
		slices.SortStableFunc(ws, func(a, b lab.Window) int { return int(a.Seq - b.Seq) })
		for i, w := range ws {
			if w.Seq != int64(i) {
				t.Fatalf("the windows of %s are numbered %s, at the %d-th", shard, seqs(ws), i)
			}
		}
	}
	return shards
}

func seqs(ws []lab.Window) string {
	var s []int64
	for _, w := range ws {
		s = append(s, w.Seq)
	}
	return fmt.Sprint(s)
}

// InputsOf decodes the records of windows, in their order.
func InputsOf(t testing.TB, windows []lab.Window) []Input {
	t.Helper()
	var all []Input
	for _, w := range windows {
		for _, d := range w.Data {
			var in Input
			if err := json.Unmarshal(d, &in); err != nil {
				t.Fatalf("%v holds %.200s: %v", w, d, err)
			}
			all = append(all, in)
		}
	}
	return all
}

// RequireInOrder requires the records of a source partition, each exactly once and in their order.
func RequireInOrder(t testing.TB, windows []lab.Window, partition, n int) {
	t.Helper()
	got := InputsOf(t, windows)
	for i, in := range got {
		if in.P != partition || in.I != i {
			t.Fatalf("partition %d: the %d-th record is number %d of partition %d", partition, i, in.I, in.P)
		}
	}
	if len(got) != n {
		t.Fatalf("partition %d: %d records, want %d", partition, len(got), n)
	}
}

// RequireOnce requires n records of each partition exactly once, per partition in order, whatever the windows. It returns
// the windows by shard.
func RequireOnce(t testing.TB, w *Job, windows []lab.Window, partitions, n int) map[string][]lab.Window {
	t.Helper()
	shards := ByShard(t, windows)
	if len(shards) != partitions {
		t.Errorf("%d shards gave windows, want %d", len(shards), partitions)
	}
	for p := range partitions {
		RequireInOrder(t, shards[w.Shard(p)], p, n)
	}
	return shards
}

// RequireExact requires n records of each partition exactly once, per partition in order, in count windows of exactly
// size.
func RequireExact(t testing.TB, w *Job, windows []lab.Window, partitions, n, size int) {
	t.Helper()
	shards := RequireOnce(t, w, windows, partitions, n/size*size)
	for p := range partitions {
		shard := w.Shard(p)
		ws := shards[shard]
		if len(ws) != n/size {
			t.Errorf("%s gave %d windows, want %d", shard, len(ws), n/size)
		}
		for _, win := range ws {
			if win.Count != size || win.Reason != "count" || win.Emitter != "count" || win.Stream != w.Stream {
				t.Fatalf("%v of stream %s by %s: want %d records of stream %s for the reason count", win, win.Stream, win.Emitter, size, w.Stream)
			}
		}
	}
}

// RequireOrderInPartitions requires that in each partition of the output every shard's windows, and their parts, come in their
// order.
func RequireOrderInPartitions(t testing.TB, c *Collected) {
	t.Helper()
	type place struct {
		partition int32
		shard     string
	}
	last := map[place]lab.Window{}
	for i, w := range c.Windows {
		at := place{c.Records[i].Partition, w.Shard}
		if before, seen := last[at]; seen && (w.Seq < before.Seq || w.Seq == before.Seq && w.Part <= before.Part) {
			t.Fatalf("%v comes after %v in partition %d of the output", w, before, at.partition)
		}
		last[at] = w
	}
}
