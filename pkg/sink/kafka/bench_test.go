package kafka

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/sinktest"
	"github.com/windrow-io/windrow/pkg/window"
)

const (
	benchRecords = 100 // of 200 bytes
	benchWindows = 40  // in a group
)

func benchWindow() *window.Window {
	values := make([][]byte, benchRecords)
	for i := range values {
		head := fmt.Sprintf(`{"device":{"id":"device-%04d","site":"north"},"ts":17900000%05d,"temperature":21.5,"ok":true,"note":"`, i, i)
		values[i] = []byte(head + strings.Repeat("n", 200-len(head)-2) + `"}`)
	}
	return sinktest.Window(0, values...)
}

func benchGroup(tb testing.TB, output sink.Output) *group {
	s := New(wire.New(wire.Config{Brokers: []string{"127.0.0.1:1"}}), Options{Topic: "out", Output: output})
	tb.Cleanup(func() { _ = s.Close(context.Background()) })
	s.out.now.Store(&limits{partitions: 4, maxBytes: usable(defaultMaxBytes)})
	return s.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard).(*group)
}

// BenchmarkAdd is the hot path: windows to sealed batches.
func BenchmarkAdd(b *testing.B) {
	w := benchWindow()
	for _, output := range []sink.Output{sink.OutputWindow, sink.OutputData, sink.OutputRecords} {
		b.Run(string(output), func(b *testing.B) {
			g := benchGroup(b, output)
			b.ReportAllocs()
			b.SetBytes(int64(benchRecords * 200))
			for b.Loop() {
				w.Seq++
				g.Add(sinktest.Now, w)
				if g.Len() == benchWindows {
					g.Reset()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRecords, "ns/record")
		})
	}
}

// BenchmarkSeal is what the transaction adds: the CRC.
func BenchmarkSeal(b *testing.B) {
	w, g := benchWindow(), benchGroup(b, sink.OutputWindow)
	for range benchWindows {
		g.Add(sinktest.Now, w)
	}
	b.SetBytes(int64(g.Size()))
	for b.Loop() {
		for _, batch := range g.Batches() {
			if _, err := batch.Builder.Seal(record.Producer{ID: 1}, 0, true, record.None); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRecords/benchWindows, "ns/record")
}

// Nothing is allocated per record, and next to nothing per window.
func TestAllocations(t *testing.T) {
	w := benchWindow()
	for _, output := range []sink.Output{sink.OutputWindow, sink.OutputData, sink.OutputRecords} {
		g := benchGroup(t, output)
		fill := func() {
			for range benchWindows {
				g.Add(sinktest.Now, w)
			}
			g.Batches()
			g.Reset()
		}
		fill()
		if n := testing.AllocsPerRun(5, fill) / benchWindows; n > 2 {
			t.Errorf("output %s: %.1f allocations a window, want its id alone", output, n)
		}
	}
}
