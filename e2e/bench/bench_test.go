// Package bench compares Windrow with a bare franz-go loop over the same Kafka, in the same run: records per second,
// processor time, memory, latency. Machines differ and are busy; the ratios are what counts.
//
//	go test ./bench -run '^$' -bench . -benchtime 1x -v
//
// BENCH_RECORDS (2000000), BENCH_ROUNDS (3) and BENCH_SECONDS (10, of latency) change the size. BENCH_PROFILE names a folder
// for processor profiles of the programs, taken over the first ten seconds of a round, and their heaps and metrics at its end.
package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

const (
	partitions = 4
	windowSize = 100
)

func size(name string, standard int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return standard
}

// value is a record of 200 bytes.
func value(partition int32, n int, now time.Time) []byte {
	v := fmt.Appendf(nil, `{"partition":%d,"n":%d,"ts":%d,"device":"device-%04d","value":%d.%02d,"unit":"celsius","note":"`,
		partition, n, now.UnixMicro(), n%1000, n%40, n%100)
	return append(append(v, strings.Repeat("x", 198-len(v))...), `"}`...)
}

// usage is what one program took.
type usage struct {
	cpu time.Duration
	mib int
}

func (u usage) perMillion(records int) float64 { return u.cpu.Seconds() / float64(records) * 1e6 }

// result is one round of one side.
type result struct {
	start time.Duration // until the first window is out
	wall  time.Duration // from then until all are
	parts map[string]usage
}

func (r result) cpu() (sum time.Duration) {
	for _, u := range r.parts {
		sum += u.cpu
	}
	return sum
}

// BenchmarkCount is the main job: windows of 100 from 4 partitions into a topic, against the bare loop.
func BenchmarkCount(b *testing.B) {
	for _, codec := range []string{"none", "lz4"} {
		b.Run(codec, func(b *testing.B) { count(b, codec) })
	}
}

func count(b *testing.B, codec string) {
	records, rounds := size("BENCH_RECORDS", 2_000_000), size("BENCH_ROUNDS", 3)
	records -= records % (partitions * windowSize)
	for _, program := range []string{"bare", "ingest", "process"} {
		lab.Build(b, program) // or the first round's start would be the compiler's
	}
	kafka := broker(b)
	kafka.CreateTopic(b, "events", partitions)
	load(b, kafka, codec, records)
	var bares, ours []result
	for i := range rounds {
		out := fmt.Sprintf("bare-%d", i)
		kafka.CreateTopic(b, out, partitions)
		bares = append(bares, bare(b, kafka, "events", out, records))
		out = fmt.Sprintf("out-%d", i)
		kafka.CreateTopic(b, out, partitions)
		ours = append(ours, windrow(b, kafka, out, records))
	}
	bare, our := median(bares), median(ours)
	fmt.Printf("\n%d records of 200 bytes, %d partitions, compression %s, windows of %d; median of %d rounds\n", records, partitions, codec, windowSize, rounds)
	fmt.Printf("%-16s %10s %12s %22s %10s\n", "", "start s", "records/s", "CPU-s per million", "peak MiB")
	rate := func(r result) float64 { return float64(records) / r.wall.Seconds() }
	line := func(name string, r result, u usage, total bool) {
		start, speed := "", ""
		if total {
			start, speed = fmt.Sprintf("%.1f", r.start.Seconds()), fmt.Sprintf("%.0f", rate(r))
		}
		fmt.Printf("%-16s %10s %12s %22.3f %10d\n", name, start, speed, u.perMillion(records), u.mib)
	}
	line("bare franz-go", bare, usage{cpu: bare.cpu(), mib: bare.parts["bare"].mib}, true)
	all := usage{cpu: our.cpu()}
	for _, u := range our.parts {
		all.mib += u.mib
	}
	line("windrow", our, all, true)
	for _, name := range []string{"ingest", "process-1", "process-2", "redis"} {
		line("  "+name, our, our.parts[name], false)
	}
	cpuRatio, rateRatio := our.cpu().Seconds()/bare.cpu().Seconds(), rate(our)/rate(bare)
	fmt.Printf("%-16s %10s %11.2fx %21.2fx\n\n", "ratio", "", rateRatio, cpuRatio)
	b.ReportMetric(cpuRatio, "cpu/bare")
	b.ReportMetric(rateRatio, "rate/bare")
	b.ReportMetric(0, "ns/op")
}

