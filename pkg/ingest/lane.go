package ingest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/source"
)

// lane copies one partition into its lane; with SHARDS into one lane in each of the stream's shards. One goroutine runs it;
// others look at place alone.
type lane struct {
	in     *Ingest
	tp     source.TopicPartition
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
	doubt  chan struct{} // Redis has lost something
	log    *zap.Logger
	lag    prometheus.Gauge

	entries, records prometheus.Counter

	name     source.Lane
	topic    string    // the topic's id
	branches []*branch // one a shard; empty: not open
	spread   *spread   // nil: there is one branch, which has all records
	feed     *source.Feed
	next     int64     // the least tail of the branches, as it was left
	cutAt    *int64    // where the next epoch begins, if its topic lost its end
	oomSince time.Time // since when Redis has no memory
	fullAt   time.Time // when the lane, or Redis, was last full for long
	blamed   error     // what was said of the source

	mu sync.Mutex
	at place
}

// place is where a lane is, for those who look on.
type place struct {
	open  bool
	full  bool
	lane  source.Lane
	topic string
	next  int64
}

// idleCheck is how often a lane that nothing comes for looks whether its tail is still there; at once, if Redis has lost
// the registry.
const idleCheck = 10 * time.Second

func newLane(in *Ingest, tp source.TopicPartition) *lane {
	l := &lane{
		in: in, tp: tp, done: make(chan struct{}), doubt: make(chan struct{}, 1), name: source.Lane{TopicPartition: tp},
		log:     in.log.With(zap.String("topic", tp.Topic), zap.Int32("partition", tp.Partition)),
		lag:     sourceLag.WithLabelValues(tp.Topic, strconv.Itoa(int(tp.Partition))),
		entries: appendedEntries.WithLabelValues(tp.Topic),
		records: appendedRecords.WithLabelValues(tp.Topic),
	}
	l.ctx, l.cancel = context.WithCancel(in.lanesCtx)
	l.spread = in.newSpread(tp)
	return l
}

