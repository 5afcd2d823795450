package mongo

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/pkg/sink/sinktest"
	"github.com/windrow-io/windrow/pkg/window"
)

const benchRecords = 100 // of 200 bytes

func benchWindow() *window.Window {
	values := make([][]byte, benchRecords)
	for i := range values {
		head := fmt.Sprintf(`{"device":{"id":"device-%04d","site":"north"},"ts":17900000%05d,"temperature":21.5,"ok":true,"note":"`, i, i)
		values[i] = []byte(head + strings.Repeat("n", 200-len(head)-2) + `"}`)
	}
	return sinktest.Window(0, values...)
}

func benchGroup(tb testing.TB) *group {
	s, err := New(Options{URL: "mongodb://127.0.0.1:1", Database: "d", Collection: "c"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close(context.Background()) })
	return s.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard).(*group)
}

func BenchmarkAdd(b *testing.B) {
	w, g := benchWindow(), benchGroup(b)
	b.ReportAllocs()
	for b.Loop() {
		g.Add(sinktest.Now, w)
		if g.Len() == 40 {
			g.Reset()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRecords, "ns/record")
}

// Nothing is allocated per record.
func TestAllocations(t *testing.T) {
	w, g := benchWindow(), benchGroup(t)
	fill := func() {
		for range 10 {
			g.Add(sinktest.Now, w)
		}
		g.Reset()
	}
	fill()
	// The driver looks for its server meanwhile, and what it allocates counts too: the least of several runs is ours.
	least := math.Inf(1)
	for range 20 {
		least = min(least, testing.AllocsPerRun(1, fill)/10)
	}
	if least > 2 {
		t.Errorf("%.1f allocations a window, want its id alone", least)
	}
}
