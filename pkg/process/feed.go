package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/journal"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/shard"
	"github.com/windrow-io/windrow/pkg/source"
)

// laneReader is what the feed needs of the buffer (*buffer.Reader).
type laneReader interface {
	Read(ctx context.Context, block time.Duration, count int) (*buffer.Turn, error)
	Rescan(lane string)
	AddLane(lane string)
	Release()
	Close() error
}

// refiller reads records from the source itself (*source.Refill).
type refiller interface {
	Read(ctx context.Context, part source.Range, buf []byte) (batches []byte, next int64, err error)
}

// span is a piece of a lane: the records with offsets in [from, next).
type span struct {
	from, next int64
	received   int64 // Unix milliseconds
	batches    []byte
	direct     *record.Record
	refilled   bool // from the source: with records of other shards, if there are any
	end        mark // of the entry it came from; zero for refilled ones
}

// received is told a record's offset and when the buffer received it, and says which time of receipt counts.
type received func(offset, ms int64) int64

// clock tells Redis's time between two readings of it. It is the feed's: only one goroutine at a time uses it.
type clock struct{ ahead time.Duration } // of this machine's

func (c *clock) set(ms int64, at time.Time) { c.ahead = time.UnixMilli(ms).Sub(at) }

func (c *clock) now() int64 { return time.Now().Add(c.ahead).UnixMilli() }

// mark is where an entry ends, for trimming.
type mark struct{ ms, seq, bytes int64 }

// lane is one lane of the shard, as its owner has read it.
type lane struct {
	name   string
	source source.Lane
	direct bool
	joined bool // the reader reads it. A lane of a topic's next epoch joins when the one before is read to its end

	read     int64     // the records before are in spans, or taken
	taken    int64     // the records before have been given to the machine
	spans    []span    // read, not taken
	refillTo int64     // the records in [read, refillTo) are missing in the buffer
	topic    source.ID // of the topic to refill from, if it is known
	asked    bool      // for the topic, in this refill
	rescan   bool      // to be asked of the reader before its next read
	last     mark      // of the last entry that lies wholly before taken
	receipt  int64     // when the last record taken counts as received, Unix milliseconds: none behind it counts as earlier

	tail, high int64 // as the last read saw them; -1: unknown
	cut        bool  // the last read left some of it
}

// atEnd reports whether everything that the source is known to have was read.
func (l *lane) atEnd() bool {
	switch {
	case !l.joined || l.cut || l.rescan || l.refillTo > l.read:
		return false
	case l.direct:
		return true
	}
	return l.tail >= 0 && l.read >= l.tail && l.high <= l.tail
}

// feed gives a shard's records in lane order without gap, whatever happened to the buffer: entries seen before are
// skipped, a gap makes it go through the lane from its start, and what is then still missing is read from the source.
type feed struct {
	reader laneReader
	refill refiller
	log    *zap.Logger
	id     func(ctx context.Context, lane string) source.ID // of the topic that a lane holds
	gone   gone

	lanes   []*lane // sorted: the order in which a step takes them is part of what a replay must repeat
	count   int     // entries a read asks for
	cut     bool    // the last read was cut off by that
	clock   *clock
	decoder record.Decoder
	buf     []byte // memory of refilled batches
	losses  int    // gaps accepted because source and buffer had both lost the records
	keep    bool   // spans are to outlive the next read: replaying
	stale   bool   // entries that lie before the position were seen: they can be trimmed
	undec   func(r *record.Record, err error)

	spread *shard.Spread // what the source has is spread over the stream's own shards by it; nil: it isn't
	shard  int           // this one's number among them
}

// The entries a read asks for: few when they are large. An entry can't be split, so bytes are bounded by count alone.
const (
	firstCount = 4
	maxCount   = 128
	turnBytes  = 1 << 20 // decompressed: what a turn should hold at most
	refillMax  = 1 << 20
)