func (l *lane) place() place {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

func (l *lane) opened() {
	l.mu.Lock()
	l.at = place{open: true, lane: l.name, topic: l.topic, next: l.next}
	l.mu.Unlock()
}

func (l *lane) moved() {
	l.mu.Lock()
	l.at.next = l.next
	l.mu.Unlock()
}

// run copies until the partition is somebody else's, or the program stops.
func (l *lane) run() {
	defer l.close()
	for again := newBackoff(); l.ctx.Err() == nil; {
		began := time.Now()
		err := l.open()
		if err == nil {
			l.in.waiting.set(conditionRedis, l.tp.String(), nil)
			err = l.copy()
		}
		if l.ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Second {
			again.Reset()
		}
		l.judge(err, again.Fails)
		again.Wait(l.ctx)
	}
}

// judge says what an error means for the next try. Where it is not a matter of course it is reported.
func (l *lane) judge(err error, fails int) {
	if l.feed != nil {
		l.feed.Pause()
	}
	var corrupt *source.CorruptError
	reason := "redis"
	switch {
	case errors.Is(err, errMoved):
		reason = "moved"
	case errors.Is(err, buffer.ErrConflict):
		reason = "conflict"
	case errors.Is(err, source.ErrRecreated):
		reason = "epoch"
		if l.topic == "" {
			l.epoch() // no id will tell
		}
		l.drop()
	case errors.Is(err, errEpoch):
		reason = "epoch"
	case errors.As(err, &corrupt):
		reason = "corrupt"
		if fails >= 3 || errors.Is(err, record.ErrMagic) {
			l.blame(err)
		}
	case errors.Is(err, errSource):
		reason = "source"
		if fails >= 2 {
			l.blame(err)
		}
	default:
		l.in.waiting.set(conditionRedis, l.tp.String(), err)
	}
	restarts.WithLabelValues(l.tp.Topic, reason).Inc()
	l.log.Debug("reading the lane's tail again", zap.String("reason", reason), zap.Error(err))
}

// blame says what is wrong with the source; nil: nothing any more.
func (l *lane) blame(err error) {
	if err != nil || l.blamed != nil {
		l.blamed = err
		l.in.waiting.set(conditionSource, l.tp.String(), err)
	}
}

var (
	errMoved  = errors.New("the lane's tail is not where it was left")
	errSource = errors.New("asking the source")
	errEpoch  = errors.New("the lane begins a new epoch")
)

// open finds the lane, reads its tail and has the source fetched from there: from the least, where there are several.
func (l *lane) open() error {
	id, err := l.topicID()
	if err != nil {
		return err
	}
	if len(l.branches) == 0 || idText(id) != l.topic {
		l.drop()
		if err := l.choose(id); err != nil {
			return err
		}
	}
	missing := false
	for _, b := range l.branches {
		tail, err := b.tail(l.in.hard)
		if err != nil {
			return err
		}
		if tail.Exists && differ(tail.Topic, l.topic) {
			l.epoch()
			return errEpoch
		}
		if tail.Exists {
			l.cutAt = nil
		} else {
			missing = true
		}
	}
	if missing {
		if err := l.create(); err != nil {
			return err
		}
	}
	l.next = l.least()
	if l.feed == nil {
		l.feed = l.in.fetcher.Follow(l.tp, id)
	}
	if errors.Is(l.blamed, errSource) {
		l.blame(nil) // it answers again; whether a batch can be read is seen when it is
	}
	l.opened()
	l.log.Debug("lane opened", zap.Stringer("lane", l.name), zap.Bool("exists", !missing), zap.Int64("next", l.next))
	l.feed.SeekTo(l.next, l.room())
	return nil
}

// create begins the branches that are new, or lost with Redis, and then the registry may be as well.
func (l *lane) create() error {
	if _, err := l.in.buffer.Claim(l.in.hard, l.in.settings()); err != nil {
		return err
	}
	next, err := l.begin() // known before the lane is, to whoever sees it
	if err != nil {
		return err
	}
	for _, b := range l.branches {
		if b.exists {
			continue
		}
		if err := l.in.buffer.Register(l.in.hard, b.shard, l.name.String()); err != nil {
			return err
		}
		b.next = next
	}
	return nil
}

// topicID waits until the topic is seen.
func (l *lane) topicID() (source.ID, error) {
	for {
		view, changed := l.in.watch.View()
		if view != nil {
			if t := view.Topics[l.tp.Topic]; t != nil && int(l.tp.Partition) < len(t.Partitions) {
				return t.ID, nil
			}
		}
		select {
		case <-l.ctx.Done():
			return source.ID{}, l.ctx.Err()
		case <-changed:
		}
	}
}

// choose finds out which epoch of the lane is the topic's. What Redis and Kafka remember counts, whichever is later.
func (l *lane) choose(id source.ID) error {
	shards, err := l.in.buffer.Shards(l.in.hard)
	if err != nil {
		return err
	}
	epoch := l.name.Epoch
	for _, shard := range l.in.shards(l.tp) {
		for _, name := range shards[shard] {
			if x, err := source.ParseLane(name); err == nil && x.TopicPartition == l.tp {
				epoch = max(epoch, x.Epoch)
			}
		}
	}
	c, ok, err := l.in.offsets.committed(l.in.hard, l.tp)
	if err != nil {
		return fmt.Errorf("%w: %w", errSource, err)
	}
	if n := source.NoteOf(c); ok && n.Epoch >= epoch {
		if epoch = n.Epoch; differ(n.Topic, idText(id)) {
			epoch++
		}
	}
	l.topic = idText(id)
	l.name.Epoch = epoch
	for _, shard := range l.in.shards(l.tp) {
		l.branches = append(l.branches, &branch{shard: shard, appender: l.in.buffer.Appender(shard, l.name.String())})
	}
	return nil
}

// epoch gives up the lane for the next one.
func (l *lane) epoch() {
	l.drop()
	l.name.Epoch++
	laneEpochs.WithLabelValues(l.tp.Topic).Inc()
	l.log.Warn("the lane begins a new epoch: its topic was made again, or lost its end", zap.Stringer("lane", l.name))
}

// begin returns where a lane without a tail begins.
func (l *lane) begin() (int64, error) {
	c, ok, err := l.in.offsets.committed(l.in.hard, l.tp)
	n := source.NoteOf(c)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: %w", errSource, err)
	case l.cutAt != nil:
		c.Offset = *l.cutAt
	case ok && n.Epoch == l.name.Epoch && !differ(n.Topic, l.topic):
		return c.Offset, nil
	case l.name.Epoch == 0 && !ok:
		if c, err = l.in.offsets.start(l.in.hard, l.tp); err != nil {
			return 0, fmt.Errorf("%w: %w", errSource, err)
		}
		return c.Offset, nil
	default:
		at, err := source.Earliest.Offsets(l.in.hard, l.in.cluster, l.tp.Topic, []int32{l.tp.Partition}, false)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", errSource, err)
		}
		c.Offset = at[l.tp.Partition]
	}
	c.Metadata = source.Note{Epoch: l.name.Epoch, Topic: l.topic, Starts: n.WithStart(l.name.Epoch, c.Offset)}.String()
	if err := l.in.offsets.set(l.in.hard, l.tp, c); err != nil {
		return 0, fmt.Errorf("%w: %w", errSource, err)
	}
	l.cutAt = nil
	return c.Offset, nil
}

