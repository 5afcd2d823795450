package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/windrow-io/windrow/pkg/buffer"
)

// throughput has every side work on the same records, as fast as it can.
func (b *bench) throughput(ctx context.Context, s *Series) error {
	in := fmt.Sprintf("%s.%s.%s.in", b.id, s.Job, s.Compression)
	if err := b.load(ctx, s, in, true); err != nil {
		return err
	}
	loop := func(transactions bool) func(context.Context, string) (*Round, error) {
		return func(ctx context.Context, name string) (*Round, error) {
			return b.loopRound(ctx, s, in, name, transactions)
		}
	}
	sides := []side{{Bare, loop(false)}}
	if s.Sink == sinkKafka {
		sides = append(sides, side{Transactions, loop(true)})
	}
	sides = append(sides, side{Windrow, func(ctx context.Context, name string) (*Round, error) { return b.windrowRound(ctx, s, in, name) }})
	if err := b.rounds(ctx, s, sides...); err != nil {
		return err
	}
	return b.kafka.deleteTopics(ctx, in)
}

// load makes a topic of the job's records.
func (b *bench) load(ctx context.Context, s *Series, topic string, closed bool) error {
	begin := time.Now()
	if err := b.kafka.load(ctx, topic, s.Compression, s.Params, closed); err != nil {
		return err
	}
	b.Progress("%s: %d records written (%v)", s.name(), s.Params.Records, time.Since(begin).Round(100*time.Millisecond))
	return nil
}

// startLoop makes the output and starts a bare loop.
func (b *bench) startLoop(ctx context.Context, out output, l Loop) (*part, error) {
	if err := out.create(ctx); err != nil {
		return nil, err
	}
	out.loop(&l)
	spec, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	return startPart("the bare loop", append(b.Programs[:len(b.Programs):len(b.Programs)], "loop", string(spec)), b.Environ)
}

// loopUses is what a loop that has ended says of itself.
func loopUses(p *part, records int) (uses []Use, err error) {
	var u loopUse
	if err := json.NewDecoder(bytes.NewReader(p.out.Bytes())).Decode(&u); err != nil {
		return nil, fmt.Errorf("the bare loop says %q: %w", p.out.String(), err)
	}
	n := float64(records)
	return []Use{{Program: "loop", CPU: u.CPU.Seconds() / n * 1e6, Peak: u.Peak, Allocs: float64(u.Allocs) / n, AllocBytes: float64(u.Bytes) / n}}, nil
}

func (b *bench) loopRound(ctx context.Context, s *Series, in, name string, transactions bool) (*Round, error) {
	out := b.output(s, name+".out")
	last := s.Params.Records
	if s.Interval > 0 {
		last += s.Partitions // the records that close the windows
	}
	p, err := b.startLoop(ctx, out, Loop{Params: s.Params, Shape: s.shape, In: in, Until: last, Transactions: transactions})
	if err != nil {
		return nil, err
	}
	defer p.kill()
	begin := p.begin
	if !s.held {
		if begin, err = firstWindow(ctx, out, func() error { return nil }); err != nil { // the loop may have ended in good order
			return nil, err
		}
	}
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	if err := out.settled(ctx); err != nil {
		return nil, err
	}
	r := &Round{Start: begin.Sub(p.begin).Seconds(), Rate: float64(s.Params.Records) / time.Since(begin).Seconds()}
	if r.Programs, err = loopUses(p, s.Params.Records); err != nil {
		return nil, err
	}
	r.CPU = sumOf(r.Programs).CPU
	return r, b.checkOutput(ctx, s, out)
}

