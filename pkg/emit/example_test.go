package emit_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

// SortedWindow emits batches of records with an even value, sorted by it. The others stay.
type SortedWindow struct{ Batch int }

// Query picks the least even values that wait.
func (s SortedWindow) Query(w *emit.Waiting) []int {
	values := map[int]int{}
	var picked []int
	for i, r := range w.Records {
		var v struct{ Value *int }
		if json.Unmarshal(r.Value, &v) == nil && v.Value != nil && *v.Value%2 == 0 {
			values[i] = *v.Value
			picked = append(picked, i)
		}
	}
	slices.SortStableFunc(picked, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	return picked[:min(len(picked), s.Batch)]
}

// Ready waits for a full batch.
func (s SortedWindow) Ready(_ *emit.Waiting, picked []int) bool { return len(picked) == s.Batch }

// print prints windows.
type print struct{}

func (print) Window(w *window.Window) {
	fmt.Printf("window %d, %s:", w.Seq, w.Reason)
	for _, r := range w.Records {
		fmt.Printf(" %s", r.Value)
	}
	fmt.Println()
}

func (print) Reject(r *record.Record, reason error) { fmt.Println("rejected:", reason) }

// A user's own emitter: it is registered by a name, and EMITTER is set to that.
func ExampleEmitter() {
	emit.Register("sorted", func() emit.Emitter { return SortedWindow{Batch: 3} })

	shard, err := window.New(window.Settings{Stream: "readings", Pipeline: "even", Emitter: "sorted"}, "readings/0")
	if err != nil {
		fmt.Println(err)
		return
	}
	var records []record.Record
	for i, value := range []int{8, 3, 2, 5, 6, 4, 7, 10} {
		records = append(records, record.Record{Topic: "readings", Offset: int64(i), Value: fmt.Appendf(nil, `{"value":%d}`, value)})
	}
	shard.Step(1000, window.Each(records[:4]), print{})
	shard.Step(2000, window.Each(records[4:]), print{})
	fmt.Println(shard.Waiting(), "wait")
	// Output:
	// window 0, ready: {"value":2} {"value":4} {"value":6}
	// 5 wait
}
