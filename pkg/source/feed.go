package source

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/internal/wire"
)

// ErrOutOfRange: the partition has no such offset: retention has overtaken the reader, or the partition ends before.
var ErrOutOfRange = errors.New("the partition has no such offset")

// Feed is the flow of one partition. Its methods are for one goroutine.
type Feed struct {
	TopicPartition
	fetcher *Fetcher
	id      ID
	ready   chan struct{}
	count   feedMetrics

	mu     sync.Mutex
	closed bool
	idle   bool  // nothing is wanted: no SeekTo yet, Pause, or an error that the reader must deal with
	offset int64 // the next to fetch
	epoch  int32 // leader epoch of the last batch; -1: none
	room   int   // bytes the next fetch may bring at most; 0: no other bound than the fetcher's
	leader int32
	token  uint64 // changes whenever an answer under way must not count any more
	queue  []*Chunk
	err    error
	taken  int // chunks that wait or are being worked on

	again    pause.Backoff
	loud     bool      // its trouble was reported
	pause    time.Time // not to be asked for before
	unproven time.Time // only a view looked at after this time may have it fetched again: is it still the same topic?
}

// feedAhead is how many chunks of a partition there may be at once.
const feedAhead = 2

// loudAfter is how often in a row a partition is refused before it is reported: a leader may well move.
const loudAfter = 4

// refusedShort and refusedLong bound the pause after a refusal: of one that passes, and of one that somebody must mend.
const (
	refusedShort = time.Second
	refusedLong  = 5 * time.Second
)

// SeekTo starts the feed at an offset, forgetting all that it held. room bounds the bytes of a fetch, unless one batch
// alone is larger; 0: no bound but the fetcher's.
func (d *Feed) SeekTo(offset int64, room int) {
	d.mu.Lock()
	d.reset()
	d.idle, d.offset, d.room = false, offset, room
	d.epoch = -1
	d.mu.Unlock()
	d.wake()
}

// Room changes the bound of SeekTo.
func (d *Feed) Room(room int) {
	d.mu.Lock()
	d.room = room
	d.mu.Unlock()
}

// Pause stops the feed until the next SeekTo, forgetting all that it held.
func (d *Feed) Pause() {
	d.mu.Lock()
	d.reset()
	d.mu.Unlock()
}

func (d *Feed) reset() {
	d.idle, d.err = true, nil
	d.token++
	for _, c := range d.queue {
		d.taken--
		c.answer.release()
	}
	d.queue = d.queue[:0]
}

// Close ends the feed.
func (d *Feed) Close() {
	d.Pause()
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	f := d.fetcher
	f.mu.Lock()
	if f.feeds[d.TopicPartition] == d {
		delete(f.feeds, d.TopicPartition)
	}
	f.mu.Unlock()
	d.mu.Lock()
	d.quiet()
	d.mu.Unlock()
	signal(f.poke)
}

// Ready is signalled when Take may have something.
func (d *Feed) Ready() <-chan struct{} { return d.ready }

// Take returns what has been fetched, nil if there is nothing yet. The caller must call its Release. An error stops the feed
// until the next SeekTo: ErrOutOfRange, ErrRecreated, *CorruptError.
func (d *Feed) Take() (*Chunk, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) > 0 {
		c := d.queue[0]
		copy(d.queue, d.queue[1:])
		d.queue = d.queue[:len(d.queue)-1]
		if len(d.queue) > 0 || d.err != nil {
			signal(d.ready)
		}
		return c, nil
	}
	err := d.err
	d.err = nil
	return nil, err
}

// fail stops the feed with an error for the reader. d.mu is held.
func (d *Feed) fail(err error) {
	d.idle, d.err = true, err
	d.token++
	signal(d.ready)
}

// wake has the leader's loop look at the feed again.
func (d *Feed) wake() {
	f := d.fetcher
	f.mu.Lock()
	d.mu.Lock()
	l := f.loops[d.leader]
	d.mu.Unlock()
	f.mu.Unlock()
	if l != nil {
		signal(l.wake)
	} else {
		signal(f.poke)
	}
}

