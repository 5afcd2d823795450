package sim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/ingest"
	"github.com/windrow-io/windrow/pkg/journal"
	"github.com/windrow-io/windrow/pkg/process"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/kafka"
	"github.com/windrow-io/windrow/pkg/window"
)

const (
	stream   = "s"
	pipeline = "p"
)

// settle is how long the world may take, once nothing goes wrong any more, to have everything in the output: transactions
// time out, sessions and leases end, back-offs run out.
const settle = 3 * time.Minute

// play is a whole run: faults for a while, then quiet until everything is there.
func (w *world) play() {
	w.note("seed %d: %s", w.seed, w.plan)
	w.kafka.createTopic("in", w.plan.partitions, false)
	for range w.plan.ingests {
		w.startIngest()
	}
	for _, p := range w.pipes {
		w.kafka.createTopic(p.out(), w.plan.outPartitions, false)
		for range w.plan.workers {
			w.startWorker(p)
		}
	}
	for p := range w.plan.partitions {
		w.produce(p)
	}
	if w.plan.direct {
		w.appendDirect()
	}
	w.every(w.plan.scale, w.scale)
	w.every(w.plan.lose, w.lose)
	w.every(w.plan.clock, w.clock)
	w.every(w.plan.oom, w.full)
	w.every(w.plan.move, w.kafka.move)
	w.every(w.plan.compact, w.compact)
	w.every(w.plan.retain, w.retain)
	w.every(500*time.Millisecond, w.redis.save)
	changes := len(w.plan.settings) - 1
	for i := range changes { // one after the other
		w.after(w.plan.duration*time.Duration(i)/time.Duration(changes)+w.spread(w.plan.duration/time.Duration(changes)), func() { w.newSettings(i + 1) })
	}
	end := time.Now().Add(w.plan.duration)
	w.run(w.plan.duration+time.Minute, func() bool { return !time.Now().Before(end) })

	w.calm()
	for _, p := range w.pipes {
		if w.run(settle, p.check.complete); errors.Is(w.failed, errRunOut) {
			w.failed = fmt.Errorf("%w: pipeline %s: %s", errRunOut, p.name, p.check.missing())
		}
		if w.failed != nil {
			break
		}
	}
	end = time.Now().Add(3 * time.Second) // nothing more may come
	w.run(time.Minute, func() bool { return !time.Now().Before(end) })
	w.stopAll()
	for _, p := range w.pipes {
		if w.failed == nil {
			if err := p.check.verify(); err != nil {
				w.failf("pipeline %s: %w", p.name, err)
			}
		}
	}
}

// every has do happen again and again, at random times, until the faults are over.
func (w *world) every(mean time.Duration, do func()) {
	if mean == 0 {
		return
	}
	w.after(time.Duration((0.2+w.rnd.ExpFloat64())*float64(mean)), func() {
		if w.quiet {
			return
		}
		do()
		w.every(mean, do)
	})
}

func (w *world) spread(d time.Duration) time.Duration { return time.Duration(w.rnd.Int64N(int64(d))) }

// calm ends the faults: everybody wakes, what is missing is started.
func (w *world) calm() {
	w.quiet = true
	w.note("calm")
	w.redis.full = false
	w.check.finishSource()
	for _, p := range w.procs {
		p.asleep = time.Time{}
	}
	for _, p := range w.pipes {
		if w.chance(3) { // all is done by those that come new
			for _, x := range w.alive(p.role()) {
				w.kill(x)
			}
		}
		for len(w.alive(p.role())) < w.plan.workers || !w.current(p) {
			w.startWorker(p)
		}
	}
	for len(w.alive("ingest")) < 1 {
		w.startIngest()
	}
}

// current reports whether a worker of a pipeline with its last settings is there.
func (w *world) current(of *pipe) bool {
	for _, p := range w.alive(of.role()) {
		if strings.HasPrefix(p.name, fmt.Sprintf("w%d-", of.version)) {
			return true
		}
	}
	return false
}

