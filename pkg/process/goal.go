package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/source"
)

// Goal makes a worker's run end by itself: when what was there at its start is processed, committed and delivered.
type Goal struct {
	Ends  map[source.TopicPartition]End // of the partitions that held something
	Flush bool                          // whether windows that are not complete are emitted, or kept for the next run
}

// End is where a partition ended.
type End struct {
	Topic  source.ID
	Offset int64
}

// Summary is what a run did.
type Summary struct {
	Records int64 // given to the emitter
	Windows int64 // emitted
	Dead    int64 // records and windows that became dead letters
	Waiting int64 // records that are kept for the next run
	Done    bool  // the goal was reached
}

func (s *Summary) add(o Summary) {
	s.Records += o.Records
	s.Windows += o.Windows
	s.Dead += o.Dead
	s.Waiting += o.Waiting
}

// ErrStopped is returned by a run with a goal that was stopped before it had reached it.
var ErrStopped = errors.New("stopped before everything was processed: run it again, it goes on from here")

// FindGoal returns where the topics' partitions end now, as a reader of committed records sees them, or of all. A topic that
// is named and isn't there is an error that waiting does not mend.
func FindGoal(ctx context.Context, c *wire.Cluster, topics *source.Topics, readCommitted bool) (*Goal, error) {
	g := &Goal{Ends: map[source.TopicPartition]End{}}
	all, err := c.Topics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the topics: %w", err)
	}
	there := map[string]bool{}
	for i := range all {
		t := &all[i]
		if read, _ := topics.Match(t); !read {
			continue
		}
		if t.Err != nil {
			return nil, fmt.Errorf("topic %s: %w", t.Name, t.Err)
		}
		there[t.Name] = true
		var partitions []int32
		for _, p := range t.Partitions {
			partitions = append(partitions, p.ID)
		}
		first, err := c.Offsets(ctx, t.Name, partitions, wire.Earliest, readCommitted)
		if err != nil {
			return nil, fmt.Errorf("where topic %s begins: %w", t.Name, err)
		}
		end, err := c.Offsets(ctx, t.Name, partitions, wire.Latest, readCommitted)
		if err != nil {
			return nil, fmt.Errorf("where topic %s ends: %w", t.Name, err)
		}
		for p, at := range end {
			if at > first[p] {
				g.Ends[source.TopicPartition{Topic: t.Name, Partition: p}] = End{Topic: t.ID, Offset: at}
			}
		}
	}
	for _, name := range topics.Names() {
		if !there[name] {
			return nil, fmt.Errorf("%w: topic %s does not exist", ErrNoTopic, name)
		}
	}
	return g, nil
}

// ErrNoTopic: a topic that is to be read to its end isn't there.
var ErrNoTopic = errors.New("there is nothing to process")

// goal is a worker's way to its Goal.
type goal struct {
	Goal
	w       *Worker
	reached chan struct{} // closed when every shard is done

	direct int64 // position where the direct lane ended

	mu      sync.Mutex
	shards  map[string]bool // those to be done → whether they are
	summary Summary
}

func newGoal(w *Worker, g *Goal) *goal {
	if g == nil {
		return nil
	}
	return &goal{Goal: *g, w: w, reached: make(chan struct{})}
}

// pollGoal is how often a worker looks how far the shards are.
const pollGoal = 100 * time.Millisecond

// prepare waits until every partition has its lane: only then is it known where the pipeline starts.
func (g *goal) prepare(ctx context.Context) error {
	shards, err := g.w.o.Buffer.Shards(ctx)
	if err != nil {
		return err
	}
	settings, _, err := g.w.o.Buffer.Settings(ctx)
	if err != nil {
		return err
	}
	if g.direct, err = g.w.o.Buffer.DirectEnd(ctx); err != nil {
		return err
	}
	g.shards = map[string]bool{}
	for shard := range shards {
		g.shards[shard] = false
	}
	for tp := range g.Ends {
		in := 0 // shards
		for _, lanes := range shards {
			if newest(lanes, tp) != "" {
				in++
			}
		}
		if in < max(settings.Shards, 1) {
			return fmt.Errorf("ingest has not come to partition %s yet", tp)
		}
	}
	return nil
}

// newest is the lane of a partition's last epoch among lanes; empty if there is none.
func newest(lanes []string, tp source.TopicPartition) string {
	name, epoch := "", -1
	for _, lane := range lanes {
		if l, err := source.ParseLane(lane); err == nil && l.TopicPartition == tp && l.Epoch > epoch {
			name, epoch = lane, l.Epoch
		}
	}
	return name
}

