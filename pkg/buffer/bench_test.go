package buffer

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/windrow-io/windrow/internal/redistest"
)

// usage is the CPU time used by this program and by a Redis server, in seconds.
func usage(c *redis.Client) (client, server float64) {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	info := parseInfo(c.Info(context.Background(), "cpu").Val())
	for _, k := range []string{"used_cpu_user", "used_cpu_sys"} {
		n, _ := strconv.ParseFloat(info[k], 64)
		server += n
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9, server
}

// spent adds up the CPU time while it runs.
type spent struct {
	c              *redis.Client
	client, server float64
}

func (s *spent) start() { c, r := usage(s.c); s.client -= c; s.server -= r }
func (s *spent) stop()  { c, r := usage(s.c); s.client += c; s.server += r }

// report reports milliseconds of CPU for 200 MB, which is about a million records.
func (s *spent) report(b *testing.B, size int) {
	per := 1e3 * 200e6 / (float64(size) * float64(b.N))
	b.ReportMetric(s.client*per, "client-ms/200MB")
	b.ReportMetric(s.server*per, "redis-ms/200MB")
}

// One operation is one entry; the bytes per second are those of the batches.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{256, 64 << 10, 256 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := redistest.Start(b)
			buf, c := open(b, s.URL()), s.Client()
			a := buf.Appender("t/0", "t/0")
			defer a.Close()
			tail := must1(a.Tail(b.Context()))(b)
			batch := make([]byte, size)
			cpu := spent{c: c}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			cpu.start()
			for i := 0; b.Loop(); i++ {
				var err error
				if tail, err = a.Append(b.Context(), Append{From: tail.Next, Next: tail.Next + 100, Batches: batch}); err != nil {
					b.Fatal(err)
				}
				if i%256 == 255 {
					b.StopTimer()
					noError(b, c.XTrimMaxLen(b.Context(), a.laneKey, 0).Err())
					b.StartTimer()
				}
			}
			cpu.stop()
			cpu.report(b, size)
		})
	}
}

// One operation is one entry, of which a read gets up to a MiB.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{256, 64 << 10, 256 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := redistest.Start(b)
			buf, c := open(b, s.URL()), s.Client()
			a := buf.Appender("t/0", "t/0")
			defer a.Close()
			tail := must1(a.Tail(b.Context()))(b)
			r := buf.Reader("p", "w", "t/0", []string{"t/0"})
			defer r.Close()
			must1(r.Read(b.Context(), 0, 1))(b)
			batch := make([]byte, size)
			n := 0
			cpu := spent{c: c}
			fill := func() {
				b.StopTimer()
				cpu.stop()
				noError(b, c.XTrimMaxLen(b.Context(), a.laneKey, 0).Err())
				for n = 0; n < min(4096, (32<<20)/size); n++ {
					tail = must1(a.Append(b.Context(), Append{From: tail.Next, Next: tail.Next + 100, Batches: batch}))(b)
				}
				cpu.start()
				b.StartTimer()
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			cpu.start()
			got := 0
			for b.Loop() {
				if got > 0 {
					got--
					continue
				}
				if n == 0 {
					fill()
				}
				got = len(must1(r.Read(b.Context(), time.Second, max(1, (1<<20)/size)))(b).Lanes[0].Entries)
				n -= got
				got--
			}
			cpu.stop()
			cpu.report(b, size)
		})
	}
}
