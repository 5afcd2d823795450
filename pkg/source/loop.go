package source

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/internal/wire"
)

// loop fetches from one broker all partitions that it leads.
type loop struct {
	f      *Fetcher
	broker int32
	wake   chan struct{}
	free   chan *answer
	feeds  []*Feed // guarded by f.mu
	first  int     // whose turn it is to be first: only the first partition may give a batch over the limit
	again  pause.Backoff
	hollow int // answers in a row that came at once and had nothing
	loud   bool
	clean  cleaner
	asked  []asked
	parts  []wire.FetchPartition
}

// asked is a feed in a fetch under way.
type asked struct {
	feed  *Feed
	token uint64
	epoch int32
}

// answer is the memory of one fetch. It is free again when the loop and all its chunks have released it.
type answer struct {
	loop   *loop
	buf    []byte
	chunks []Chunk
	refs   atomic.Int32
}

func (a *answer) release() {
	if a.refs.Add(-1) == 0 {
		a.loop.free <- a
	}
}

const (
	loopAhead = 2 // answers in memory
	// fetchPace is the least time between two fetches that bring little: a busy trickle becomes 250 fetches a second
	// instead of one for each record. Each costs an entry a partition, and all that Redis and the workers do for one: at
	// 5,000 records a second a pace of 1 ms takes half as much processor time again.
	fetchPace  = 4 * time.Millisecond
	fetchSmall = 16 << 10
	// fetchSlow is the most that pace grows to while a broker doesn't wait for data, as it should.
	fetchSlow = 50 * time.Millisecond
	// fetchBrief is how long a broker waits for data while other partitions of it may be wanted again any moment.
	fetchBrief = 20 * time.Millisecond
)

func newLoop(f *Fetcher, broker int32) *loop {
	l := &loop{f: f, broker: broker, wake: make(chan struct{}, 1), free: make(chan *answer, loopAhead), again: newBackoff(time.Second)}
	for range loopAhead {
		l.free <- &answer{loop: l}
	}
	return l
}

func (l *loop) name() string { return fmt.Sprintf("broker %d", l.broker) }

func (l *loop) run(ctx context.Context) {
	for {
		var a *answer
		select {
		case <-ctx.Done():
			return
		case a = <-l.free:
		}
		wait, ok := l.collect(ctx, a)
		if !ok {
			return
		}
		began := time.Now()
		res, err := l.f.cluster.Fetch(ctx, wire.FetchRequest{
			Broker: l.broker, Partitions: l.parts, MinBytes: 1, MaxBytes: int32(l.f.o.AnswerBytes), MaxWait: wait,
			ReadCommitted: l.f.o.ReadCommitted, Buf: a.buf[:0],
		})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.free <- a
			if !l.failed(ctx, err) {
				return
			}
			continue
		}
		l.fine()
		size := l.deliver(a, res)
		took := time.Since(began)
		if size > 0 || took > wait/2 {
			l.hollow = 0
		} else {
			l.hollow++
		}
		if size < fetchSmall {
			time.Sleep(min(fetchPace<<min(l.hollow, 10), fetchSlow) - took)
		}
	}
}