// stopAll stops everybody gracefully.
func (w *world) stopAll() {
	if w.failed != nil {
		return
	}
	for _, p := range w.procs {
		if !p.dead {
			p.stop()
		}
	}
	w.run(time.Minute, func() bool {
		for _, p := range w.procs {
			if !p.dead {
				return false
			}
		}
		return true
	})
}

// scale starts, stops or kills processes.
func (w *world) scale() {
	p := w.pipes[w.rnd.IntN(len(w.pipes))]
	role, most := p.role(), w.plan.workers+1
	start := func() { w.startWorker(p) }
	if w.chance(3) {
		role, start, most = "ingest", w.startIngest, w.plan.ingests+1
	}
	ps := w.alive(role)
	switch x := w.rnd.IntN(4); {
	case len(ps) == 0 || x < 2 && len(ps) < most:
		w.count("process started")
		start()
	case x == 2:
		w.count("process stopped gracefully")
		p := ps[w.rnd.IntN(len(ps))]
		w.note("%s is to stop", p.name)
		p.stop()
	default:
		if w.plan.crashes {
			w.count("process killed")
			w.kill(ps[w.rnd.IntN(len(ps))])
		}
	}
}

func (w *world) newSettings(version int) {
	of := w.pipes[0]
	of.version = version
	w.count("new settings")
	w.startWorker(of)
	if w.chance(2) {
		for _, p := range w.alive(of.role()) {
			if !strings.HasPrefix(p.name, fmt.Sprintf("w%d-", version)) {
				p.stop()
			}
		}
	}
}

// clock steps Redis's clock. Some steps forth are followed by one back, and by a fail-over: records that were received when
// it was ahead are followed by others of a time before.
func (w *world) clock() {
	if w.plan.lose == 0 || w.chance(2) {
		w.redis.stepClock()
		return
	}
	w.redis.setClock(time.Second)
	w.after(w.spread(500*time.Millisecond), func() {
		w.redis.setClock(-time.Second)
		w.after(w.spread(500*time.Millisecond), w.lose)
	})
}

func (w *world) lose() {
	if w.quiet {
		return
	}
	if w.chance(3) {
		w.redis.flush()
	} else {
		w.redis.failOver()
	}
}

func (w *world) full() {
	w.note("redis is full")
	w.count("redis full")
	w.redis.full = true
	w.after(time.Duration(w.rnd.ExpFloat64()*float64(time.Second)), func() { w.redis.full = false })
}

func (w *world) compact() {
	for _, p := range w.pipes {
		t, n := w.kafka.topics[journalOf(p.name)], 0
		if t == nil {
			continue
		}
		for _, p := range t.partitions {
			n += p.compact()
		}
		if n > 0 {
			w.count("journal compacted")
		}
	}
}

// retain removes of the source what no pipeline needs any more, by what its positions say.
func (w *world) retain() {
	groups := []string{stream}
	if len(w.pipes) > 1 { // of one that Redis has forgotten ingest knows nothing
		groups = []string{stream, w.pipes[0].name, w.pipes[1].name}
	}
	for _, p := range w.kafka.topics["in"].partitions {
		least := int64(math.MaxInt64)
		for _, g := range groups {
			least = min(least, w.kafka.group(g).offsets[p.at].offset) // 0: none yet
		}
		before := p.start
		p.retain(least)
		if p.start > before {
			w.count("source retention")
			w.note("retention: %v begins at %d", p.at, p.start)
		}
	}
}

// produce appends a batch to a source partition now and then: some in transactions, some of those aborted.
func (w *world) produce(part int) {
	p := w.kafka.topics["in"].partitions[part]
	w.every(w.plan.pace, func() {
		n := 1 + w.rnd.IntN(6)
		if !w.chance(8) {
			w.check.source(p, n, record.Producer{ID: -1, Epoch: -1}, 0)
			return
		}
		w.kafka.nextID++
		id := record.Producer{ID: w.kafka.nextID}
		s := w.check.source(p, n, id, 0)
		w.after(w.spread(200*time.Millisecond), func() {
			if s.state == open {
				w.check.end(p, s, w.chance(2))
			}
		})
	})
}

