package window

import (
	"cmp"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
)

// Sessions have no intervals beforehand: a record makes one, makes one longer, or makes two into one. The queues of a key
// do not overlap; queues knows the first of them, and later what comes after each: hardly any key has two.

// placeSession puts r in the session that the moment lies in.
func (m *Machine) placeSession(r *record.Record, event int64) bool {
	if !m.call(r) {
		return false
	}
	j := m.joining(event)
	if m.late(j.end) {
		if !m.tolerate(r, event) {
			return true
		}
		j = m.joining(m.mark.value)
	}
	q := j.q
	switch {
	case q == nil:
		if m.queues[string(m.name)] == nil {
			m.makeRoom()
		}
		q = m.fresh(string(m.name))
		q.Start, q.End = j.start, j.end
		m.link(q, j.before)
	case j.with != nil:
		q = m.merge(q, j.with)
		fallthrough
	default:
		q.Start, q.End = j.start, j.end
		m.retime(q)
	}
	m.put(q, r, m.at)
	return true
}

// joined is the session that a record belongs to.
type joined struct {
	start, end int64
	before     *queue // the last one of its key that begins by then
	q          *queue // the one that it joins; nil: none
	with       *queue // the next one, if it joins that one, too
}

// joining tells which session of the key m.name the moment lies in.
func (m *Machine) joining(event int64) (j joined) {
	before, after := m.around(string(m.name), event)
	var withBefore, withAfter bool
	j.before = before
	j.start, j.end, withBefore, withAfter = m.merger.Join(event, waits(before), waits(after))
	switch {
	case withBefore && withAfter:
		j.q, j.with = before, after
	case withBefore:
		j.q = before
	case withAfter:
		j.q = after
	}
	return j
}

func waits(q *queue) *emit.Queue {
	if q == nil {
		return nil
	}
	return &q.Queue
}

// around returns the last session of a key that begins by the moment, and the first that begins later.
func (m *Machine) around(key string, moment int64) (before, after *queue) {
	after = m.queues[key]
	for after != nil && after.Start <= moment {
		before, after = after, m.later[after]
	}
	return before, after
}

// link makes q the session of its key that comes after another; nil: the first one.
func (m *Machine) link(q, before *queue) {
	after := m.queues[q.name]
	if before == nil {
		m.queues[q.name] = q
	} else {
		after = m.later[before]
		m.later[before] = q
	}
	if after != nil {
		m.later[q] = after
	}
}

// unlink takes q out of the sessions of its key.
func (m *Machine) unlink(q *queue) {
	after := m.later[q]
	delete(m.later, q)
	before := m.queues[q.name]
	switch {
	case before != q:
		for m.later[before] != q {
			before = m.later[before]
		}
		if delete(m.later, before); after != nil {
			m.later[before] = after
		}
	case after != nil:
		m.queues[q.name] = after
	default:
		delete(m.queues, q.name)
	}
}

// merge makes one of two sessions next to each other: the one that began to wait first.
func (m *Machine) merge(q, next *queue) *queue {
	into, from := q, next
	if next.order < q.order {
		into, from = next, q
	}
	into.Since = min(into.Since, from.Since)
	m.adopt(into, from)
	if m.folds {
		m.mergeStates(into, from, from == q)
	} else {
		into.merge(from)
		if from.touched > 0 && into.touched == 0 {
			m.touched = append(m.touched, into)
			into.touched = int32(len(m.touched))
		}
		from.clear()
	}
	m.end(from)
	return into
}

// merge takes the records of another queue in, all of them in the order in which they came: those of one time by lane and
// offset.
func (q *queue) merge(other *queue) {
	a, b := cursor{q: q}, cursor{q: other}
	records := make([]record.Record, 0, len(q.Records)+len(other.Records))
	var turns []turn
	for !a.over() || !b.over() {
		c := &a
		if a.over() || !b.over() && b.before(&a) {
			c = &b
		}
		if at, dated := c.at(); dated {
			if n := len(turns); n > 0 && turns[n-1].at == at {
				turns[n-1].n++
			} else {
				turns = append(turns, turn{at, 1})
			}
		}
		records = append(records, *c.record())
		c.next()
	}
	q.Records = records
	*q.holding = holding{
		turns: turns, dated: q.dated + other.dated, kept: q.kept + other.kept, bytes: q.bytes + other.bytes, live: q.live + other.live,
	}
}

// cursor is a record of a queue: its index, and those of its turn, and within that.
type cursor struct {
	q        *queue
	i        int
	turn, in int
}

func (c *cursor) over() bool { return c.i == len(c.q.Records) }

func (c *cursor) record() *record.Record { return &c.q.Records[c.i] }

// at is when the record came; false: in this Step.
func (c *cursor) at() (int64, bool) {
	if c.turn == len(c.q.turns) {
		return 0, false
	}
	return c.q.turns[c.turn].at, true
}

func (c *cursor) next() {
	c.i++
	if c.turn == len(c.q.turns) {
		return
	}
	if c.in++; c.in == c.q.turns[c.turn].n {
		c.turn, c.in = c.turn+1, 0
	}
}

// before reports whether c's record came before d's.
func (c *cursor) before(d *cursor) bool {
	at, dated := c.at()
	dAt, dDated := d.at()
	if dated != dDated {
		return dated
	}
	return cmp.Or(cmp.Compare(at, dAt), comparePlaces(c.record(), d.record())) < 0
}
