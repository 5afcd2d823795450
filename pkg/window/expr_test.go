package window_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

// TestExpressionsAreTheEmitter: two expressions give the windows that the emitter written in Go does.
func TestExpressionsAreTheEmitter(t *testing.T) {
	eachSeed(t, func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 3))
		values := rng.Perm(2000) // no two alike: the order of those is not defined
		key := []string{"", "@key"}[seed%2]
		settings := window.Settings{
			Stream: "s", Pipeline: "p", Emitter: "expr", Key: key,
			Query: `take(sortBy(filter(records, .value.value % 2 == 0), .value.value), 4)`, Ready: `len(window) == 4`,
		}
		byExpression := machine(t, settings)
		byGo := machine(t, window.Settings{Emitter: "sorted", Key: key})
		got, want := &kept{}, &kept{}
		now, offset := int64(1000), 0
		for offset < len(values) {
			var records []record.Record
			for range min(rng.IntN(40), len(values)-offset) {
				records = append(records, record.Record{
					Topic: "t", Offset: int64(offset), Key: fmt.Appendf(nil, "k%d", rng.IntN(3)), Value: fmt.Appendf(nil, `{"value":%d}`, values[offset]),
				})
				offset++
			}
			now += rng.Int64N(1500)
			byExpression.Step(now, window.Each(records), got)
			byGo.Step(now, window.Each(records), want)
			if rng.IntN(10) == 0 {
				byExpression = restored(t, settings, byExpression)
			}
		}
		if len(want.windows) < 200 {
			t.Fatalf("%d windows are too few to compare", len(want.windows))
		}
		places := func(windows []*window.Window) (all []string) {
			for _, w := range windows {
				all = append(all, line(string(w.Key), w.Start, w.End, w.Records))
			}
			return all
		}
		if g, w := places(got.windows), places(want.windows); !slices.Equal(g, w) {
			t.Errorf("windows\n%q\nwant\n%q", g, w)
		}
	})
}
