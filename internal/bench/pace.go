package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// pace has every side work on records that come at a steady rate.
func (b *bench) pace(ctx context.Context, s *Series) error {
	s.Rate, s.Seconds, s.Params.Records = b.Options.Rate, b.Seconds, 0
	return b.live(ctx, s, func(ctx context.Context, f *flow, cpu func() ([]Use, error)) (*Round, error) {
		perPartition := func(d time.Duration) int {
			n := int(float64(s.Rate) * d.Seconds() / float64(s.Partitions))
			return max(1, n/s.Window) * s.Window
		}
		if _, err := f.run(ctx, perPartition(b.WarmUp), s.Rate); err != nil { // … and the broker's code is compiled
			return nil, err
		}
		before, err := cpu()
		if err != nil {
			return nil, err
		}
		begin := time.Now()
		ds, err := f.run(ctx, perPartition(time.Duration(s.Seconds)*time.Second), s.Rate)
		if err != nil {
			return nil, err
		}
		took := time.Since(begin)
		after, err := cpu()
		return &Round{Latency: percentiles(ds), Programs: cores(before, after, took)}, err
	}, Bare, Transactions, Windrow)
}

// settle is how long it takes until all that windows set off is over: their checkpoint above all.
const settle = 5 * time.Second

// rest has Windrow wait for records that don't come. A bare loop takes nothing then.
func (b *bench) rest(ctx context.Context, s *Series) error {
	s.Seconds, s.Params.Records = b.Seconds, 0
	return b.live(ctx, s, func(ctx context.Context, f *flow, cpu func() ([]Use, error)) (*Round, error) {
		if _, err := f.run(ctx, s.Window, 0); err != nil {
			return nil, err
		}
		if err := sleep(ctx, settle); err != nil {
			return nil, err
		}
		before, err := cpu()
		if err != nil {
			return nil, err
		}
		begin := time.Now()
		if err := sleep(ctx, time.Duration(s.Seconds)*time.Second); err != nil { // what is measured is that nothing happens
			return nil, err
		}
		took := time.Since(begin)
		after, err := cpu()
		if err != nil {
			return nil, err
		}
		_, err = f.run(ctx, s.Window, 0) // it was idle, not dead
		return &Round{Programs: cores(before, after, took)}, err
	}, Windrow)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// cores is the share of a processor that each program took, in per cent.
func cores(before, after []Use, took time.Duration) []Use {
	for i := range after {
		after[i].Core = 100 * (after[i].CPU - before[i].CPU) / took.Seconds()
	}
	return after
}

// measurement writes and reads what it needs, and says what the programs took; cpu is what they have used so far.
type measurement func(ctx context.Context, f *flow, cpu func() ([]Use, error)) (*Round, error)

// live has sides work on records that are written, and windows that are read, while they run.
func (b *bench) live(ctx context.Context, s *Series, measure measurement, names ...string) error {
	var sides []side
	for _, name := range names {
		sides = append(sides, side{name, func(ctx context.Context, round string) (*Round, error) {
			if name == Windrow {
				return b.liveWindrow(ctx, s, round, measure)
			}
			return b.liveLoop(ctx, s, round, name == Transactions, measure)
		}})
	}
	return b.rounds(ctx, s, sides...)
}

func (b *bench) liveLoop(ctx context.Context, s *Series, name string, transactions bool, measure measurement) (*Round, error) {
	f, err := b.newFlow(ctx, s, name)
	if err != nil {
		return nil, err
	}
	defer f.close()
	p, err := b.startLoop(ctx, b.output(s, f.out), Loop{Params: s.Params, Shape: s.shape, In: f.in, Transactions: transactions})
	if err != nil {
		return nil, err
	}
	defer p.kill()
	f.failed = p.failed
	r, err := measure(ctx, f, func() ([]Use, error) {
		t, err := cpuTime(p.pid())
		return []Use{{Program: "loop", CPU: t.Seconds()}}, err
	})
	if err != nil {
		return nil, err
	}
	if err := p.stop(); err != nil {
		return nil, err
	}
	uses, err := loopUses(p, f.records())
	if err != nil {
		return nil, err
	}
	r.Core = sumOf(r.Programs).Core
	uses[0].Core = r.Core
	r.Programs = uses
	return r, f.check(ctx, s)
}

func (b *bench) liveWindrow(ctx context.Context, s *Series, name string, measure measurement) (*Round, error) {
	f, err := b.newFlow(ctx, s, name)
	if err != nil {
		return nil, err
	}
	defer f.close()
	l, err := b.openPipeline(ctx, s, name)
	if err != nil {
		return nil, err
	}
	defer l.close(ctx)
	if err := l.startIngest(f.in); err != nil {
		return nil, err
	}
	if err := l.startWorkers(s); err != nil {
		return nil, err
	}
	f.failed = l.failed
	r, err := measure(ctx, f, func() ([]Use, error) { return l.cpu(ctx) })
	if err != nil {
		return nil, err
	}
	if err := l.add(ctx, r.Programs, f.records()); err != nil {
		return nil, err
	}
	r.Core = sumOf(r.Programs).Core
	if err := l.stop(); err != nil {
		return nil, err
	}
	return r, f.check(ctx, s)
}

// flow writes records and reads the windows that come of them.
type flow struct {
	b                  *bench
	s                  *Series
	in, out            string // topics
	producer, consumer *kgo.Client
	written            int          // records of each partition
	failed             func() error // whether the side has ended
}

func (b *bench) newFlow(ctx context.Context, s *Series, name string) (_ *flow, err error) {
	f := &flow{b: b, s: s, in: name + ".in", out: name + ".out"}
	if err := b.kafka.createTopic(ctx, f.in, s.Partitions, 0); err != nil {
		return nil, err
	}
	if f.producer, err = b.kafka.connect(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), codec(s.Compression), kgo.UnknownTopicRetries(-1)); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *flow) close() {
	f.producer.Close()
	if f.consumer != nil {
		f.consumer.Close()
	}
}