func newLane(name string, position int64) (*lane, error) {
	l := &lane{name: name, read: position, taken: position, tail: -1, high: -1}
	if name == buffer.DirectLane {
		l.direct, l.source.Topic = true, buffer.Direct
		return l, nil
	}
	var err error
	l.source, err = source.ParseLane(name)
	return l, err
}

// compare orders lanes: by topic, partition, epoch.
func (l *lane) compare(m *lane) int {
	return cmp.Or(l.source.Compare(m.source.TopicPartition), cmp.Compare(l.source.Epoch, m.source.Epoch))
}

// add makes a lane known. It is read at once if begun says that some of it has been, or if no older epoch comes first.
func (f *feed) add(name string, position int64, begun bool) error {
	if f.lane(name) != nil {
		return nil
	}
	l, err := newLane(name, position)
	if err != nil {
		return err
	}
	f.lanes = append(f.lanes, l)
	slices.SortFunc(f.lanes, (*lane).compare)
	if begun || f.older(l) == nil {
		f.join(l)
	}
	return nil
}

func (f *feed) join(l *lane) {
	l.joined = true
	f.reader.AddLane(l.name)
}

// older returns the lane of the epoch before l's, newer the one after it; nil if there is none.
func (f *feed) older(l *lane) (o *lane) {
	for _, x := range f.lanes {
		if x == l {
			return o
		}
		if x.source.TopicPartition == l.source.TopicPartition {
			o = x
		}
	}
	return nil
}

func (f *feed) newer(l *lane) *lane {
	for _, x := range f.lanes {
		if f.older(x) == l {
			return x
		}
	}
	return nil
}

// got is what one fill brought.
type got struct {
	now int64 // a bound below which no further record can have been received; Unix milliseconds
	cut bool  // there may be more at once
}

// fill reads once, waiting up to block for the first record, and adds what it got to the lanes' spans. What it added is
// valid until the next fill, or for good while f.keep is set.
func (f *feed) fill(ctx context.Context, block time.Duration) (g got, err error) {
	refilling := false
	for _, l := range f.lanes {
		if l.refillTo > l.read {
			refilling = true
			block = 0
		}
		if l.rescan {
			l.rescan = false
			f.reader.Rescan(l.name)
		}
	}
	count := f.count
	if refilling {
		count = 1 // only for the time: the lanes are gone through again afterwards
	}
	asked := time.Now()
	turn, err := f.reader.Read(ctx, block, count)
	if err != nil {
		return g, fmt.Errorf("read the buffer: %w", err)
	}
	f.clock.set(turn.Now, asked)
	g.now = turn.Now
	f.cut = false
	for i := range turn.Lanes {
		lt := &turn.Lanes[i]
		l := f.lane(lt.Lane)
		if l == nil {
			continue
		}
		l.tail, l.high, l.cut = lt.Tail, lt.High, lt.Cut
		if l.refillTo > l.read {
			continue
		}
		f.take(l, lt)
		if lt.Cut && len(lt.Entries) > 0 {
			g.cut, f.cut = true, !refilling
			g.now = min(g.now, lt.Entries[len(lt.Entries)-1].Ms)
		}
		if l.rescan || l.refillTo > l.read {
			g.cut = true
		}
		if next := f.newer(l); next != nil && !next.joined && l.read >= l.tail && !lt.Cut {
			f.join(next)
			g.cut = true
		}
	}
	for _, l := range f.lanes {
		if l.refillTo > l.read {
			if err := f.refillOne(ctx, l, g.now); err != nil {
				return g, err
			}
			g.cut = true
			break // one lane a read: the memory is one
		}
	}
	return g, nil
}

func (f *feed) lane(name string) *lane {
	for _, l := range f.lanes {
		if l.name == name {
			return l
		}
	}
	return nil
}

