package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// Loop is what Windrow is measured against: a plain franz-go loop that does one job and nothing else. It keeps no state,
// restarts from nothing, and knows the records' layout to the letter.
type Loop struct {
	Params
	Shape        shape
	In, Out      string // topics; Out of MongoDB: a collection
	Database     string // of MongoDB; empty: the output is a topic
	Until        int    // so many records it ends after; 0: it is ended
	Transactions bool   // windows and positions in one transaction per poll; else at least once
}

// loopUse is what a Loop says at its end.
type loopUse struct {
	CPU    time.Duration `json:"cpu_ns"`
	Peak   int64         `json:"peak_bytes"`
	Allocs uint64        `json:"allocs"`
	Bytes  uint64        `json:"alloc_bytes"`
}

// RunLoop runs the loop that spec, a Loop as JSON, describes until it has seen its records or ctx is done, and writes what
// it used to out.
func RunLoop(ctx context.Context, kafka []kgo.Opt, mongoURL, spec string, out io.Writer) error {
	var l Loop
	if err := json.Unmarshal([]byte(spec), &l); err != nil {
		return err
	}
	run := l.run
	switch {
	case l.Transactions:
		run = l.runTransactions
	case l.Database != "":
		run = func(ctx context.Context, kafka []kgo.Opt) error { return l.runMongo(ctx, kafka, mongoURL) }
	}
	if err := run(ctx, kafka); err != nil && ctx.Err() == nil {
		return err
	}
	var u loopUse
	var err error
	if u.CPU, err = cpuTime(os.Getpid()); err != nil {
		return err
	}
	if u.Peak, err = peakMemory(os.Getpid()); err != nil {
		return err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.Allocs, u.Bytes = m.Mallocs, m.TotalAlloc
	return json.NewEncoder(out).Encode(u)
}

func (l *Loop) options(kafka []kgo.Opt) []kgo.Opt {
	options := append(kafka[:len(kafka):len(kafka)], kgo.ConsumeTopics(l.In), kgo.DefaultProduceTopic(l.Out),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if most := l.maxMessage(); most > 0 {
		options = append(options, kgo.ProducerBatchMaxBytes(int32(most)))
	}
	return options
}

func (l *Loop) run(ctx context.Context, kafka []kgo.Opt) error {
	c, err := kgo.NewClient(l.options(kafka)...)
	if err != nil {
		return err
	}
	defer c.Close()
	var failed kgo.FirstErrPromise
	w := l.Shape.gatherer(l.Params, producer(ctx, c, &failed))
	err = l.polls(ctx, c, func(fetches kgo.Fetches) error {
		fetches.EachRecord(func(r *kgo.Record) { w.add(r.Partition, r.Value) })
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.Flush(ctx); err != nil {
		return err
	}
	return failed.Err()
}

// polls hands what each poll brings to take, until the loop has seen its records.
func (l *Loop) polls(ctx context.Context, c *kgo.Client, take func(kgo.Fetches) error) error {
	for n := 0; l.Until == 0 || n < l.Until; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		if err := take(fetches); err != nil {
			return err
		}
		n += fetches.NumRecords()
	}
	return nil
}

// runTransactions commits the windows of each poll in one transaction with the positions behind it, which are a record in a
// topic of their own. What a restart would have to read back is there; nothing reads it.
func (l *Loop) runTransactions(ctx context.Context, kafka []kgo.Opt) error {
	c, err := kgo.NewClient(append(l.options(kafka), kgo.TransactionalID(l.Out), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		return err
	}
	defer c.Close()
	var failed kgo.FirstErrPromise
	w := l.Shape.gatherer(l.Params, producer(ctx, c, &failed))
	positions := map[int32]int64{}
	return l.polls(ctx, c, func(fetches kgo.Fetches) error {
		if err := c.BeginTransaction(); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			w.add(r.Partition, r.Value)
			positions[r.Partition] = r.Offset + 1
		})
		c.Produce(ctx, &kgo.Record{Topic: l.Out + positionsSuffix, Value: fmt.Append(nil, positions)}, failed.Promise())
		if err := c.Flush(ctx); err != nil {
			return err
		}
		if err := failed.Err(); err != nil {
			return err
		}
		return c.EndTransaction(ctx, kgo.TryCommit)
	})
}

// positionsSuffix is what the topic of a loop's positions has behind the name of its output.
const positionsSuffix = ".positions"

// runMongo inserts the windows of each poll.
func (l *Loop) runMongo(ctx context.Context, kafka []kgo.Opt, url string) error {
	m, err := openMongo(ctx, url)
	if err != nil {
		return err
	}
	defer m.Disconnect(context.WithoutCancel(ctx))
	to := m.Database(l.Database).Collection(l.Out, options.Collection().SetWriteConcern(writeconcern.Majority()))
	c, err := kgo.NewClient(l.options(kafka)...)
	if err != nil {
		return err
	}
	defer c.Close()
	var documents []any
	w := l.Shape.gatherer(l.Params, func(_, value []byte) {
		if value[0] == '[' {
			value = fmt.Appendf(nil, `{"data":%s}`, value)
		}
		var d bson.D
		if derr := bson.UnmarshalExtJSON(value, false, &d); derr != nil {
			err = derr
		}
		documents = append(documents, d)
	})
	return l.polls(ctx, c, func(fetches kgo.Fetches) error {
		fetches.EachRecord(func(r *kgo.Record) { w.add(r.Partition, r.Value) })
		if len(documents) > 0 && err == nil {
			_, err = to.InsertMany(ctx, documents, options.InsertMany().SetOrdered(false))
			documents = documents[:0]
		}
		return err
	})
}

// producer writes windows.
func producer(ctx context.Context, c *kgo.Client, failed *kgo.FirstErrPromise) emit {
	return func(key, value []byte) { c.Produce(ctx, &kgo.Record{Key: key, Value: value}, failed.Promise()) }
}

// gatherer makes windows of records. It may keep the values that it is given.
type gatherer interface {
	add(partition int32, value []byte)
}

// emit writes a window.
type emit func(key, value []byte)

// counting gathers windows of so many records of a partition.
type counting struct {
	size    int
	emit    emit
	waiting map[int32][][]byte
}

func (c *counting) add(partition int32, value []byte) {
	w := append(c.waiting[partition], value)
	if len(w) == c.size {
		c.emit(nil, array(nil, w))
		w = w[:0]
	}
	c.waiting[partition] = w
}

func array(b []byte, values [][]byte) []byte {
	n := len(b) + 3
	for _, v := range values {
		n += len(v) + 1
	}
	b = append(append(make([]byte, 0, n), b...), '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	return append(b, ']')
}

// timed gathers windows by event time and key, whose state is S.
type timed[S any] struct {
	interval int64 // milliseconds
	emit     emit
	add1     func(state *S, value []byte)
	end      func(state *S, b []byte) []byte // appends the window's count and data
	open     map[int32]map[int64]map[string]*S
	seen     map[int32]int64 // the newest time of a partition
}

func newTimed[S any](p Params, e emit, add func(*S, []byte), end func(*S, []byte) []byte) *timed[S] {
	return &timed[S]{interval: p.Interval.Milliseconds(), emit: e, add1: add, end: end,
		open: map[int32]map[int64]map[string]*S{}, seen: map[int32]int64{}}
}

// outOfOrder is how far behind another one a record may be, in milliseconds, as it is by Windrow's default.
const outOfOrder = 1000

func (t *timed[S]) add(partition int32, value []byte) {
	ts, _ := strconv.ParseInt(string(between(value, `"ts":`, ',')), 10, 64)
	windows := t.open[partition]
	if windows == nil {
		windows = map[int64]map[string]*S{}
		t.open[partition] = windows
	}
	start := ts - ts%t.interval
	keys := windows[start]
	if keys == nil {
		keys = map[string]*S{}
		windows[start] = keys
	}
	key := between(value, `"device":"`, '"')
	state := keys[string(key)]
	if state == nil {
		state = new(S)
		keys[string(key)] = state
	}
	t.add1(state, value)
	if ts <= t.seen[partition] {
		return
	}
	t.seen[partition] = ts
	for start, keys := range windows {
		if start+t.interval > ts-outOfOrder {
			continue
		}
		for key, state := range keys {
			b := fmt.Appendf(nil, `{"partition":%d,"key":%q,"start":%d,"end":%d,`, partition, key, start, start+t.interval)
			t.emit([]byte(key), append(t.end(state, b), '}'))
		}
		delete(windows, start)
	}
}

// between is what is behind a text and before the next such byte.
func between(value []byte, text string, end byte) []byte {
	rest := value[bytes.Index(value, []byte(text))+len(text):]
	return rest[:bytes.IndexByte(rest, end)]
}

type fold struct {
	n   int
	sum float64
}

func (f *fold) add(value []byte) {
	v, _ := strconv.ParseFloat(string(between(value, `"value":`, ',')), 64)
	f.n++
	f.sum += v
}

func (f *fold) end(b []byte) []byte {
	return fmt.Appendf(b, `"count":%d,"data":{"n":%d,"sum":%g,"avg":%g}`, f.n, f.n, f.sum, f.sum/float64(f.n))
}

type list [][]byte

func (l *list) add(value []byte) { *l = append(*l, value) }

func (l *list) end(b []byte) []byte { return array(fmt.Appendf(b, `"count":%d,"data":`, len(*l)), *l) }

// shape is what windows are made of.
type shape string

const (
	shapeCount shape = "count" // so many records, in the order they came
	shapeFold  shape = "fold"  // aggregates by key and event time
	shapeList  shape = "list"  // records by key and event time
)

func (s shape) gatherer(p Params, e emit) gatherer {
	switch s {
	case shapeFold:
		return newTimed(p, e, (*fold).add, (*fold).end)
	case shapeList:
		return newTimed(p, e, (*list).add, (*list).end)
	}
	return &counting{size: p.Window, emit: e, waiting: map[int32][][]byte{}}
}

func (s shape) check(p Params) check {
	switch s {
	case shapeFold:
		return foldCheck{p.places()}
	case shapeList:
		return listCheck{newOnceEach(p), p.places()}
	}
	return countCheck{newOnceEach(p)}
}

// windows is how many windows a job's records make.
func (s shape) windows(p Params) int {
	if s == shapeCount {
		return p.Records / p.Window
	}
	return len(p.places())
}

// settings are those of Windrow's workers.
func (s shape) settings(p Params) []string {
	if s == shapeCount {
		return []string{"EMITTER=count", "WINDOW_SIZE=" + strconv.Itoa(p.Window)}
	}
	byTime := []string{"EMITTER=tumbling", "WINDOW_INTERVAL=" + p.Interval.String(), "WINDOW_KEY=device", "EVENT_TIME=ts", "EVENT_TIME_FORMAT=ms",
		"STATE_MAX_BYTES=2GiB"}
	if s == shapeFold {
		byTime = append(byTime, "AGGREGATE=count() as n, sum(value) as sum, avg(value) as avg")
	}
	return byTime
}