func (b *bench) windrowRound(ctx context.Context, s *Series, in, name string) (*Round, error) {
	l, err := b.openPipeline(ctx, s, name)
	if err != nil {
		return nil, err
	}
	defer l.close(ctx)
	if s.held {
		in = name + ".in"
		if err := b.load(ctx, s, in, false); err != nil {
			return nil, err
		}
	}
	started := time.Now()
	if err := l.startIngest(in, s.ingest...); err != nil {
		return nil, err
	}
	if s.catchUp {
		if err := l.waitBuffered(ctx, s, in); err != nil {
			return nil, err
		}
		started = time.Now()
	}
	if err := l.startWorkers(s); err != nil {
		return nil, err
	}
	r, begin := &Round{}, started
	if s.held {
		held, err := l.hold(ctx, s, in)
		if err != nil {
			return nil, err
		}
		r.PerKey, begin = held.perKey, begin.Add(held.pause)
	} else if begin, err = firstWindow(ctx, l.out, l.failed); err != nil {
		return nil, err
	} else {
		r.Start = begin.Sub(started).Seconds()
	}
	done, used, err := l.wait(ctx, s.shape.windows(s.Params))
	if err != nil {
		return nil, err
	}
	r.Rate, r.Programs = float64(s.Params.Records)/done.Sub(begin).Seconds(), used
	if err := l.add(ctx, r.Programs, s.Params.Records); err != nil {
		return nil, err
	}
	r.CPU = sumOf(r.Programs).CPU
	if err := l.stop(); err != nil {
		return nil, err
	}
	return r, b.checkOutput(ctx, s, l.out)
}

// waitBuffered waits until ingest has buffered all records, as the tails of the lanes tell.
func (l *pipeline) waitBuffered(ctx context.Context, s *Series, in string) error {
	b, err := buffer.Open(buffer.Options{URL: l.redis.url, Stream: l.stream})
	if err != nil {
		return err
	}
	defer b.Close()
	var lanes []*buffer.Appender
	for p := range s.Partitions {
		lane := fmt.Sprintf("%s/%d", in, p) // and its shard
		a := b.Appender(lane, lane)
		defer a.Close()
		lanes = append(lanes, a)
	}
	return until(ctx, "all records in the buffer", func() (bool, error) {
		n := int64(0)
		for _, a := range lanes {
			tail, err := a.Tail(ctx)
			if err != nil {
				return false, err
			}
			n += tail.Next
		}
		return n >= int64(s.Params.Records), l.failed()
	})
}

// holding is what there is to say of a pipeline all of whose windows are open.
type holding struct {
	perKey float64       // bytes that the workers' memory has grown by, per key
	pause  time.Duration // from when that was seen until the records that close the windows were written
}

// hold waits until all records are in open windows, sees what memory they take, and has the windows closed.
func (l *pipeline) hold(ctx context.Context, s *Series, in string) (h holding, err error) {
	peak := func() (sum int64, err error) {
		for _, p := range l.workers() {
			n, err := peakMemory(p.pid())
			if err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	}
	err = until(ctx, "the workers", func() (bool, error) {
		_, err := l.metric(ctx, "windrow_process_records_total")
		return err == nil, l.failed()
	})
	if err != nil {
		return h, err
	}
	empty, err := peak()
	if err != nil {
		return h, err
	}
	err = until(ctx, "all records in windows", func() (bool, error) {
		n, err := l.metric(ctx, "windrow_process_records_total")
		return int(n) >= s.Params.Records, err
	})
	if err != nil {
		return h, err
	}
	begin := time.Now()
	full, err := peak()
	if err != nil {
		return h, err
	}
	h.perKey = float64(full-empty) / float64(s.Keys)
	err = l.b.kafka.closeWindows(ctx, in, s.Compression, s.Params)
	h.pause = time.Since(begin)
	return h, err
}

// firstWindow waits until out holds something, and tells when it did.
func firstWindow(ctx context.Context, out output, failed func() error) (time.Time, error) {
	err := until(ctx, "the first window", func() (bool, error) {
		n, err := out.some(ctx)
		if err == nil {
			err = failed()
		}
		return n > 0, err
	})
	return time.Now(), err
}

// checkOutput reads an output, checks it, and deletes it.
func (b *bench) checkOutput(ctx context.Context, s *Series, out output) error {
	c := s.shape.check(s.Params)
	err := out.read(ctx, func(value []byte) error {
		w, err := readWindow(value)
		if err != nil {
			return err
		}
		return c.window(w)
	})
	if err == nil {
		err = c.end()
	}
	if err != nil {
		return fmt.Errorf("the output is wrong: %w", err)
	}
	return out.drop(ctx)
}