// collect waits until there is something to ask for, and says how long the broker may wait for data.
func (l *loop) collect(ctx context.Context, a *answer) (time.Duration, bool) {
	for {
		wait, later, none := l.choose()
		if len(l.parts) > 0 {
			return wait, true
		}
		if none {
			a.buf = nil
		}
		var timer *time.Timer
		var due <-chan time.Time
		if later > 0 {
			timer = time.NewTimer(later)
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return 0, false
		case <-l.wake:
		case <-due:
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// choose fills l.parts and l.asked with the feeds that want data. later is when another one will, 0 if that is not
// known; none: the broker leads nothing any more.
func (l *loop) choose() (wait, later time.Duration, none bool) {
	l.asked, l.parts = l.asked[:0], l.parts[:0]
	wait = l.f.o.MaxWait
	now := time.Now()
	l.f.mu.Lock()
	defer l.f.mu.Unlock()
	n := len(l.feeds)
	l.first++
	for i := range n {
		d := l.feeds[(l.first+i)%n]
		d.mu.Lock()
		switch {
		case d.closed || d.leader != l.broker:
		case d.idle || d.taken >= feedAhead || !d.unproven.IsZero():
			wait = min(wait, fetchBrief)
		case d.pause.After(now):
			p := d.pause.Sub(now)
			if later == 0 || p < later {
				later = p
			}
			wait = min(wait, max(p, fetchBrief))
		default:
			size := l.f.o.PartitionBytes
			if d.room > 0 {
				size = min(size, d.room)
			}
			d.token++
			l.asked = append(l.asked, asked{d, d.token, d.epoch})
			l.parts = append(l.parts, wire.FetchPartition{Topic: d.Topic, Partition: d.Partition, Offset: d.offset, MaxBytes: int32(size)})
		}
		d.mu.Unlock()
	}
	return wait, later, n == 0
}

// failed handles a fetch that failed as a whole: the broker may have gone, its partitions may be led by others, or be
// those of new topics.
func (l *loop) failed(ctx context.Context, err error) bool {
	fetchFails.Inc()
	now := time.Now()
	for _, q := range l.asked {
		q.feed.mu.Lock()
		if q.feed.token == q.token {
			q.feed.unproven = now
		}
		q.feed.mu.Unlock()
	}
	l.f.watch.Refresh()
	if l.again.Fails > 0 && !l.loud {
		l.loud = true
		l.f.o.Logger.Warn("fetching fails; trying again", zap.Int32("broker", l.broker), zap.Error(err))
	}
	if l.loud {
		l.f.o.Report(l.name(), err)
	}
	return l.again.Wait(ctx)
}

func (l *loop) fine() {
	fetches.Inc()
	l.again.Reset()
	if l.loud {
		l.loud = false
		l.f.o.Logger.Info("fetching works again", zap.Int32("broker", l.broker))
		l.f.o.Report(l.name(), nil)
	}
}

// deliver hands the partitions of an answer to their feeds and returns the bytes of data in it.
func (l *loop) deliver(a *answer, res *wire.FetchResponse) (size int) {
	a.buf = res.Buf
	if most := l.f.o.AnswerBytes; cap(a.buf) > 2*most+most/2 {
		a.buf = nil // an oversize batch made it grow; whoever holds a chunk keeps that memory as long as it is needed
	}
	if cap(a.chunks) < len(res.Partitions) {
		a.chunks = make([]Chunk, 0, len(res.Partitions))
	}
	a.chunks = a.chunks[:0]
	a.refs.Store(1)
	for i := range res.Partitions {
		p := &res.Partitions[i]
		size += len(p.Records)
		if q := l.find(i, p); q != nil {
			l.give(a, q, p)
		}
	}
	a.release()
	return size
}

// find finds who asked; brokers answer in the order of the question, as a rule.
func (l *loop) find(i int, p *wire.Fetched) *asked {
	for j := range l.asked {
		q := &l.asked[(i+j)%len(l.asked)]
		if q.feed.Partition == p.Partition && q.feed.Topic == p.Topic {
			return q
		}
	}
	return nil
}

func (l *loop) give(a *answer, q *asked, p *wire.Fetched) {
	d := q.feed
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.token != q.token {
		return // meanwhile it was sought, paused, closed, or moved to another leader
	}
	if p.Err != nil {
		d.refused(p.Err)
		return
	}
	d.again.Reset()
	d.quiet()
	if len(p.Records) == 0 {
		return
	}
	out, err := l.clean.clean(p, d.offset, q.epoch)
	if out.next > d.offset {
		a.chunks = append(a.chunks, Chunk{
			From: d.offset, Next: out.next, High: max(p.HighWatermark, out.next),
			tp: d.TopicPartition, batches: out.batches, rest: d.offset, feed: d, answer: a,
		})
		a.refs.Add(1)
		d.queue = append(d.queue, &a.chunks[len(a.chunks)-1])
		d.taken++
		d.offset = out.next
		if out.epoch >= 0 {
			d.epoch = out.epoch
		}
		d.count.bytes.Add(float64(len(out.batches)))
		d.count.batches.Add(float64(out.count))
		d.count.records.Add(float64(out.records))
		signal(d.ready)
	}
	switch {
	case err == nil:
	case !errors.Is(err, errEpochFell):
		refetches.WithLabelValues(d.Topic).Inc()
		d.fail(err)
	case d.id.Known():
		// The id will tell; where there is one, an epoch that falls may be another implementation's habit.
		d.epoch = -1
		d.unproven = time.Now()
		l.f.watch.Refresh()
	default:
		d.fail(fmt.Errorf("topic %s: %w: %w", d.Topic, ErrRecreated, err))
	}
}
