package emit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

// measured are the settings that each emitter is measured with; of some there are several.
var measured = map[string]window.Settings{
	"count":          {Emitter: emit.NameCount, Size: 100},
	"count/timeout":  {Emitter: emit.NameCount, Size: 100, Timeout: time.Minute},
	"count/slide":    {Emitter: emit.NameCount, Size: 100, SlideSize: 20},
	"count/when":     {Emitter: emit.NameCount, Size: 1000, When: "value.v == 9"},
	"count/dedupe":   {Emitter: emit.NameCount, Size: 100, Dedupe: "@offset", DedupeWithin: 30 * time.Second, DedupeMax: 100_000},
	"count/order":    {Emitter: emit.NameCount, Size: 100, OrderBy: "v desc"},
	"count/max-keys": {Emitter: emit.NameCount, Size: 100, Key: "@key", MaxKeys: 200},
	"bytes":          {Emitter: emit.NameBytes, Bytes: 16 << 10},
	"fixed":          {Emitter: emit.NameFixed, Interval: 10 * time.Second},
	"fixed/bytes":    {Emitter: emit.NameFixed, Interval: 10 * time.Second, Bytes: 16 << 10},
	"relaxed":        {Emitter: emit.NameRelaxed, Interval: 10 * time.Second},
	"tumbling":       {Emitter: emit.NameTumbling, Interval: 10 * time.Second, MaxFuture: time.Hour},
	"tumbling/size":  {Emitter: emit.NameTumbling, Interval: 10 * time.Second, MaxFuture: time.Hour, Size: 100},
	"sliding":        {Emitter: emit.NameSliding, Interval: 10 * time.Second, Slide: 5 * time.Second, MaxFuture: time.Hour},
	"state":          {Emitter: emit.NameState, Open: "value.v == 0", When: "value.v == 9"},
	"sample":         {Emitter: emit.NameSample, Size: 100, Interval: 10 * time.Second},
	"expr":           {Emitter: emit.NameExpr, Query: "take(records, 100)", Ready: "len(window) == 100"},
}

// forgetful is an Out that counts.
type forgetful struct{ windows int }

func (o *forgetful) Window(*window.Window)        { o.windows++ }
func (o *forgetful) Reject(*record.Record, error) { panic("a record can't be processed") }

// BenchmarkEmitters measures what a record of 150 bytes costs from the decoded batch to the window, with each emitter: a turn of
// 1,000 records a second, of the whole shard and of 100 keys.
func BenchmarkEmitters(b *testing.B) {
	for _, name := range emit.Names() {
		if _, own := emit.Registered(name); own {
			continue
		}
		if _, ok := measured[name]; !ok {
			b.Errorf("the emitter %s is not measured: add it", name)
		}
	}
	for name, s := range measured {
		keys := []string{"", "@key"}
		if s.Key != "" {
			keys = []string{s.Key}
		}
		for _, key := range keys {
			s.Stream, s.Pipeline, s.Key = "s", "p", key
			b.Run(name+map[bool]string{true: "/keyed", false: ""}[key != ""], func(b *testing.B) { measure(b, s) })
		}
	}
}

func measure(b *testing.B, s window.Settings) {
	m, err := window.New(s, "t/0")
	if err != nil {
		b.Fatal(err)
	}
	const perTurn = 1000
	records := make([]record.Record, perTurn)
	for i := range records {
		records[i] = record.Record{
			Topic: "t", Key: fmt.Appendf(nil, "device-%d", i*7%100),
			Value: fmt.Appendf(nil, `{"id":"%08d","v":%d,"on":true,"text":"%0100d"}`, i, i/100, i),
		}
	}
	now, offset := int64(1_700_000_000_000), int64(0)
	out := &forgetful{}
	turn := func() {
		for i := range records {
			r := &records[i]
			r.Offset, r.Timestamp, r.Received = offset, now+int64(i), now+int64(i)
			offset++
		}
		now += perTurn
		m.Step(now, window.Each(records), out)
	}
	for range 30 {
		turn()
	}
	if out.windows == 0 {
		b.Fatal("no window came")
	}
	b.ReportAllocs()
	for b.Loop() {
		turn()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*perTurn), "ns/record")
}
