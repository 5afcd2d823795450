package source

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap/zaptest"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/internal/kafkatest"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
)

// fake starts a Kafka cluster in this process and returns it with a client of it.
func fake(t *testing.T, brokers int, opts ...kfake.Opt) (*kfake.Cluster, *wire.Cluster) {
	t.Helper()
	k := kafkatest.Start(t, brokers, opts...)
	c := wire.New(wire.Config{Brokers: k.ListenAddrs(), ClientID: "test"})
	t.Cleanup(c.Close)
	return k, c
}

func numbered(prefix string, from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("%s%d", prefix, i))
	}
	return out
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// decode returns the records of batches with from <= offset < to, as offset:value.
func decode(t *testing.T, batches []byte, from, to int64) []string {
	t.Helper()
	var out []string
	var d record.Decoder
	for len(batches) > 0 {
		b, rest, err := record.ParseBatch(batches)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Decode(&b, &record.Record{}, from, func(r *record.Record) {
			if r.Offset < to {
				out = append(out, fmt.Sprintf("%d:%s", r.Offset, r.Value))
			}
		}); err != nil {
			t.Fatal(err)
		}
		batches = rest
	}
	return out
}

// reports keeps what parts report.
type reports struct {
	mu  sync.Mutex
	now map[string]error
}

func (r *reports) set(part string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		r.now = map[string]error{}
	}
	r.now[part] = err
}

func (r *reports) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for p, err := range r.now {
		if err != nil {
			out = append(out, p+": "+err.Error())
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// running is a Watch and a Fetcher that run until the test ends.
type running struct {
	watch   *Watch
	fetcher *Fetcher
	reports reports
}

func run(t *testing.T, c *wire.Cluster, topics string, o FetcherOptions) *running {
	t.Helper()
	ts, err := ParseTopics(topics)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{}
	log := zaptest.NewLogger(t)
	o.Report, o.Logger = r.reports.set, log
	r.watch = NewWatch(c, ts, 100*time.Millisecond, r.reports.set, log)
	r.fetcher = NewFetcher(c, r.watch, o)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.watch.Run(ctx) })
	wg.Go(func() { r.fetcher.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return r
}

// id waits for a topic to be seen.
func (r *running) id(t *testing.T, topic string) (id ID) {
	t.Helper()
	await.True(t, "topic "+topic+" is seen", func() bool {
		v, _ := r.watch.View()
		if v == nil || v.Topics[topic] == nil {
			return false
		}
		id = v.Topics[topic].ID
		return true
	})
	return id
}

// next waits for a feed's next chunk or error.
func next(t *testing.T, d *Feed) (*Chunk, error) {
	t.Helper()
	timeout := time.After(15 * time.Second)
	for {
		c, err := d.Take()
		if c != nil || err != nil {
			return c, err
		}
		select {
		case <-d.Ready():
		case <-timeout:
			t.Fatalf("%s: nothing came within 15 s", d)
		}
	}
}

// read takes chunks until offset to is reached and returns their records.
func read(t *testing.T, d *Feed, from, to int64) []string {
	t.Helper()
	var out []string
	for from < to {
		c, err := next(t, d)
		if err != nil {
			t.Fatal(err)
		}
		if c.From != from {
			t.Fatalf("%s: a chunk from %d, want %d", d, c.From, from)
		}
		for {
			e, ok, err := c.Entry(1)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if e.From != from || e.Next <= e.From {
				t.Fatalf("%s: an entry %d-%d, want it from %d", d, e.From, e.Next, from)
			}
			out = append(out, decode(t, e.Batches, e.From, e.Next)...)
			from = e.Next
		}
		if c.Next != from {
			t.Fatalf("%s: the chunk ends at %d, its entries at %d", d, c.Next, from)
		}
		c.Release()
	}
	return out
}
