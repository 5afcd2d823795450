package sim

import (
	"context"
	"time"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/journal"
)

// warmUp has what the programs share process-wide made outside of any simulation: a channel made within one (the
// compressor's of checkpoints has one) is of no use to the next.
func warmUp() error {
	w := &world{timer: time.NewTimer(0), counts: map[string]int{}, rnd: newRand(0), quiet: true, plan: plan{brokers: 1}}
	w.kafka = newKafka(w)
	p := &proc{w: w, at: func(c *call) reply {
		for len(w.events) > 0 && time.Until(w.events[0].at) < time.Second { // markers, not time-outs
			e := w.events[0]
			w.events = w.events[1:]
			e.do()
		}
		for !c.step() {
			c.until = time.Time{}
		}
		return reply{out: c.out}
	}}
	ctx := context.Background()
	j, err := journal.Open(ctx, wire.New(wire.Config{Brokers: []string{"kafka:9092"}, Transport: transport{p}}), journal.Options{Topic: "warm", Stream: "s", Pipeline: "p"})
	if err != nil {
		return err
	}
	for range 2 {
		o, _, err := j.Take(ctx, "s", 0, nil)
		if err != nil {
			return err
		}
		if err := o.Checkpoint(ctx, &journal.Checkpoint{}); err != nil {
			return err
		}
	}
	return nil
}
