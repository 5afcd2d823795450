package window

import (
	"iter"

	"github.com/windrow-io/windrow/pkg/record"
)

// Each yields the records one by one, as Step takes them.
func Each(records []record.Record) iter.Seq[*record.Record] {
	return func(yield func(*record.Record) bool) {
		for i := range records {
			if !yield(&records[i]) {
				return
			}
		}
	}
}
