package window_test

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/windrow-io/windrow/pkg/emit"
)

func init() {
	emit.Register("sorted", func() emit.Emitter { return sorted{4} })
	emit.Register("patient", func() emit.Emitter { return patient{2500} })
	emit.Register("never", func() emit.Emitter { return patient{1 << 60} })
	emit.Register("wrong", func() emit.Emitter { return wrong{} })
}

// sorted is the SortedWindow: of the records that wait those with an even value, sorted by it, in batches.
type sorted struct{ batch int }

func (s sorted) Query(w *emit.Waiting) []int {
	type item struct{ index, value int }
	var items []item
	for i, r := range w.Records {
		var v struct{ Value *int }
		if json.Unmarshal(r.Value, &v) == nil && v.Value != nil && *v.Value%2 == 0 {
			items = append(items, item{i, *v.Value})
		}
	}
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(a.value, b.value) })
	var picked []int
	for _, x := range items[:min(len(items), s.batch)] {
		picked = append(picked, x.index)
	}
	return picked
}

func (s sorted) Ready(_ *emit.Waiting, picked []int) bool { return len(picked) == s.batch }

// patient emits everything once the oldest record has waited long enough.
type patient struct{ wait int64 }

func (p patient) Query(w *emit.Waiting) []int {
	picked := make([]int, len(w.Records))
	for i := range picked {
		picked[i] = i
	}
	return picked
}

func (p patient) Ready(w *emit.Waiting, _ []int) bool { return w.Now-w.Since >= p.wait }

// wrong picks what it must not.
type wrong struct{}

var wrongPick []int

func (wrong) Query(*emit.Waiting) []int       { return wrongPick }
func (wrong) Ready(*emit.Waiting, []int) bool { return true }