// apply tells the feed what a view says of its partition, and returns the leader, -1 if there is none.
func (d *Feed) apply(v *View) int32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	leader := int32(-1)
	t := v.Topics[d.Topic]
	if t != nil && int(d.Partition) < len(t.Partitions) {
		if d.id.Differs(t.ID) {
			if !d.idle {
				d.fail(fmt.Errorf("topic %s: %w", d.Topic, ErrRecreated))
			}
			return -1
		}
		leader = t.Partitions[d.Partition].Leader
	} else if !d.idle && !d.loud && v.Looked.After(d.unproven) {
		d.trouble(fmt.Errorf("topic %s partition %d does not exist any more", d.Topic, d.Partition))
	}
	if leader != d.leader {
		d.leader = leader
		d.token++
		d.pause = time.Time{}
	}
	if v.Looked.After(d.unproven) {
		d.unproven = time.Time{}
	}
	return leader
}

// refused handles a broker's error for the partition. d.mu is held.
func (d *Feed) refused(err error) {
	partErrors.WithLabelValues(d.Topic, errorName(err)).Inc()
	if errors.Is(err, kafka.OffsetOutOfRange) {
		d.fail(fmt.Errorf("topic %s partition %d offset %d: %w", d.Topic, d.Partition, d.offset, ErrOutOfRange))
		return
	}
	limit := refusedLong
	switch {
	case errors.Is(err, kafka.InvalidMessage): // its CRC fails, the broker says
		limit = refusedShort
		refetches.WithLabelValues(d.Topic).Inc()
	case wire.Retry(err):
		limit = refusedShort
		d.unproven = time.Now()
		d.fetcher.watch.Refresh()
	}
	d.again.Max = limit
	d.pause = time.Now().Add(d.again.Next())
	if d.again.Fails >= loudAfter || !wire.Retry(err) {
		d.trouble(fmt.Errorf("fetching topic %s partition %d: %w", d.Topic, d.Partition, err))
	}
}

// trouble reports the partition, quiet takes it back.
func (d *Feed) trouble(err error) {
	d.loud = true
	d.fetcher.o.Report(d.String(), err)
}

func (d *Feed) quiet() {
	if d.loud {
		d.loud = false
		d.fetcher.o.Report(d.String(), nil)
	}
}

func errorName(err error) string {
	var k kafka.Error
	if errors.As(err, &k) {
		return k.Title()
	}
	return "other"
}

type feedMetrics struct{ bytes, batches, records prometheus.Counter }

func (m *feedMetrics) init(topic string) {
	m.bytes, m.batches, m.records = fetchedBytes.WithLabelValues(topic), fetchedCount.WithLabelValues(topic), fetched.WithLabelValues(topic)
}

// Chunk is what one fetch brought of one partition.
type Chunk struct {
	From, Next int64 // the source offsets covered: [From, Next)
	High       int64 // the source's high watermark, at least Next

	tp      TopicPartition
	batches []byte
	rest    int64 // where the next entry begins
	feed    *Feed
	answer  *answer
}

// Entry is a part of a Chunk.
type Entry struct {
	From, Next int64
	Batches    []byte // whole batches, CRC checked; empty: nothing of [From, Next) is data
	Records    int64
}

// Entry cuts the next entry off: whole batches of about size bytes, more if the last batch is larger, less at the end.
// ok is false at the end. *CorruptError: SeekTo the last entry's Next and read again.
func (c *Chunk) Entry(size int) (e Entry, ok bool, err error) {
	if c.rest >= c.Next {
		return e, false, nil
	}
	cut, next, records, err := nextCut(c.batches, size)
	if err != nil && cut == 0 {
		refetches.WithLabelValues(c.tp.Topic).Inc()
		return e, false, &CorruptError{c.tp, c.rest, err}
	}
	e = Entry{From: c.rest, Next: next, Batches: c.batches[:cut:cut], Records: records}
	c.batches = c.batches[cut:]
	if len(c.batches) == 0 {
		e.Next = c.Next
	}
	c.rest = e.Next
	return e, true, nil
}

// Release gives the chunk's memory back; entries cut from it must not be used any more.
func (c *Chunk) Release() {
	d := c.feed
	d.mu.Lock()
	d.taken--
	full := d.taken == feedAhead-1
	d.mu.Unlock()
	c.answer.release()
	if full {
		d.wake()
	}
}
