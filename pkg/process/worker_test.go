package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/expression"
	"github.com/windrow-io/windrow/pkg/ingest"
	"github.com/windrow-io/windrow/pkg/journal"
	"github.com/windrow-io/windrow/pkg/sink/kafka"
	"github.com/windrow-io/windrow/pkg/window"
)

const logLevel = zap.WarnLevel

// rig is a stream on servers in this process: enough to see the parts work together. What depends on Kafka's fencing is
// tested on a real one.
type rig struct {
	t       *testing.T
	brokers []string
	redis   *miniredis.Miniredis
	log     *zap.Logger
	client  *kgo.Client
	wg      sync.WaitGroup
}

func newRig(t *testing.T, partitions int32) *rig {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "in"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	r := &rig{t: t, brokers: c.ListenAddrs(), redis: miniredis.RunT(t), log: zaptest.NewLogger(t, zaptest.Level(logLevel))}
	if r.client, err = kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)
	ctx, cancel := context.WithCancel(context.Background())
	r.wg.Go(func() {
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-tick.C:
				r.redis.FastForward(50 * time.Millisecond)
			case <-ctx.Done():
				return
			}
		}
	})
	t.Cleanup(func() { cancel(); r.wg.Wait() })
	return r
}

// conditions remembers what is not well.
type conditions struct {
	mu  sync.Mutex
	bad map[string]error
}

func (c *conditions) Set(name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bad == nil {
		c.bad = map[string]error{}
	}
	if err == nil {
		delete(c.bad, name)
	} else {
		c.bad[name] = err
	}
}

func (c *conditions) Warn(name string, err error) { c.Set(name, err) }

func (r *rig) buffer() *buffer.Buffer {
	b, err := buffer.Open(buffer.Options{URL: "redis://" + r.redis.Addr(), Stream: "s", Logger: r.log})
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

func (r *rig) ingest() { r.ingestShards(0, "") }

// ingestShards runs an ingest with SHARDS until the test ends, or stop is called.
func (r *rig) ingestShards(shards int, key string) (stop func()) {
	b := r.buffer()
	c := wire.New(wire.Config{Brokers: r.brokers, ClientID: "ingest"})
	in, err := ingest.New(ingest.Options{Cluster: c, Buffer: b, Topics: "in", Group: "s", ReadCommitted: true, Shards: shards, ShardKey: key,
		Conditions: &conditions{}, Logger: r.log})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	r.wg.Go(func() {
		defer close(done)
		if err := in.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			r.t.Errorf("ingest: %v", err)
		}
		b.Close()
		c.Close()
	})
	r.t.Cleanup(cancel)
	return func() { cancel(); <-done }
}

// running is a worker under test.
type running struct {
	*Worker
	kill func() // at once, leaving everything as it is
	stop func() // gracefully; returns when it has stopped
	wait func() // until it ends by itself
}

func (r *rig) worker(name string, s window.Settings, change func(*Options)) running {
	b := r.buffer()
	c := wire.New(wire.Config{Brokers: r.brokers, ClientID: name})
	w, err := New(r.options(b, c, name, s, change))
	if err != nil {
		r.t.Fatal(err)
	}
	return r.run(w, name, func() {
		_ = w.o.Sink.Close(context.Background())
		b.Close()
		c.Close()
	})
}

func (r *rig) options(b *buffer.Buffer, c *wire.Cluster, name string, s window.Settings, change func(*Options)) Options {
	s.Stream, s.Pipeline = "s", "p"
	o := Options{
		Buffer: b, Source: c, Output: c, Settings: s,
		Journal: journal.Options{Topic: "windrow.s.p.journal", Stream: "s", Pipeline: "p", Partitions: 4, Logger: r.log},
		Sink:    kafka.New(c, kafka.Options{Topic: "out", Logger: r.log}),
		Name:    name, LeaseTTL: 600 * time.Millisecond, Conditions: &conditions{}, Logger: r.log.Named(name),
	}
	if change != nil {
		change(&o)
	}
	return o
}

