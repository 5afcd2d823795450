package window

import (
	"encoding/binary"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
)

// What is counted for a record and for a queue besides their bytes, in bytes: about what they take in memory. These are
// constants, not measured, since decisions hang on them (STATE_MAX_BYTES) that must come out the same in every replay.
const (
	recordCost = 128
	queueCost  = 256
	foldedCost = 208 // of a queue whose records are folded, without its state
)

// queue is what waits for one key, and one interval. There may be millions, of which little more is known than a sum: see
// what unsafe.Sizeof says before adding to it.
type queue struct {
	emit.Queue
	*holding          // of the records; nil where they are folded
	name       string // in Machine.queues: the interval's start, if the strategy places records by it, and the key
	order      uint64 // queues are numbered as their first record comes
	prev, next *queue // in Machine.waiting
	touched    int32  // place in Machine.touched plus one; 0: not there
	place      int32  // place in Machine.due plus one; 0: not there
	state      int32  // number of the aggregate's state, if records are folded
	waits      bool   // it is in Machine.waiting
	news       bool   // something came since it was emitted
	closed     bool   // its time is over: it was emitted, and waits for late records
}

// holding is what is known of a queue's records.
type holding struct {
	turns []turn // when they came, in their order
	dated int    // the first ones that turns tells of
	kept  int    // the first ones that are in the machine's memory
	bytes int64  // their cost
	live  int    // bytes of those in the arena
	seen  int    // the first ones that were in a window already
	size  int64  // bytes of the records, if the strategy wants to know (emit.Traits.Weighs)
}

// turn says that n records in a row came at the same time.
type turn struct {
	at int64 // Unix milliseconds
	n  int
}

// date notes that the records that turns doesn't tell of yet came at this time.
func (q *queue) date(at int64) {
	n := len(q.Records) - q.dated
	q.dated = len(q.Records)
	last := len(q.turns) - 1
	switch {
	case n == 0:
	case last >= 0 && q.turns[last].at == at:
		q.turns[last].n += n
	default:
		q.turns = append(q.turns, turn{at, n})
	}
}

// clear forgets the records.
func (q *queue) clear() {
	clear(q.Records)
	q.Records, *q.holding = q.Records[:0], holding{turns: q.turns[:0]}
}

// cost is what a record that waits takes of the state's bound, in bytes.
func cost(r *record.Record) int64 { return int64(r.Size()) + recordCost }

// unkeep notes that a record of this size, kept before, leaves, and returns its bytes in the arena.
func (q *queue) unkeep(size int) int {
	n := inArena(size)
	q.live -= n
	q.kept--
	return n
}

const intervalName = 8 // bytes that appendInterval appends

// appendInterval appends the part of a queue's name that tells its interval, where a strategy has queues for each.
func appendInterval(p []byte, intervals bool, start int64) []byte {
	if intervals {
		return binary.BigEndian.AppendUint64(p, uint64(start))
	}
	return p
}

// fifo holds the queues in which something waits, in the order in which they began to.
type fifo struct{ first, last *queue }

func (l *fifo) push(q *queue) {
	q.prev, q.next = l.last, nil
	if l.last == nil {
		l.first = q
	} else {
		l.last.next = q
	}
	l.last = q
}

func (l *fifo) remove(q *queue) {
	if q.prev == nil {
		l.first = q.next
	} else {
		q.prev.next = q.next
	}
	if q.next == nil {
		l.last = q.prev
	} else {
		q.next.prev = q.prev
	}
	q.prev, q.next = nil, nil
}

// agenda is a heap of the queues with a time at which something is due, the earliest first, and among those of one time
// the one that began to wait first.
type agenda []*queue

func (a agenda) first() *queue {
	if len(a) == 0 {
		return nil
	}
	return a[0]
}

// update puts q in its place after its Due was set or moved.
func (a *agenda) update(q *queue) {
	switch {
	case q.Due == 0 && q.place == 0:
	case q.Due == 0:
		a.remove(q)
	case q.place == 0:
		*a = append(*a, q)
		q.place = int32(len(*a))
		a.up(q)
	default:
		a.up(q)
		a.down(q)
	}
}

func (a *agenda) remove(q *queue) {
	if q.place == 0 {
		return
	}
	h := *a
	hole, moved := int(q.place)-1, h[len(h)-1]
	h[len(h)-1] = nil
	*a = h[:len(h)-1]
	q.place = 0
	if moved != q {
		a.put(hole, moved)
		a.up(moved)
		a.down(moved)
	}
}

func (a agenda) put(i int, q *queue) {
	a[i] = q
	q.place = int32(i) + 1
}

func (a agenda) up(q *queue) {
	i := int(q.place) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !sooner(q, a[parent]) {
			break
		}
		a.put(i, a[parent])
		i = parent
	}
	a.put(i, q)
}

func (a agenda) down(q *queue) {
	i := int(q.place) - 1
	for {
		child := 2*i + 1
		if child >= len(a) {
			break
		}
		if child+1 < len(a) && sooner(a[child+1], a[child]) {
			child++
		}
		if !sooner(a[child], q) {
			break
		}
		a.put(i, a[child])
		i = child
	}
	a.put(i, q)
}

func sooner(a, b *queue) bool { return a.Due < b.Due || a.Due == b.Due && a.order < b.order }