// appendDirect is a program that appends records itself.
func (w *world) appendDirect() {
	w.every(w.plan.pace/4, func() {
		if w.redis.full {
			return
		}
		var out []byte
		d := w.check.direct()
		w.redis.command("XADD", [][]byte{[]byte("XADD"), []byte("windrow:{" + stream + "/direct}:lane:direct/0"), []byte("*"), []byte("data"), d.json()}, &out, nil)
	})
}

// conditions fail the run when a loss is reported: there is none.
type conditions struct{ w *world }

func (c conditions) Warn(name string, err error) { c.Set(name, err) }

func (c conditions) Set(name string, err error) {
	if err == nil || name != "source-lost" && !strings.HasPrefix(name, "data ") {
		return
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.w.alarm == nil {
		c.w.alarm = fmt.Errorf("a loss is reported that is none: %w", err)
	}
}

func (w *world) logger(name string) *zap.Logger {
	if w.trace == nil {
		return zap.NewNop()
	}
	return traceLogger(w, name)
}

func (p *proc) buffer() (*buffer.Buffer, error) {
	return buffer.Open(buffer.Options{URL: "redis://redis:6379", Stream: stream, Dial: p.dial, Logger: p.w.logger(p.name)})
}

func (p *proc) cluster() *wire.Cluster {
	return wire.New(wire.Config{Brokers: []string{"kafka:9092"}, ClientID: p.name, Transport: transport{p}})
}

func (w *world) startIngest() {
	w.spawn("ingest", fmt.Sprintf("i%d", len(w.procs)), func(ctx context.Context, stop <-chan struct{}, p *proc) error {
		b, err := p.buffer()
		if err != nil {
			return err
		}
		defer b.Close()
		work, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-stop:
			case <-work.Done():
			}
			cancel()
		}()
		in, err := ingest.New(ingest.Options{
			Cluster: p.cluster(), Buffer: b, Topics: "in", Group: stream, ReadCommitted: true, MaxBytes: w.plan.bufferBytes,
			Shards: w.plan.shards, ShardKey: shardKey(w.plan.shards),
			Join: p.join(stream), Abort: ctx, Conditions: conditions{w}, Logger: w.logger(p.name),
		})
		if err != nil {
			return err
		}
		return in.Run(work)
	})
}

// shardKey is SHARD_KEY, where it has a meaning.
func shardKey(shards int) string {
	if shards == 0 {
		return ""
	}
	return "k"
}

func (w *world) startWorker(of *pipe) {
	settings := of.settings[of.version]
	w.spawn(of.role(), fmt.Sprintf("w%d-%d", of.version, len(w.procs)), func(ctx context.Context, stop <-chan struct{}, p *proc) error {
		b, err := p.buffer()
		if err != nil {
			return err
		}
		defer b.Close()
		c := p.cluster()
		var s sink.Sink = &mongoSink{p, of.mongo}
		if of.sink != "mongo" {
			s = kafka.New(c, kafka.Options{Topic: of.out(), Logger: w.logger(p.name)})
		}
		defer s.Close(ctx)
		o := process.Options{
			Buffer: b, Source: c, Output: c, Sink: s, Settings: settings,
			Journal: journal.Options{Topic: journalOf(of.name), Stream: stream, Pipeline: of.name, Partitions: 2, Timeout: w.plan.transaction,
				AtLeastOnce: of.sink == "at-least-once", Logger: w.logger(p.name)},
			Name: p.name, LeaseTTL: w.plan.lease, Conditions: conditions{w}, Logger: w.logger(p.name),
		}
		if of.handler {
			o.Handler, o.HandlerAttempts, o.HandlerConcurrency = p.handle, 1000, 3
		}
		worker, err := process.New(o)
		if err != nil {
			return err
		}
		return worker.Run(ctx, stop)
	})
}

// handle is a user's function somewhere else, that passes windows on as they are.
func (p *proc) handle(ctx context.Context, w *window.Window) (any, error) {
	c := &call{label: "handler " + w.ID(0), out: true}
	c.step = func() bool { return true }
	if _, err := p.ask(c, ctx.Done(), time.After(5*time.Second)); err != nil {
		return nil, err
	}
	return w, nil
}

// half is what stands in for the pauses' jitter.
func half(n time.Duration) time.Duration { return n / 2 }