func (r *rig) run(w *Worker, name string, after func()) running {
	ctx, cancel := context.WithCancel(context.Background())
	stop, done := make(chan struct{}), make(chan struct{})
	r.wg.Go(func() {
		defer close(done)
		err := w.Run(ctx, stop)
		if killed := ctx.Err() != nil && errors.Is(err, ErrStopped); err != nil && !killed && !errors.Is(err, context.Canceled) {
			r.t.Errorf("%s: %v", name, err)
		}
		after()
	})
	once := sync.OnceFunc(func() { close(stop) })
	r.t.Cleanup(cancel)
	ended := func() {
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			r.t.Errorf("%s does not end", name)
		}
	}
	return running{Worker: w, kill: cancel, stop: func() { once(); ended() }, wait: ended}
}

// produce writes records n = from … to-1 to each partition, as {"p":partition,"n":n}.
func (r *rig) produce(partitions, from, to int) {
	r.t.Helper()
	var rs []*kgo.Record
	for n := from; n < to; n++ {
		for p := range partitions {
			rs = append(rs, &kgo.Record{Topic: "in", Partition: int32(p), Value: fmt.Appendf(nil, `{"p":%d,"n":%d}`, p, n)})
		}
	}
	if err := r.client.ProduceSync(context.Background(), rs...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

// output is a window as it was written.
type output struct {
	ID, Shard, Reason string
	Key               any
	Seq               int64
	Count             int
	Data              []struct{ P, N int }
}

// consume reads windows of topic until enough says so.
func (r *rig) consume(topic string, enough func([]output) bool) (all []output) {
	r.t.Helper()
	r.read(topic, func(v []byte) {
		var o output
		if err := json.Unmarshal(v, &o); err != nil {
			r.t.Fatalf("%v: %s", err, v)
		}
		all = append(all, o)
	}, func() bool { return enough(all) })
	return all
}

// values reads the values of n records of topic.
func (r *rig) values(topic string, n int) (all [][]byte) {
	r.t.Helper()
	r.read(topic, func(v []byte) { all = append(all, v) }, func() bool { return len(all) >= n })
	return all
}

// read hands each value of topic to take until enough says so.
func (r *rig) read(topic string, take func([]byte), enough func() bool) {
	r.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.MetadataMinAge(50*time.Millisecond), kgo.MetadataMaxAge(100*time.Millisecond), kgo.UnknownTopicRetries(-1))
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	n := 0
	for !enough() {
		f := c.PollFetches(ctx)
		if ctx.Err() != nil {
			r.t.Fatalf("after 20 s there are only %d records in %s", n, topic)
		}
		f.EachRecord(func(x *kgo.Record) { n++; take(x.Value) })
	}
}

func recordCount(ws []output) (n int) {
	for _, w := range ws {
		n += len(w.Data)
	}
	return n
}

func holds(n int) func([]output) bool { return func(ws []output) bool { return recordCount(ws) >= n } }

// exact checks that each partition's records 0 … n-1 are in the windows exactly once, in the order of their windows.
func exact(t *testing.T, ws []output, partitions, n int) {
	t.Helper()
	shards := map[string][]output{}
	ids := map[string]bool{}
	for _, w := range ws {
		shards[w.Shard] = append(shards[w.Shard], w)
		if ids[w.ID] {
			t.Errorf("window %s came twice", w.ID)
		}
		ids[w.ID] = true
	}
	if len(shards) != partitions {
		t.Errorf("windows of %d shards, want %d", len(shards), partitions)
	}
	for shard, ws := range shards {
		slices.SortFunc(ws, func(a, b output) int { return int(a.Seq - b.Seq) })
		next := 0
		for i, w := range ws {
			if w.Seq != int64(i) {
				t.Fatalf("%s: window %d has the number %d", shard, i, w.Seq)
			}
			for _, d := range w.Data {
				if d.N != next || fmt.Sprintf("in/%d", d.P) != shard {
					t.Fatalf("%s: record %d/%d where %d should be", shard, d.P, d.N, next)
				}
				next++
			}
		}
		if next != n {
			t.Errorf("%s: %d records, want %d", shard, next, n)
		}
	}
}

var count100 = window.Settings{Emitter: "count", Size: 100}

func TestCountWindowsOfTwoWorkers(t *testing.T) {
	r := newRig(t, 4)
	r.ingest()
	a, b := r.worker("a", count100, nil), r.worker("b", count100, nil)
	r.produce(4, 0, 1000)
	ws := r.consume("out", holds(4000))
	a.stop()
	b.stop()
	exact(t, ws, 4, 1000)
	for _, w := range ws {
		if w.Count != 100 || w.Reason != "count" {
			t.Errorf("a window of %d closed by %s", w.Count, w.Reason)
		}
	}
}

// Half-filled windows go with the shard: to the next run, to another worker.
func TestStopAndStartBetween(t *testing.T) {
	r := newRig(t, 2)
	r.ingest()
	for i := range 6 {
		w := r.worker(fmt.Sprint("w", i), count100, nil)
		r.produce(2, i*130, (i+1)*130)
		r.consume("out", holds(2*((i+1)*130/100*100)))
		w.stop()
	}
	w := r.worker("last", count100, nil)
	r.produce(2, 780, 800)
	ws := r.consume("out", holds(1600))
	w.stop()
	exact(t, ws, 2, 800)
}

func TestAnotherWorkerTakesOver(t *testing.T) {
	r := newRig(t, 4)
	r.ingest()
	a := r.worker("a", count100, nil)
	r.produce(4, 0, 550)
	r.consume("out", holds(2000))
	a.kill()
	b := r.worker("b", count100, nil)
	r.produce(4, 550, 1000)
	ws := r.consume("out", holds(4000))
	b.stop()
	exact(t, ws, 4, 1000)
}

// Everything in Redis goes, at any moment.
func TestFlushAll(t *testing.T) {
	r := newRig(t, 2)
	r.ingest()
	a := r.worker("a", count100, nil)
	for i := range 5 {
		r.produce(2, i*200, (i+1)*200)
		if i%2 == 1 {
			r.consume("out", holds(2*i*200))
		}
		r.redis.FlushAll()
	}
	ws := r.consume("out", holds(2000))
	a.stop()
	exact(t, ws, 2, 1000)
}

func TestTimeoutClosesAPartialWindow(t *testing.T) {
	r := newRig(t, 1)
	r.ingest()
	a := r.worker("a", window.Settings{Emitter: "count", Size: 100, Timeout: 300 * time.Millisecond}, nil)
	r.produce(1, 0, 120)
	ws := r.consume("out", holds(120))
	a.stop()
	exact(t, ws, 1, 120)
	slices.SortFunc(ws, func(a, b output) int { return int(a.Seq - b.Seq) })
	if len(ws) < 2 || ws[len(ws)-1].Reason != "timeout" {
		t.Errorf("%d windows, the last one closed by %s, want timeout", len(ws), ws[len(ws)-1].Reason)
	}
}

// What waits is carried over to new settings.
func TestNewSettings(t *testing.T) {
	r := newRig(t, 1)
	r.ingest()
	a := r.worker("a", count100, nil)
	r.produce(1, 0, 130)
	r.consume("out", holds(100))
	a.stop()
	b := r.worker("b", window.Settings{Emitter: "count", Size: 20}, nil)
	r.consume("out", holds(120))
	b.kill()
	c := r.worker("c", window.Settings{Emitter: "count", Size: 20}, nil)
	r.produce(1, 130, 200)
	ws := r.consume("out", holds(200))
	c.stop()
	exact(t, ws, 1, 200)
}

// The worker with newer settings takes over from one that runs on with older ones.
func TestNewerSettingsWin(t *testing.T) {
	r := newRig(t, 2)
	r.ingest()
	a := r.worker("a", count100, nil)
	r.produce(2, 0, 150)
	r.consume("out", holds(200))
	await.Clock(t) // the start times must differ
	b := r.worker("b", window.Settings{Emitter: "count", Size: 10}, nil)
	r.consume("out", holds(300))
	r.produce(2, 150, 200)
	ws := r.consume("out", holds(400))
	a.stop()
	b.stop()
	exact(t, ws, 2, 200)
}

func TestHandlerFailsAndRecovers(t *testing.T) {
	r := newRig(t, 1)
	r.ingest()
	var mu sync.Mutex
	calls := map[int64]int{}
	a := r.worker("a", window.Settings{Emitter: "count", Size: 10}, func(o *Options) {
		o.HandlerAttempts, o.HandlerConcurrency = 3, 4
		o.Handler = func(_ context.Context, w *window.Window) (any, error) {
			mu.Lock()
			defer mu.Unlock()
			calls[w.Seq]++
			switch {
			case w.Seq == 3 && calls[w.Seq] < 3:
				return nil, errors.New("not yet")
			case w.Seq == 5:
				panic("never")
			case w.Seq == 7:
				return nil, Refuse(errors.New("no"))
			case w.Seq == 8:
				return nil, nil // dropped
			}
			return w, nil
		}
	})
	r.produce(1, 0, 100)
	ws := r.consume("out", func(ws []output) bool { return len(ws) == 7 })
	var seqs []int64
	for _, w := range ws {
		seqs = append(seqs, w.Seq)
	}
	slices.Sort(seqs)
	if want := []int64{0, 1, 2, 3, 4, 6, 9}; !slices.Equal(seqs, want) {
		t.Errorf("windows %v, want %v", seqs, want)
	}
	r.consume("out.dead", func(ws []output) bool { return len(ws) == 2 })
	a.stop()
	mu.Lock()
	defer mu.Unlock()
	if calls[3] != 3 || calls[5] != 3 || calls[7] != 1 {
		t.Errorf("the handler was called %d, %d, %d times for the windows 3, 5, 7; want 3, 3, 1", calls[3], calls[5], calls[7])
	}
}

// OUTPUT_VALUE: what an expression makes of a window is written, nothing where that is null, and what it can't be made of goes
// to the dead letters.
func TestOutputValue(t *testing.T) {
	r := newRig(t, 1)
	r.ingest()
	x, err := expression.NewResult(`seq == 1 ? nil : seq == 2 ? data[0].missing + 1 : {Seq: seq, count: count, data: data}`)
	if err != nil {
		t.Fatal(err)
	}
	a := r.worker("a", window.Settings{Emitter: "count", Size: 10}, func(o *Options) { o.Handler = valueOf(x) })
	r.produce(1, 0, 40)
	ws := r.consume("out", func(ws []output) bool { return len(ws) == 2 })
	if seqs, want := seqsOf(ws), []int64{0, 3}; !slices.Equal(seqs, want) {
		t.Errorf("windows %v, want %v", seqs, want)
	}
	for _, w := range ws {
		if len(w.Data) != 10 {
			t.Errorf("window %d: %d values", w.Seq, len(w.Data))
		}
	}
	dead := r.consume("out.dead", func(ws []output) bool { return len(ws) == 1 })
	if dead[0].Reason != "expression" {
		t.Errorf("the dead letter says %q", dead[0].Reason)
	}
	a.stop()
}

func TestRecordsThatAreNotJSON(t *testing.T) {
	r := newRig(t, 1)
	r.ingest()
	a := r.worker("a", window.Settings{Emitter: "count", Size: 2, Key: "p"}, nil)
	r.produce(1, 0, 1)
	if err := r.client.ProduceSync(context.Background(),
		&kgo.Record{Topic: "in", Value: []byte("not JSON")}, &kgo.Record{Topic: "in", Value: nil},
		&kgo.Record{Topic: "in", Value: []byte(`{"q":1}`)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r.produce(1, 1, 2)
	ws := r.consume("out", holds(2))
	exact(t, ws, 1, 2)
	if ws[0].Key != "0" {
		t.Errorf("key %v, want 0", ws[0].Key)
	}
	r.consume("out.dead", func(ws []output) bool { return len(ws) == 3 })
	a.stop()
}

// Records that programs append themselves come in windows, too, and leave the buffer.
func TestDirectLane(t *testing.T) {
	r := newRig(t, 1)
	b := r.buffer()
	defer b.Close()
	for n := range 20 {
		if err := b.Append(context.Background(), map[string]int{"n": n}); err != nil {
			t.Fatal(err)
		}
	}
	a := r.worker("a", window.Settings{Emitter: "count", Size: 10}, nil)
	ws := r.consume("out", holds(20))
	slices.SortFunc(ws, func(a, b output) int { return int(a.Seq - b.Seq) })
	next := 0
	for _, w := range ws {
		for _, d := range w.Data {
			if d.N != next {
				t.Errorf("record %d where %d should be", d.N, next)
			}
			next++
		}
	}
	a.stop()
	for _, key := range r.redis.Keys() {
		if strings.HasSuffix(key, ":lane:direct/0") {
			if entries, _ := r.redis.Stream(key); len(entries) != 0 {
				t.Errorf("%d entries are left in %s", len(entries), key)
			}
		}
	}
}

// What is in the direct lane can't be read again from anywhere: it stays there for a pipeline that does not run and never read
// any of it, also one whose journal has a name of its own, until that has processed it.
func TestDirectLaneIsKeptForAPipelineThatStopped(t *testing.T) {
	r := newRig(t, 1)
	b := r.buffer()
	defer b.Close()
	other := func(o *Options) {
		o.Settings.Pipeline, o.Journal.Pipeline, o.Journal.Topic = "q", "q", "notes-of-q"
		o.Sink = kafka.New(o.Output, kafka.Options{Topic: "q.out", Logger: r.log})
	}
	count10 := window.Settings{Emitter: "count", Size: 10}
	q := r.worker("q", count10, other)
	await.True(t, "q is enrolled", func() bool {
		marks, err := b.Marks(context.Background(), buffer.Direct)
		_, ok := marks["q"]
		return err == nil && ok
	})
	q.stop()
	for n := range 20 {
		if err := b.Append(context.Background(), map[string]int{"n": n}); err != nil {
			t.Fatal(err)
		}
	}
	a := r.worker("a", count10, nil)
	r.consume("out", holds(20))
	a.stop()
	backlog, err := b.Backlog(context.Background())
	if err != nil || backlog.Records != 20 || backlog.Lag["p"] != 0 || backlog.Lag["q"] == 0 {
		t.Fatalf("after the pipeline p: %+v, %v", backlog, err)
	}
	q = r.worker("q", count10, other)
	r.consume("q.out", holds(20))
	q.stop()
	if backlog, err := b.Backlog(context.Background()); err != nil || backlog.Records != 0 {
		t.Errorf("after the pipeline q: %+v, %v", backlog, err)
	}
}

// Which pipelines a stream has, the names of topics do not always tell: both names may hold dots.
func TestWhosePipelinesTheJournalsAre(t *testing.T) {
	r := newRig(t, 1)
	b := r.buffer()
	defer b.Close()
	c := wire.New(wire.Config{Brokers: r.brokers, ClientID: "test"})
	defer c.Close()
	for _, x := range []struct{ stream, pipeline string }{{"s", "p"}, {"s", "x.y"}, {"s.x", "q"}, {"s2", "p"}} {
		topic := "windrow." + x.stream + "." + x.pipeline + ".journal"
		j, err := journal.Open(t.Context(), c, journal.Options{Topic: topic, Stream: x.stream, Pipeline: x.pipeline, Partitions: 1})
		if err == nil {
			_, err = j.Start(t.Context(), func(context.Context) (journal.Start, error) { return journal.Start{}, nil })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w, err := New(r.options(b, c, "a", count100, nil))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time without asking
		if got, err := w.positions.journaled(t.Context()); err != nil || !slices.Equal(slices.Sorted(slices.Values(got)), []string{"p", "x.y"}) {
			t.Errorf("the pipelines of the stream s: %v, %v", got, err)
		}
	}
}

// A journal that was deleted is not a fresh start: that would process everything again.
func TestALostJournalIsRefused(t *testing.T) {
	r := newRig(t, 1)
	r.ingest()
	a := r.worker("a", count100, nil)
	r.produce(1, 0, 200)
	r.consume("out", holds(200))
	a.stop()
	admin := wire.New(wire.Config{Brokers: r.brokers})
	defer admin.Close()
	if _, err := admin.Client().DeleteTopics(context.Background(), &kafkago.DeleteTopicsRequest{Topics: []string{"windrow.s.p.journal"}}); err != nil {
		t.Fatal(err)
	}
	c := &conditions{}
	b := r.worker("b", count100, func(o *Options) { o.Conditions = c })
	await.True(t, "the shard has a condition", func() bool { return c.get("shard in/0") != nil })
	if err := c.get("shard in/0"); !errors.Is(err, journal.ErrLost) {
		t.Errorf("the shard's condition is %v, want the journal lost", err)
	}
	b.stop()
	if n := recordCount(r.consume("out", holds(200))); n != 200 {
		t.Errorf("%d records came out, want 200", n)
	}
}

func (c *conditions) get(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bad[name]
}
