package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// throughput has every side work on the same records, as fast as it can.
func (b *bench) throughput(ctx context.Context, s *Series) error {
	in := fmt.Sprintf("%s.%s.%s.in", b.id, s.Job, s.Compression)
	begin := time.Now()
	if err := b.kafka.load(ctx, in, s.Compression, s.Params); err != nil {
		return err
	}
	b.Progress("%s, %s: %d records written (%v)", s.Job, s.Compression, s.Params.Records, time.Since(begin).Round(100*time.Millisecond))
	loop := func(transactions bool) func(context.Context, string) (*Round, error) {
		return func(ctx context.Context, name string) (*Round, error) {
			return b.loopRound(ctx, s, in, name, transactions)
		}
	}
	err := b.rounds(ctx, s, side{Bare, loop(false)}, side{Transactions, loop(true)},
		side{Windrow, func(ctx context.Context, name string) (*Round, error) { return b.windrowRound(ctx, s, in, name) }})
	if err != nil {
		return err
	}
	return b.kafka.deleteTopics(ctx, in)
}

// startLoop makes the output topic and starts a bare loop.
func (b *bench) startLoop(ctx context.Context, l Loop) (*part, error) {
	if err := b.kafka.createTopic(ctx, l.Out, outPartitions, l.maxMessage()); err != nil {
		return nil, err
	}
	if l.Transactions {
		if err := b.kafka.createTopic(ctx, l.Out+positionsSuffix, 1, 0); err != nil {
			return nil, err
		}
	}
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
	out := name + ".out"
	last := s.Params.Records
	if s.Interval > 0 {
		last += s.Partitions // the records that close the windows
	}
	p, err := b.startLoop(ctx, Loop{Params: s.Params, Shape: s.shape, In: in, Out: out, Until: last, Transactions: transactions})
	if err != nil {
		return nil, err
	}
	defer p.kill()
	begin := p.begin
	first, err := b.firstWindow(ctx, out, func() error { return nil }) // it may have ended in good order
	if err != nil {
		return nil, err
	}
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	if err := b.kafka.settled(ctx, out); err != nil {
		return nil, err
	}
	r := &Round{Start: first.Sub(begin).Seconds(), Rate: float64(s.Params.Records) / time.Since(first).Seconds()}
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
	begin := time.Now()
	if err := l.startIngest(in); err != nil {
		return nil, err
	}
	if err := l.startWorkers(s); err != nil {
		return nil, err
	}
	first, err := b.firstWindow(ctx, l.out, l.failed)
	if err != nil {
		return nil, err
	}
	done, used, err := l.wait(ctx, s.shape.windows(s.Params))
	if err != nil {
		return nil, err
	}
	r := &Round{Start: first.Sub(begin).Seconds(), Rate: float64(s.Params.Records) / done.Sub(first).Seconds(), Programs: used}
	if err := l.add(ctx, r.Programs, s.Params.Records); err != nil {
		return nil, err
	}
	r.CPU = sumOf(r.Programs).CPU
	if err := l.stop(); err != nil {
		return nil, err
	}
	return r, b.checkOutput(ctx, s, l.out)
}

// firstWindow waits until out holds something, and tells when it did.
func (b *bench) firstWindow(ctx context.Context, out string, failed func() error) (time.Time, error) {
	err := until(ctx, "the first window", func() (bool, error) {
		n, err := b.kafka.end(ctx, out)
		if err == nil {
			err = failed()
		}
		return n > 0, err
	})
	return time.Now(), err
}

// checkOutput reads an output, checks it, and deletes it.
func (b *bench) checkOutput(ctx context.Context, s *Series, out string) error {
	c := s.shape.check(s.Params)
	err := b.kafka.read(ctx, out, func(value []byte) error {
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
	return b.kafka.deleteTopics(ctx, out)
}
