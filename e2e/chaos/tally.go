package chaos

import (
	"cmp"
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
	Due     int `json:"due"` // of those lost, as many as the scenario loses on purpose
	Twice   int `json:"twice"`
	Dead    int `json:"dead"`    // windows that are dead letters instead
	Letters int `json:"letters"` // records that are dead letters, each by itself

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
		slices.SortStableFunc(ws, func(a, b lab.Window) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Part, b.Part)) })
		last := map[int]int{} // partition → number of its last record
		var seq int64
		var part int
		for i, w := range ws {
			if w.Seq != seq || w.Part != part {
				t.fault("%s: its %d. window is number %d, part %d, not %d, part %d", shard, i+1, w.Seq, w.Part, seq, part)
			}
			if seq, part = w.Seq, w.Part+1; part >= w.Parts {
				seq, part = seq+1, 0
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

// exactlyOnce says what keeps a tally from that, but for what is lost on purpose.
func (t Tally) exactlyOnce() (wrong []string) {
	if t.Lost != t.Due || t.Twice != 0 {
		wrong = append(wrong, fmt.Sprintf("%d of %d records are lost, not %d; %d came twice", t.Lost, t.In, t.Due, t.Twice))
	}
	return append(wrong, t.Others...)
}

// poison is the number of a record that can't be processed, among those of its partition.
type poison struct{ P, I int }

// once requires so many poison records of each partition, each once.
func once(letters []poison, sent []int) error {
	seen := map[poison]int{}
	for _, l := range letters {
		seen[l]++
	}
	for p, n := range sent {
		for i := range n {
			l := poison{p, i}
			if seen[l] != 1 {
				return fmt.Errorf("record %d of partition %d is in %d", i, p, seen[l])
			}
			delete(seen, l)
		}
	}
	if len(seen) > 0 {
		return fmt.Errorf("%d are of no record that was sent", len(seen))
	}
	return nil
}
