package journal

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/windrow-io/windrow/e2e/lab"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/journal"
)

func median(ds []time.Duration) time.Duration {
	slices.Sort(ds)
	return ds[len(ds)/2]
}

// How long it takes to take a shard over: one after the other, and fifty at once on few partitions.
func TestTakeoverTime(t *testing.T) {
	ctx := t.Context()
	p := newPipeline(t, lab.Kafka(t), journal.Options{Partitions: 4})
	var times []time.Duration
	hint := int64(0)
	for k := range int64(30) {
		begin := time.Now()
		o, h := p.take("t/0", hint)
		times = append(times, time.Since(begin))
		if len(h.Decisions) > 1 {
			t.Fatalf("%s", show(h))
		}
		c := checkpoint(k, make([]byte, 10_000))
		must(t, o.Checkpoint(ctx, c))
		must(t, o.Commit(ctx, []wire.Batch{p.output(0, "w")}, []journal.Decision{decision(k + 1)}, 0))
		hint = c.Offset
	}
	t.Logf("takeover right after a commit: median %v, longest %v", median(times), times[len(times)-1])

	var mu sync.Mutex
	times = nil
	owners := make([]*journal.Owner, 50)
	for round := range 2 {
		var all sync.WaitGroup
		begin := time.Now()
		for n := range owners {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				begin := time.Now()
				o, h, err := p.journal.Take(ctx, fmt.Sprint("t/", n), 0, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if round == 1 && n > 0 && (h.Checkpoint == nil || len(h.Decisions) != 1) {
					t.Errorf("shard %d: %s", n, show(h))
				}
				mu.Lock()
				defer mu.Unlock()
				times = append(times, time.Since(begin))
				owners[n] = o
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
		t.Logf("50 shards at once: %v in all, median %v", time.Since(begin), median(times))
		times = nil
		for n, o := range owners {
			must(t, o.Checkpoint(ctx, checkpoint(0, []byte("state"))))
			must(t, o.Commit(ctx, []wire.Batch{p.output(n, "w")}, []journal.Decision{decision(1)}, 0))
		}
	}
}

// BenchmarkCommit is a transaction of a small output and its decision.
func BenchmarkCommit(b *testing.B) {
	for _, atLeastOnce := range []bool{false, true} {
		b.Run(fmt.Sprintf("at-least-once-%v", atLeastOnce), func(b *testing.B) {
			ctx := b.Context()
			p := newPipeline(b, lab.Kafka(b), journal.Options{AtLeastOnce: atLeastOnce})
			o, _ := p.take("t/0", 0)
			out := []wire.Batch{p.output(0, `{"window":1}`)}
			times := make([]time.Duration, 0, b.N)
			b.ReportAllocs()
			b.ResetTimer()
			for k := range int64(b.N) {
				begin := time.Now()
				must(b, o.Commit(ctx, out, []journal.Decision{decision(k + 1)}, 0))
				times = append(times, time.Since(begin))
			}
			b.StopTimer()
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