// either is closed when stop is, or when the goal is reached.
func (g *goal) either(ctx context.Context, stop <-chan struct{}) <-chan struct{} {
	c := make(chan struct{})
	go func() {
		select {
		case <-stop:
		case <-g.reached:
		case <-ctx.Done():
		}
		close(c)
	}()
	return c
}

// missed reports whether the goal has not been reached.
func (g *goal) missed() bool {
	select {
	case <-g.reached:
		return false
	default:
		return true
	}
}

// run watches the shards, tells the owners of those that are far enough to finish, and closes reached at the end.
func (g *goal) run(ctx context.Context) {
	tick := time.NewTicker(pollGoal)
	defer tick.Stop()
	for {
		left, all, err := g.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			g.w.log.Warn("could not look how far the shards are", zap.Error(err))
		case len(left) == 0:
			g.w.o.Conditions.Set("caught up", nil)
			close(g.reached)
			return
		default:
			g.w.o.Conditions.Set("caught up", fmt.Errorf("%d of %d shards are not done: %s", len(left), all, strings.Join(left[:min(len(left), 3)], ", ")))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look returns the shards that are not done, of how many.
func (g *goal) look(ctx context.Context) (left []string, all int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	lanes, err := g.w.o.Buffer.Shards(ctx)
	if err != nil {
		return nil, 0, err
	}
	g.mu.Lock()
	all = len(g.shards)
	for shard, done := range g.shards {
		if !done {
			left = append(left, shard)
		}
	}
	g.mu.Unlock()
	slices.Sort(left)
	if len(left) == 0 {
		return nil, all, nil
	}
	leases, err := g.w.o.Buffer.Leases(ctx, g.w.o.Settings.Pipeline, left)
	if err != nil {
		return nil, 0, err
	}
	for _, shard := range left {
		far, err := g.far(ctx, shard, lanes[shard])
		if err != nil {
			return nil, 0, err
		}
		if !far {
			continue
		}
		if s := g.w.slot(shard); s != nil {
			s.finish()
		} else if holder, held := leases[shard]; held && holder != g.w.o.Name {
			g.done(shard, Summary{}) // by another worker
		}
	}
	return left, all, nil
}

// far reports whether a shard's committed position is where its lanes ended, or behind it.
func (g *goal) far(ctx context.Context, shard string, lanes []string) (bool, error) {
	all, err := g.w.o.Buffer.Marks(ctx, shard)
	if err != nil {
		return false, err
	}
	marks := all[g.w.o.Settings.Pipeline]
	if shard == buffer.Direct {
		return marks[buffer.DirectLane].Position >= g.direct, nil
	}
	for tp, end := range g.Ends {
		lane := newest(lanes, tp)
		if lane == "" {
			continue // of another shard
		}
		a := g.w.o.Buffer.Appender(shard, lane)
		tail, err := a.Tail(ctx)
		a.Close()
		switch {
		case err != nil:
			return false, err
		case tail.Exists && source.ParseID(tail.Topic).Differs(end.Topic):
			return false, nil // of a topic that is no more: the lane's next epoch is to come
		}
		if m, ok := marks[lane]; ok && m.Position >= end.Offset {
			continue
		}
		if tail.Exists {
			return false, nil
		}
		begins, err := g.begins(ctx, tp)
		if err != nil || begins < end.Offset {
			return false, err
		}
	}
	return true, nil
}

// begins is where ingest begins with a partition that it has appended nothing of.
func (g *goal) begins(ctx context.Context, tp source.TopicPartition) (int64, error) {
	s, _, err := g.w.o.Buffer.Settings(ctx)
	if err != nil {
		return 0, err
	}
	have, err := source.FetchCommitted(ctx, g.w.o.Source, s.Group, []source.TopicPartition{tp})
	if err != nil {
		return 0, err
	}
	return have[tp].Offset, nil
}

// done says that a shard is done, and what was done with it.
func (g *goal) done(shard string, s Summary) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ours := g.shards[shard]; ours {
		g.shards[shard] = true
	}
	g.summary.add(s)
}

// count adds what a checkpoint has made final. A nil goal doesn't count.
func (g *goal) count(s Summary) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.summary.add(s)
}

// finished ends an owner's run when there is nothing left to do for its shard.
type finished struct{ waiting int64 }

func (f *finished) Error() string { return fmt.Sprintf("finished, %d records wait", f.waiting) }

func (f *finished) Unwrap() error { return errStopped }

// isDone reports whether there is nothing left to do for a shard. A nil goal is never reached.
func (g *goal) isDone(shard string) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shards[shard]
}