// take adds a lane's entries to its spans; at a gap it stops and asks for a scan or a refill.
func (f *feed) take(l *lane, lt *buffer.LaneTurn) {
	for i := range lt.Entries {
		e := &lt.Entries[i]
		end := mark{e.Ms, e.Seq, e.End()} // zero for what is only known to hold nothing
		if e.Next <= l.read {
			if len(l.spans) == 0 && end != (mark{}) {
				l.last = end
				f.stale = true
			}
			continue
		}
		if e.From > l.read && !l.direct {
			f.gap(l, lt.Rescan, e.From)
			return
		}
		s := span{from: l.read, next: e.Next, received: e.Ms, batches: e.Batches, direct: e.Record, end: end}
		if f.keep {
			s.batches = append([]byte(nil), s.batches...)
			if s.direct != nil {
				r := s.direct.Clone()
				s.direct = &r
			}
		}
		l.spans = append(l.spans, s)
		l.read = e.Next
	}
	if !lt.Cut && lt.Tail > l.read && !l.direct {
		f.gap(l, lt.Rescan, lt.Tail)
	}
}

// gap deals with records missing in [l.read, to): usually the group has moved on without this owner, or a failover gave
// the entries other IDs, and a scan of the lane finds them. After a scan they are not in the buffer.
func (f *feed) gap(l *lane, scanned bool, to int64) {
	if !scanned {
		rescans.Inc()
		l.rescan = true
		return
	}
	f.log.Info("the buffer lacks records, reading them from the source", zap.String("lane", l.name),
		zap.Int64("from", l.read), zap.Int64("to", to))
	l.refillTo = to
}

// refillOne reads the next piece of what is missing in l from the source.
func (f *feed) refillOne(ctx context.Context, l *lane, now int64) (err error) {
	var batches []byte
	next := l.refillTo
	if !l.asked {
		l.topic, l.asked = f.id(ctx, l.name), true
	}
	if f.newer(l) != nil || l.direct {
		err = source.ErrRecreated // the topic that this lane came from is no more
	} else {
		batches, next, err = f.refill.Read(ctx, source.Range{TopicPartition: l.source.TopicPartition, ID: l.topic, From: l.read, To: l.refillTo}, f.memory())
	}
	if lost := (*source.LostError)(nil); errors.As(err, &lost) || errors.Is(err, source.ErrRecreated) {
		to := l.refillTo
		if lost != nil {
			to = min(max(lost.To, l.read), l.refillTo)
		}
		if to, err = f.gone(l.name, l.read, to); err != nil {
			return err
		}
		f.losses++
		l.read = to
		f.skipped(l)
	} else if err != nil {
		return fmt.Errorf("read from the source what the buffer lacks: %w", err)
	} else {
		if !f.keep {
			f.buf = batches
		}
		refilledRecords.Add(float64(next - l.read))
		l.spans = append(l.spans, span{from: l.read, next: next, received: now, batches: batches, refilled: true})
		l.read = next
	}
	if l.read >= l.refillTo {
		l.refillTo, l.asked = 0, false
		l.rescan = true // the entries behind the gap were passed over
	}
	return nil
}

// skipped moves the position of a lane over a loss when nothing before it waits.
func (f *feed) skipped(l *lane) {
	if len(l.spans) == 0 {
		l.taken = l.read
		return
	}
	l.spans = append(l.spans, span{from: l.spans[len(l.spans)-1].next, next: l.read})
}

func (f *feed) memory() []byte {
	if f.keep || cap(f.buf) > 8*refillMax {
		return nil
	}
	return f.buf[:0]
}

// records yields the records of l's spans below to, in order, and takes them: taken becomes to, or the end of what was
// read.
func (f *feed) records(l *lane, to int64, received received) iter.Seq[*record.Record] {
	return func(yield func(*record.Record) bool) {
		proto := record.Record{Topic: l.source.Topic, Partition: l.source.Partition}
		for len(l.spans) > 0 && l.spans[0].from < to {
			s := &l.spans[0]
			if !f.decode(l, s, proto, to, received, yield) {
				return
			}
			if s.next > to {
				s.from = to
				l.taken = to
				return
			}
			l.taken = s.next
			if s.end != (mark{}) {
				l.last = s.end
			}
			l.spans = l.spans[1:]
		}
		if len(l.spans) == 0 {
			l.spans = l.spans[:0:0]
		}
	}
}

