// Package tee writes windows to several sinks.
//
// What a transactional one among them writes is in the decision's transaction; the others are delivered after it, in the
// order given, and again after a takeover if that may have been missed. Dead letters go to one of the sinks; what is too
// large for a sink becomes a dead letter of that sink.
package tee

import (
	"context"
	"errors"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/window"
)

// Sink is several sinks as one. Safe for concurrent use.
type Sink struct {
	sinks []sink.Sink
	dead  int
}

var _ sink.Sink = (*Sink)(nil)

// New makes a Sink of several; dead is the index of the one that dead letters go to.
func New(dead int, sinks ...sink.Sink) *Sink { return &Sink{sinks: sinks, dead: dead} }

// Transactional reports whether all of them are: then nothing is to be delivered.
func (s *Sink) Transactional() bool {
	for _, x := range s.sinks {
		if !x.Transactional() {
			return false
		}
	}
	return true
}

// Group returns an empty group for a shard's windows.
func (s *Sink) Group(stream, pipeline, shard string) sink.Group {
	g := &group{dead: s.dead, groups: make([]sink.Group, len(s.sinks)), outside: make([]bool, len(s.sinks)), delivered: make([]bool, len(s.sinks))}
	for i, x := range s.sinks {
		g.groups[i], g.outside[i] = x.Group(stream, pipeline, shard), !x.Transactional()
	}
	return g
}

// Check checks each of them.
func (s *Sink) Check(ctx context.Context) error {
	var errs []error
	for _, x := range s.sinks {
		errs = append(errs, x.Check(ctx))
	}
	return errors.Join(errs...)
}

// Close closes each of them.
func (s *Sink) Close(ctx context.Context) error {
	var errs []error
	for _, x := range s.sinks {
		errs = append(errs, x.Close(ctx))
	}
	return errors.Join(errs...)
}

// group is a group of each sink.
type group struct {
	groups    []sink.Group
	outside   []bool // the transaction
	delivered []bool // since the last Reset
	dead      int
	n         int
	all       []wire.Batch
}

// Add adds a window to each.
func (g *group) Add(now int64, w *window.Window) {
	g.n++
	for _, x := range g.groups {
		x.Add(now, w)
	}
}

// Dead adds a dead letter to the one that is to have them.
func (g *group) Dead(now int64, d *sink.Dead) {
	g.n++
	g.groups[g.dead].Dead(now, d)
}

// Outside is the group of those outside the transaction alone: see sink.Outside.
func (g *group) Outside() sink.Group { return outside{g} }

type outside struct{ *group }

func (o outside) Add(now int64, w *window.Window) {
	o.n++
	for i, x := range o.groups {
		if o.outside[i] {
			x.Add(now, w)
		}
	}
}

func (o outside) Dead(now int64, d *sink.Dead) {
	if o.outside[o.dead] {
		o.group.Dead(now, d)
	}
}

// Len is the number of windows and dead letters added.
func (g *group) Len() int { return g.n }

// Size is their size in bytes, in all sinks together.
func (g *group) Size() (size int) {
	for _, x := range g.groups {
		size += x.Size()
	}
	return size
}

// Batches is what belongs into the transaction.
func (g *group) Batches() []wire.Batch {
	g.all = g.all[:0]
	for i, x := range g.groups {
		if !g.outside[i] {
			g.all = append(g.all, x.Batches()...)
		}
	}
	return g.all
}

// Deliver delivers to each sink outside the transaction. After an error it goes on with the one that failed.
func (g *group) Deliver(ctx context.Context) error {
	for i, x := range g.groups {
		if !g.outside[i] || g.delivered[i] || x.Len() == 0 {
			continue
		}
		if err := x.Deliver(ctx); err != nil {
			return err
		}
		g.delivered[i] = true
	}
	return nil
}

// Reset makes g empty.
func (g *group) Reset() {
	for _, x := range g.groups {
		x.Reset()
	}
	clear(g.delivered)
	clear(g.all)
	g.all, g.n = g.all[:0], 0
}
