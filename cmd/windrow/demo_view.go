package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// reading is a record of the demo: what a sensor says. N numbers the records of a device, so that the demo can tell
// whether one is missing or came twice.
type reading struct {
	Device      string  `json:"device"`
	N           int     `json:"n"`
	Time        string  `json:"time"`
	Temperature float64 `json:"temperature"`
	Humidity    float64 `json:"humidity"`
	Battery     float64 `json:"battery"`
}

var demoDevices = []string{"greenhouse-1", "greenhouse-2", "cellar", "roof", "cold-store-1", "cold-store-2", "server-room", "workshop"}

// generator writes plausible readings to the demo's topic.
type generator struct {
	client *kgo.Client
	rate   int
	count  atomic.Int64
	last   []int // per device
}

func newGenerator(brokers []string, rate int) (*generator, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic(demoTopic), kgo.ProducerLinger(0))
	if err != nil {
		return nil, err
	}
	return &generator{client: c, rate: rate, last: make([]int, len(demoDevices))}, nil
}

func (g *generator) sent() int64 { return g.count.Load() }
func (g *generator) close()      { g.client.Close() }

// run writes until generating is done, then waits until everything is written.
func (g *generator) run(generating, all context.Context) error {
	const step = 20 * time.Millisecond
	t := time.NewTicker(step)
	defer t.Stop()
	begin, made := time.Now(), 0
	for generating.Err() == nil && all.Err() == nil {
		for due := int(time.Since(begin).Seconds() * float64(g.rate)); made < due; made++ {
			value, device := g.reading(time.Now())
			g.count.Add(1)
			g.client.Produce(all, &kgo.Record{Key: []byte(device), Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					g.count.Add(-1)
				}
			})
		}
		select {
		case <-t.C:
		case <-generating.Done():
		case <-all.Done():
		}
	}
	return g.client.Flush(all)
}

func (g *generator) reading(now time.Time) (value []byte, device string) {
	i := rand.IntN(len(demoDevices))
	g.last[i]++
	day := math.Sin(float64(now.UnixMilli()) / 8e3)
	r := reading{
		Device: demoDevices[i], N: g.last[i], Time: now.UTC().Format(time.RFC3339Nano),
		Temperature: math.Round((float64(4+3*i)+4*day+rand.NormFloat64())*10) / 10,
		Humidity:    math.Round(55 - 10*day + 3*rand.NormFloat64()),
		Battery:     math.Round((3.7-float64(g.last[i])/1e6)*1000) / 1000,
	}
	value, _ = json.Marshal(r) // plain numbers and text: it can't fail
	return value, r.Device
}

// view reads the windows back as any consumer would and shows them.
type view struct {
	client *kgo.Client
	out    io.Writer
	start  time.Time

	mu               sync.Mutex
	windows, count   int64
	seen             map[string]*tally // by device
	perReason        map[string]int
	twice            int
	shown            int
	lastAt           time.Time
	lastIn, lastRecs int64
}

// tally knows which of the numbers 1, 2, 3 … have come. Its memory is what came ahead of a hole.
type tally struct {
	upTo  int
	ahead map[int]bool
}

// add reports whether n is new.
func (t *tally) add(n int) bool {
	if n <= t.upTo || t.ahead[n] {
		return false
	}
	t.ahead[n] = true
	for t.ahead[t.upTo+1] {
		t.upTo++
		delete(t.ahead, t.upTo)
	}
	return true
}

func newView(brokers []string, out io.Writer) (*view, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(demoOutput),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(500*time.Millisecond), kgo.UnknownTopicRetries(-1))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &view{client: c, out: out, start: now, lastAt: now, seen: map[string]*tally{}, perReason: map[string]int{}}, nil
}

func (v *view) close() { v.client.Close() }

func (v *view) records() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.count
}

func (v *view) run(ctx context.Context) error {
	for {
		fetches := v.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var err error
		fetches.EachRecord(func(r *kgo.Record) {
			if e := v.window(r.Value); e != nil {
				err = e
			}
		})
		if err != nil {
			return err
		}
	}
}

// window shows a window and remembers its records. Under load only some are shown.
func (v *view) window(value []byte) error {
	var w struct {
		Shard, Reason string
		Seq           int64
		Data          []reading
	}
	if err := json.Unmarshal(value, &w); err != nil {
		return fmt.Errorf("a window is not what it should be: %w: %.200s", err, value)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.windows++
	v.perReason[w.Reason]++
	least, most, sum := math.Inf(1), math.Inf(-1), 0.0
	for _, r := range w.Data {
		least, most, sum = min(least, r.Temperature), max(most, r.Temperature), sum+r.Temperature
		if v.seen[r.Device] == nil {
			v.seen[r.Device] = &tally{ahead: map[int]bool{}}
		}
		if !v.seen[r.Device].add(r.N) {
			v.twice++
		}
		v.count++
	}
	if v.shown++; v.shown <= 12 {
		fmt.Fprintf(v.out, "  window %-10s #%-4d %4d records, closed by %-8s temperature %5.1f … %5.1f, mean %5.1f\n",
			w.Shard, w.Seq, len(w.Data), w.Reason+",", least, most, sum/float64(max(len(w.Data), 1)))
	}
	return nil
}

// status is the line of every second.
func (v *view) status(sent int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	d := now.Sub(v.lastAt).Seconds()
	fmt.Fprintf(v.out, "%5.0fs  in %6.0f/s  out %6.0f/s  %6d windows so far, %d records waiting or under way\n",
		now.Sub(v.start).Seconds(), float64(sent-v.lastIn)/d, float64(v.count-v.lastRecs)/d, v.windows, sent-v.count)
	v.lastAt, v.lastIn, v.lastRecs, v.shown = now, sent, v.count, 0
}

// summary says how it went. It reports whether every record came exactly once.
func (v *view) summary(sent int64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	holes := 0
	for _, t := range v.seen {
		holes += len(t.ahead)
	}
	ok := v.count == sent && v.twice == 0 && holes == 0 && v.windows > 0
	fmt.Fprintf(v.out, "\n%d records in, %d windows with %d records out (%d full, %d by timeout); missing %d, twice %d: ",
		sent, v.windows, v.count, v.perReason["count"], v.perReason["timeout"], sent-(v.count-int64(v.twice)), v.twice)
	if ok {
		fmt.Fprintln(v.out, "every record exactly once.")
	} else {
		fmt.Fprintln(v.out, "NOT every record exactly once.")
	}
	return ok
}