// copy appends what the feed brings until something is in doubt.
func (l *lane) copy() error {
	idle := time.NewTimer(idleCheck)
	defer idle.Stop()
	for {
		chunk, err := l.feed.Take()
		switch {
		case errors.Is(err, source.ErrOutOfRange):
			if err := l.outOfRange(); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		case chunk != nil:
			err := l.append(chunk)
			chunk.Release()
			if errors.Is(err, errFull) || errors.Is(err, buffer.ErrFull) {
				err = l.wait(err)
			}
			if err != nil {
				return err
			}
			continue
		}
		idle.Reset(idleCheck)
		select {
		case <-l.ctx.Done():
			return l.ctx.Err()
		case <-l.feed.Ready():
			continue
		case <-l.doubt:
		case <-idle.C:
		}
		if err := l.look(); err != nil {
			return err
		}
		l.relax(time.Now())
	}
}

// drop lets go of the lane's appenders and feed.
func (l *lane) drop() {
	for _, b := range l.branches {
		_ = b.appender.Close()
	}
	l.branches = nil
	if l.feed != nil {
		l.feed.Close()
		l.feed = nil
	}
}

func (l *lane) close() {
	l.drop()
	sourceLag.DeleteLabelValues(l.tp.Topic, strconv.Itoa(int(l.tp.Partition)))
	for _, c := range []string{conditionRedis, conditionSource, conditionPressure} {
		l.in.waiting.set(c, l.tp.String(), nil)
	}
}

// append appends a chunk in entries of about entryBytes.
func (l *lane) append(c *source.Chunk) error {
	for {
		if err := l.ctx.Err(); err != nil {
			return err
		}
		if l.fullest().held >= l.in.o.MaxBytes {
			return errFull
		}
		e, ok, err := c.Entry(entryBytes * min(len(l.branches), entryShards))
		if err != nil || !ok {
			return err
		}
		if e.From != l.next {
			return errMoved
		}
		if err := l.share(&e); err != nil {
			return err
		}
		if err := l.appendParts(buffer.Append{Next: e.Next, High: c.High, Topic: l.topic}); err != nil {
			return err
		}
		l.lag.Set(float64(c.High - e.Next))
		l.next = l.least()
		if !l.oomSince.IsZero() {
			l.oomSince = time.Time{}
		}
		l.feed.Room(l.room())
		l.relax(time.Now())
		l.blame(nil)
		l.moved()
	}
}

// appendParts appends each branch's part of an entry, all at the same time: each lane has a tail, and a connection, of its
// own, and which of them are further on than others does not matter to the next open. The error is the first branch's that
// has one.
func (l *lane) appendParts(e buffer.Append) error {
	errs := make([]error, len(l.branches))
	part := func(i int) {
		b := l.branches[i]
		if b.next >= e.Next {
			return // further on already
		}
		began := time.Now()
		if errs[i] = b.append(l.in.hard, e); errs[i] != nil {
			return
		}
		appendSeconds.Observe(time.Since(began).Seconds())
		if len(b.batches) > 0 {
			l.entries.Inc()
		}
		l.records.Add(float64(b.records))
	}
	var others sync.WaitGroup
	for i := 1; i < len(l.branches); i++ {
		others.Go(func() { part(i) })
	}
	part(0)
	others.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
