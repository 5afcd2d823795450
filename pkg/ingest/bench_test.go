package ingest

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/windrow-io/windrow/internal/redistest"
	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/shard"
)

// far is a connection whose answers are on their way for a while.
type far struct {
	net.Conn
	trip time.Duration
}

func (c far) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	time.Sleep(c.trip)
	return n, err
}

// One operation is one entry of the source, 64 KiB in all, divided among the shards. A Redis that is not on the same machine
// is half a millisecond away.
func BenchmarkAppendToShards(b *testing.B) {
	for _, trip := range []time.Duration{0, 500 * time.Microsecond} {
		for _, shards := range []int{1, 4, 16, 64} {
			b.Run(fmt.Sprintf("%s/%d", trip, shards), func(b *testing.B) {
				server := redistest.Start(b)
				buf, err := buffer.Open(buffer.Options{URL: server.URL(), Stream: "s", Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
					var d net.Dialer
					c, err := d.DialContext(ctx, network, addr)
					return far{c, trip}, err
				}})
				if err != nil {
					b.Fatal(err)
				}
				defer buf.Close()
				l := &lane{in: &Ingest{hard: b.Context()}, entries: prometheus.NewCounter(prometheus.CounterOpts{}), records: prometheus.NewCounter(prometheus.CounterOpts{})}
				for i := range shards {
					part := &branch{shard: shard.Name(i), appender: buf.Appender(shard.Name(i), "t/0"), batches: make([]byte, 64<<10/shards)}
					defer part.appender.Close()
					if _, err := part.tail(b.Context()); err != nil {
						b.Fatal(err)
					}
					l.branches = append(l.branches, part)
				}
				client := server.Client()
				next := int64(0)
				for b.Loop() {
					next += 100
					if err := l.appendParts(buffer.Append{Next: next, High: next}); err != nil {
						b.Fatal(err)
					}
					if next%(100*512) == 0 {
						b.StopTimer()
						for _, part := range l.branches {
							client.XTrimMaxLen(b.Context(), "windrow:{s/"+part.shard+"}:lane:t/0", 0)
						}
						b.StartTimer()
					}
				}
			})
		}
	}
}