func (f *feed) decode(l *lane, s *span, proto record.Record, to int64, received received, yield func(*record.Record) bool) bool {
	if s.direct != nil {
		if received != nil {
			s.direct.Received = received(s.direct.Offset, s.received)
		}
		return yield(s.direct)
	}
	more := true
	for rest := s.batches; len(rest) > 0 && more; {
		b, r, err := record.ParseBatch(rest)
		if err != nil {
			f.undecodable(l, s.from, err)
			return true
		}
		rest = r
		if b.Next() <= s.from {
			continue
		}
		if b.BaseOffset >= to {
			return true
		}
		give := func(r *record.Record) {
			if r.Offset >= to || !more {
				return
			}
			if received != nil {
				r.Received = received(r.Offset, s.received)
			}
			more = yield(r)
		}
		if s.refilled && f.spread != nil {
			err := f.spread.Batch(&f.decoder, &b, &proto, s.from, func(n int, _ bool, r *record.Record) {
				if n == f.shard {
					give(r)
				}
			})
			if err == nil || f.shard != f.spread.Keyless() {
				continue // what can't be decoded went to one shard, as it is
			}
		}
		if err := f.decoder.Decode(&b, &proto, s.from, give); err != nil {
			f.undecodable(l, max(b.BaseOffset, s.from), err)
		}
	}
	return more
}

// undecodable hands a batch that can't be read to the dead letters: its offset says where the source still has it.
func (f *feed) undecodable(l *lane, offset int64, err error) {
	f.undec(&record.Record{Topic: l.source.Topic, Partition: l.source.Partition, Offset: offset}, err)
}

// waiting reports whether there is something that was read and not taken.
func (f *feed) waiting() bool {
	return slices.ContainsFunc(f.lanes, func(l *lane) bool { return len(l.spans) > 0 })
}

// known is what is known of all lanes: a decision made now holds it, where the emitter looks at it.
func (f *feed) known() []journal.Lane {
	lanes := make([]journal.Lane, len(f.lanes))
	for i, l := range f.lanes {
		lanes[i] = journal.Lane{Lane: l.name, AtEnd: l.atEnd(), Got: len(l.spans) > 0}
	}
	return lanes
}

// single reports whether the lanes are of one partition: then the order of the records does not depend on which of them
// were read together.
func (f *feed) single() bool {
	return !slices.ContainsFunc(f.lanes, func(l *lane) bool { return l.source.TopicPartition != f.lanes[0].source.TopicPartition })
}

// drop gives back the memory of what was taken: no record given so far is used any more.
func (f *feed) drop() {
	switch bytes := f.decoder.Decoded(); {
	case bytes > turnBytes:
		f.count = max(f.count/2, 1)
	case f.cut && bytes < turnBytes/4:
		f.count = min(2*f.count, maxCount)
	}
	f.decoder.Reset()
	if !f.waiting() || f.keep {
		f.reader.Release()
	}
}

// positions returns where each joined lane was taken to.
func (f *feed) positions() map[string]int64 {
	m := make(map[string]int64, len(f.lanes))
	for _, l := range f.lanes {
		if l.joined {
			m[l.name] = l.taken
		}
	}
	return m
}

// marks returns the trimming marks that go with positions.
func (f *feed) marks() []buffer.Mark {
	var ms []buffer.Mark
	for _, l := range f.lanes {
		if l.joined {
			ms = append(ms, buffer.Mark{Lane: l.name, Position: l.taken, Ms: l.last.ms, Seq: l.last.seq, Bytes: l.last.bytes})
		}
	}
	return ms
}
