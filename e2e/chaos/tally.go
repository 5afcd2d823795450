package chaos

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// Tally is what became of the records, counted one by one.
type Tally struct {
	In      int `json:"in"`
	Windows int `json:"windows"`
	Lost    int `json:"lost"`
	Twice   int `json:"twice"`
	Dead    int `json:"dead"` // windows that are dead letters instead

	Others []string `json:"-"` // what else is wrong: order, numbers of windows
}

// count counts what became of in records: those of which sent is true.
// With byKey there are windows per key: records of a partition then come in order within each key alone.
func count(windows []lab.Window, in int, byKey bool, sent func(job.Input) bool) Tally {
	t := Tally{In: in, Windows: len(windows)}
	shards := map[string][]lab.Window{}
	for _, w := range windows {
		shards[w.Shard] = append(shards[w.Shard], w)
	}
	seen := map[job.Input]int{}
	for shard, ws := range shards {
		slices.SortStableFunc(ws, func(a, b lab.Window) int { return int(a.Seq - b.Seq) })
		last := map[int]int{} // partition → number of its last record
		for i, w := range ws {
			if w.Seq != int64(i) {
				t.fault("%s: its %d. window is number %d", shard, i+1, w.Seq)
			}
			if w.Count != len(w.Data) {
				t.fault("%v has %d records", w, len(w.Data))
			}
			for _, d := range w.Data {
				var r job.Input
				if err := json.Unmarshal(d, &r); err != nil {
					t.fault("%v holds %.100s: %v", w, d, err)
					continue
				}
				r = job.Input{P: r.P, I: r.I}
				seen[r]++
				if before, ok := last[r.P]; ok && r.I <= before && !byKey {
					t.fault("%v: record %d of partition %d comes after record %d", w, r.I, r.P, before)
				}
				last[r.P] = r.I
			}
		}
	}
	found := 0
	for r, n := range seen {
		if !sent(r) {
			t.fault("record %d of partition %d was never sent", r.I, r.P)
			continue
		}
		found++
		t.Twice += n - 1
	}
	t.Lost = in - found
	return t
}

// fault notes what is wrong; the first few will do.
func (t *Tally) fault(format string, args ...any) {
	const most = 5
	if len(t.Others) < most {
		t.Others = append(t.Others, fmt.Sprintf(format, args...))
	}
}

// exactlyOnce says what keeps a tally from that.
func (t Tally) exactlyOnce() (wrong []string) {
	if t.Lost != 0 || t.Twice != 0 {
		wrong = append(wrong, fmt.Sprintf("%d of %d records are lost, %d came twice", t.Lost, t.In, t.Twice))
	}
	return append(wrong, t.Others...)
}