func (f *flow) records() int { return f.written * f.s.Partitions }

// run writes so many further records to each partition, at a rate – 0: as fast as it can –, and reads their windows. It
// returns the time from when each window's last record was due until the window was read.
func (f *flow) run(ctx context.Context, perPartition, rate int) (ds []time.Duration, err error) {
	if f.consumer == nil {
		if f.consumer, err = f.b.kafka.connect(kgo.ConsumeTopics(f.out), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(500*time.Millisecond)); err != nil {
			return nil, err
		}
	}
	read := make(chan error, 1)
	go func() {
		var err error
		ds, err = f.read(ctx, perPartition/f.s.Window*f.s.Partitions)
		read <- err
	}()
	werr := f.write(ctx, perPartition, rate)
	return ds, errors.Join(<-read, werr)
}

// write writes records, each of which tells when it was due: the time when it was really written would hide what stalls.
func (f *flow) write(ctx context.Context, perPartition, rate int) error {
	begin := time.Now()
	var failed kgo.FirstErrPromise
	for i := range perPartition * f.s.Partitions {
		due := begin
		if rate > 0 {
			due = begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
			if wait := time.Until(due); wait > 500*time.Microsecond {
				time.Sleep(wait)
			}
		}
		p := int32(i % f.s.Partitions)
		value := f.s.value(p, f.written+i/f.s.Partitions, due.UnixMicro())
		f.producer.Produce(ctx, &kgo.Record{Topic: f.in, Partition: p, Value: value}, failed.Promise())
	}
	f.written += perPartition
	if err := f.producer.Flush(ctx); err != nil {
		return err
	}
	if err := failed.Err(); err != nil {
		return fmt.Errorf("writing to %s: %w", f.in, err)
	}
	return nil
}

// read reads so many windows.
func (f *flow) read(ctx context.Context, windows int) (ds []time.Duration, err error) {
	for begin := time.Now(); len(ds) < windows; {
		poll, cancel := context.WithTimeout(ctx, time.Second)
		fetches := f.consumer.PollFetches(poll)
		now := time.Now()
		cancel()
		if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return nil, err
		}
		for _, r := range fetches.Records() {
			at := bytes.LastIndex(r.Value, []byte(`"ts":`))
			if at < 0 {
				return nil, fmt.Errorf("a window without records: %.100s", r.Value)
			}
			us, err := strconv.ParseInt(string(between(r.Value[at:], `"ts":`, ',')), 10, 64)
			if err != nil {
				return nil, err
			}
			ds = append(ds, now.Sub(time.UnixMicro(us)))
		}
		if err := f.failed(); err != nil {
			return nil, err
		}
		if time.Since(begin) > patience {
			return nil, fmt.Errorf("waited %v in vain for %d windows: %d came", patience, windows, len(ds))
		}
	}
	return ds, nil
}

// check checks all that has come out.
func (f *flow) check(ctx context.Context, s *Series) error {
	all := *s
	all.Params.Records = f.records()
	if err := f.b.checkOutput(ctx, &all, f.b.output(&all, f.out)); err != nil {
		return err
	}
	return f.b.kafka.deleteTopics(ctx, f.in)
}