// broker is a broker that a busy machine does not make lose its leadership.
func broker(b *testing.B) *lab.KafkaServer {
	return lab.Kafka(b, lab.Property("log.segment.bytes", "1073741824"), lab.Property("broker.session.timeout.ms", "18000"))
}

// load fills the topic.
func load(b *testing.B, kafka *lab.KafkaServer, codec string, records int) {
	compression := kgo.NoCompression()
	if codec == "lz4" {
		compression = kgo.Lz4Compression()
	}
	c := kafka.Client(b, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(compression),
		kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchMaxBytes(256<<10), kgo.MaxBufferedRecords(100_000))
	failed := make(chan error, 1)
	for n := range records {
		p := int32(n % partitions)
		c.Produce(context.Background(), &kgo.Record{Topic: "events", Partition: p, Value: value(p, n/partitions, time.Now())}, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := c.Flush(context.Background()); err != nil {
		b.Fatal(err)
	}
	select {
	case err := <-failed:
		b.Fatal(err)
	default:
	}
}

func bare(b *testing.B, kafka *lab.KafkaServer, in, out string, records int) result {
	begin := time.Now()
	p := lab.StartWith(b, "bare", []string{kafka.Addr, in, out, strconv.Itoa(records)})
	first := firstWindow(b, kafka, out)
	if code := p.Wait(b, 5*time.Minute); code != 0 {
		b.Fatalf("the bare loop ended with %d", code)
	}
	r := result{start: first.Sub(begin), wall: time.Since(first), parts: map[string]usage{"bare": bareUsage(b, p)}}
	requireWindows(b, kafka, out, records)
	return r
}

func bareUsage(b *testing.B, p *lab.Program) usage {
	var cpu float64
	var u usage
	if _, err := fmt.Sscanf(strings.TrimSpace(p.Log()), "cpu=%f rss=%d", &cpu, &u.mib); err != nil {
		b.Fatalf("the bare loop says %q: %v", p.Log(), err)
	}
	u.cpu = time.Duration(cpu * 1e9)
	return u
}

// parts are Windrow's programs on a buffer of their own.
type parts struct {
	redis    *lab.RedisServer
	programs map[string]*lab.Program
}

func start(b *testing.B, kafka *lab.KafkaServer, in, out string) parts {
	p := parts{redis: lab.Redis(b), programs: map[string]*lab.Program{}}
	common := []string{"STREAM=" + out, "REDIS_URL=" + p.redis.URL, "KAFKA_BROKERS=" + kafka.Addr, "LOG_LEVEL=warn", "PPROF=true"}
	p.programs["ingest"] = lab.Start(b, "ingest", append(common, "KAFKA_TOPICS="+in)...)
	for _, name := range []string{"process-1", "process-2"} {
		p.programs[name] = lab.Start(b, "process", append(common, "EMITTER=count", "WINDOW_SIZE="+strconv.Itoa(windowSize),
			"SINK=kafka", "KAFKA_OUTPUT_TOPIC="+out, "WORKER="+name)...)
	}
	return p
}

// used is what the parts have taken so far.
func (p parts) used(b *testing.B) map[string]usage {
	us := map[string]usage{"redis": {cpu: redisCPU(b, p.redis), mib: redisPeak(b, p.redis)}}
	for name, program := range p.programs {
		us[name] = usage{cpu: program.CPU(b), mib: program.PeakMemory(b) >> 20}
	}
	return us
}

func (p parts) stop(b *testing.B) {
	for _, program := range p.programs {
		program.Stop(b)
	}
	p.redis.Stop(b)
}

func windrow(b *testing.B, kafka *lab.KafkaServer, out string, records int) result {
	begin := time.Now()
	p := start(b, kafka, "events", out)
	profiles := p.profile(b, out)
	first := firstWindow(b, kafka, out)
	p.waitWindows(b, kafka, out, records/windowSize)
	r := result{start: first.Sub(begin), wall: time.Since(first), parts: p.used(b)}
	profiles()
	p.stop(b)
	requireWindows(b, kafka, out, records)
	return r
}

// end is the sum of the offsets at the end of a topic's partitions.
func end(b *testing.B, list func(context.Context, ...string) (kadm.ListedOffsets, error), topic string) (sum int) {
	offsets, err := list(b.Context(), topic)
	if err == nil {
		err = offsets.Error()
	}
	if err != nil {
		b.Fatal(err)
	}
	offsets.Each(func(o kadm.ListedOffset) { sum += int(o.Offset) })
	return sum
}

// firstWindow waits until out holds something, and tells when it did.
func firstWindow(b *testing.B, kafka *lab.KafkaServer, out string) time.Time {
	admin := kafka.Admin(b)
	lab.WaitFor(b, time.Minute, "the first window", func() bool { return end(b, admin.ListEndOffsets, out) > 0 })
	return time.Now()
}

// waitWindows waits until out holds that many windows, all committed. Asking the programs costs them processor time, and
// reading the topic costs it everybody: the topic's end tells first when asking is worth while.
func (p parts) waitWindows(b *testing.B, kafka *lab.KafkaServer, out string, windows int) {
	admin := kafka.Admin(b)
	lab.WaitFor(b, 5*time.Minute, fmt.Sprintf("%d windows", windows), func() bool {
		return end(b, admin.ListEndOffsets, out) >= windows // markers count as well
	})
	lab.WaitFor(b, time.Minute, fmt.Sprintf("%d windows emitted", windows), func() bool {
		n := 0.0
		for name, program := range p.programs {
			if name == "ingest" {
				continue
			}
			v, _ := program.Metric("windrow_process_windows_total")
			n += v
		}
		return int(n) >= windows
	})
	before := -1
	lab.WaitFor(b, time.Minute, "the last transaction", func() bool {
		all := end(b, admin.ListEndOffsets, out)
		same := all == before
		before = all
		return same && end(b, admin.ListCommittedOffsets, out) == all
	})
}

// requireWindows checks that out holds every record exactly once, in windows of the right size.
func requireWindows(b *testing.B, kafka *lab.KafkaServer, out string, records int) {
	seen := make([]bool, records)
	count := 0
	for _, r := range kafka.Consume(b, out).ToEnd() {
		type datum struct{ Partition, N int }
		var w struct{ Data []datum }
		var err error
		if r.Value[0] == '[' {
			err = json.Unmarshal(r.Value, &w.Data)
		} else {
			err = json.Unmarshal(r.Value, &w)
		}
		if err != nil {
			b.Fatal(err)
		}
		if len(w.Data) != windowSize {
			b.Fatalf("%s has a window of %d", out, len(w.Data))
		}
		for _, d := range w.Data {
			i := d.N*partitions + d.Partition
			if seen[i] {
				b.Fatalf("%s has record %d of partition %d twice", out, d.N, d.Partition)
			}
			seen[i] = true
			count++
		}
	}
	if count != records {
		b.Fatalf("%s has %d of %d records", out, count, records)
	}
}

func redisInfo(b *testing.B, r *lab.RedisServer, section, field string) float64 {
	c := redis.NewClient(&redis.Options{Addr: r.Addr})
	defer c.Close()
	info, err := c.Info(context.Background(), section).Result()
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), field+":"); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				b.Fatal(err)
			}
			return f
		}
	}
	b.Fatalf("redis says nothing of %s", field)
	return 0
}

func redisCPU(b *testing.B, r *lab.RedisServer) time.Duration {
	return time.Duration((redisInfo(b, r, "cpu", "used_cpu_sys") + redisInfo(b, r, "cpu", "used_cpu_user")) * 1e9)
}

func redisPeak(b *testing.B, r *lab.RedisServer) int {
	return int(redisInfo(b, r, "memory", "used_memory_peak")) >> 20
}

// median is the round with the median processor time.
func median(rs []result) result {
	slices.SortFunc(rs, func(a, b result) int { return int(a.cpu() - b.cpu()) })
	return rs[len(rs)/2]
}
