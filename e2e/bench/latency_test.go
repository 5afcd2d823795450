package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/lab"
)

const (
	perSecond   = 5000 // records
	warmSeconds = 2    // before anything is measured: shards are taken, connections made
	idleSeconds = 10
)

// BenchmarkLatency is the time from a window's last record to the window's visibility for a read_committed consumer, at
// 5,000 records a second, and what that rate and idleness cost.
func BenchmarkLatency(b *testing.B) {
	seconds := size("BENCH_SECONDS", 10)
	kafka := broker(b)
	for _, t := range []string{"bare-in", "bare-out", "our-in", "our-out"} {
		kafka.CreateTopic(b, t, partitions)
	}
	loop := lab.StartWith(b, "bare", []string{kafka.Addr, "bare-in", "bare-out", strconv.Itoa(math.MaxInt)})
	bare := flowing(b, kafka, "bare-in", "bare-out", seconds, func() time.Duration { return loop.CPU(b) })
	loop.Kill()

	parts := start(b, kafka, "our-in", "our-out")
	total := func() (t time.Duration) {
		for _, u := range parts.used(b) {
			t += u.cpu
		}
		return t
	}
	ours := flowing(b, kafka, "our-in", "our-out", seconds, total)
	before := total()
	time.Sleep(idleSeconds * time.Second) // what is measured is that nothing happens
	idle := 100 * (total() - before).Seconds() / idleSeconds
	parts.stop(b)

	fmt.Printf("\n%d records/s for %d s, windows of %d, visible to read_committed consumers\n", perSecond, seconds, windowSize)
	fmt.Printf("%-16s %10s %10s %18s\n", "", "p50 ms", "p99 ms", "% of a core")
	fmt.Printf("%-16s %10.1f %10.1f %18.1f\n", "bare franz-go", bare.p50, bare.p99, bare.core)
	fmt.Printf("%-16s %10.1f %10.1f %18.1f\n", "windrow", ours.p50, ours.p99, ours.core)
	fmt.Printf("%-16s %10s %10s %18.2f\n\n", "windrow, idle", "", "", idle)
	b.ReportMetric(ours.p50-bare.p50, "p50-bare-ms")
	b.ReportMetric(ours.p99/bare.p99, "p99/bare")
	b.ReportMetric(ours.core/bare.core, "cpu/bare")
	b.ReportMetric(idle, "idle-%")
	b.ReportMetric(0, "ns/op")
}

// flow is how one side does at a steady rate.
type flow struct {
	p50, p99 float64 // milliseconds
	core     float64 // per cent of a processor core
}

// flowing writes records at the rate, first to warm up, then measured. cpu is what the side has used so far.
func flowing(b *testing.B, kafka *lab.KafkaServer, in, out string, seconds int, cpu func() time.Duration) flow {
	producer := kafka.Client(b, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()))
	consumer := kafka.Client(b, kgo.ConsumeTopics(out), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500*time.Millisecond))
	write(b, producer, in, warmSeconds, 0)
	latencies(b, consumer, warmSeconds)
	before := cpu()
	read := make(chan []time.Duration)
	go func() { read <- latencies(b, consumer, seconds) }()
	write(b, producer, in, seconds, warmSeconds*perSecond)
	ds := <-read
	if ds == nil {
		b.FailNow()
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return flow{ms(ds[len(ds)/2]), ms(ds[len(ds)*99/100]), 100 * (cpu() - before).Seconds() / float64(seconds)}
}

// write writes records for so many seconds, numbered from first on. A record tells when it was due: the time it was really
// written would hide what stalls.
func write(b *testing.B, producer *kgo.Client, topic string, seconds, first int) {
	begin := time.Now()
	for n := range perSecond * seconds {
		due := begin.Add(time.Duration(n) * time.Second / perSecond)
		if wait := time.Until(due); wait > 500*time.Microsecond {
			time.Sleep(wait)
		}
		p := int32(n % partitions)
		producer.Produce(context.Background(), &kgo.Record{Topic: topic, Partition: p, Value: value(p, (first+n)/partitions, due)}, nil)
	}
	if err := producer.Flush(context.Background()); err != nil {
		b.Error(err)
	}
}

// latencies reads the windows of so many seconds and returns, in ascending order, the times from when a window's last
// record was due to when the window is read; nil after b.Error.
func latencies(b *testing.B, consumer *kgo.Client, seconds int) (ds []time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(seconds)*time.Second+time.Minute)
	defer cancel()
	windows := perSecond * seconds / windowSize
	for len(ds) < windows {
		fetches := consumer.PollFetches(ctx)
		now := time.Now()
		if ctx.Err() != nil {
			b.Errorf("only %d of %d windows came", len(ds), windows)
			return nil
		}
		fetches.EachRecord(func(r *kgo.Record) {
			text := string(r.Value)
			var us int64
			if _, err := fmt.Sscanf(text[max(0, strings.LastIndex(text, `"ts":`)):], `"ts":%d,`, &us); err != nil {
				b.Errorf("a window without time: %.100s", text)
			}
			ds = append(ds, now.Sub(time.UnixMicro(us)))
		})
	}
	slices.Sort(ds)
	return ds
}
