// Command sorted is a worker with an emitter of its own: of the records that wait, those with an even `value`, sorted by it,
// in windows of four. The others wait, and are asked about again with the records to come.
//
// It is configured like process, with EMITTER=sorted:
//
//	STREAM=s PIPELINE=sorted EMITTER=sorted SINK=kafka KAFKA_OUTPUT_TOPIC=out KAFKA_BROKERS=… REDIS_URL=… go run ./examples/sorted
package main

import (
	"encoding/json"
	"slices"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/process"
)

type sorted struct{ size int }

// Query picks the records of the next window.
func (s sorted) Query(w *emit.Waiting) []int {
	values := map[int]int{} // index of a record → its value
	var picked []int
	for i, r := range w.Records {
		var v struct{ Value *int }
		if json.Unmarshal(r.Value, &v) == nil && v.Value != nil && *v.Value%2 == 0 {
			values[i] = *v.Value
			picked = append(picked, i)
		}
	}
	slices.SortStableFunc(picked, func(a, b int) int { return values[a] - values[b] })
	return picked[:min(len(picked), s.size)]
}

// Ready says whether that window can be emitted.
func (s sorted) Ready(_ *emit.Waiting, picked []int) bool { return len(picked) == s.size }

func main() {
	process.Main(process.WithEmitter("sorted", func() emit.Emitter { return sorted{size: 4} }))
}
