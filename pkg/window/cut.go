package window

import (
	"fmt"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
)

// ask lets the strategy cut windows from q until it has no more.
func (m *Machine) ask(q *queue) {
	for {
		if q.closed {
			m.over(q, "")
			return
		}
		c := m.strategy.Ask(&q.Queue, m.at)
		switch {
		case c.Reason == "":
			m.due.update(q)
			return
		case c.Picked == nil:
			m.over(q, c.Reason)
			return
		}
		m.takePicked(q, &c)
		if len(q.Records) == 0 {
			return
		}
	}
}

// relieve emits the oldest windows early until the state is within its bound.
func (m *Machine) relieve() {
	for q := m.waiting.first; q != nil && m.bytes > m.limit; {
		next := q.next
		if q.Len() > 0 {
			m.emitAll(q, emit.Limit)
		}
		if q.waits && m.traits.Stays {
			m.end(q) // it is memory too
		}
		q = next
	}
}

// emitAll emits all that waits in q.
func (m *Machine) emitAll(q *queue, reason emit.Reason) {
	if m.folds {
		m.handAll(q, reason)
		m.unfold(q)
	} else {
		if q.seen < len(q.Records) { // else all of them are in windows already
			m.handAll(q, reason)
		}
		m.empty(q)
	}
	delete(m.editions, q)
	q.news = false
	if reason == emit.Interval {
		m.last = max(m.last, q.End)
	}
	if reason != emit.Interval && m.stays {
		q.Due = q.End // with EMIT_EMPTY its interval is not an empty one
		m.due.update(q)
		return
	}
	m.end(q)
}

// handAll hands over all that waits in q.
func (m *Machine) handAll(q *queue, reason emit.Reason) {
	m.issuing = q
	if m.folds {
		m.setKey(q)
		m.handState(q.state, q.Folded, reason, q.Start, q.End)
	} else {
		m.emit(q, q.Records, reason)
	}
	m.issuing = nil
}

// empty forgets the records that wait in q.
func (m *Machine) empty(q *queue) {
	m.records -= q.kept
	m.bytes -= q.bytes
	m.arena.drop(q.live)
	q.clear()
}

// complete emits q's window, which the last record to come has closed.
func (m *Machine) complete(q *queue, reason emit.Reason) {
	if m.traits.Slide == 0 {
		m.emitAll(q, reason)
		return
	}
	m.emit(q, q.Records, reason)
	marks := m.marked(len(q.Records))
	for i := range m.traits.Slide {
		marks[i] = true
	}
	m.leave(q, marks)
	q.seen = len(q.Records)
}

// marked returns a mark for each of n records, none of them set.
func (m *Machine) marked(n int) []bool {
	if cap(m.marks) < n {
		m.marks = make([]bool, 2*n)
	}
	marks := m.marks[:n]
	clear(marks)
	return marks
}

// takePicked emits some of what waits in q, or rejects it; the others stay.
func (m *Machine) takePicked(q *queue, c *emit.Cut) {
	n := len(q.Records)
	marks := m.marked(n)
	m.picked = m.picked[:0]
	for _, i := range c.Picked {
		if i < 0 || i >= n || marks[i] {
			panic(fmt.Sprintf("emitter %s: Query picked record %d of %d, or picked it twice: %v", m.s.Emitter, i, n, c.Picked))
		}
		marks[i] = true
		m.picked = append(m.picked, q.Records[i])
	}
	if c.Err == nil {
		m.emit(q, m.picked, c.Reason)
	} else if m.bad(&m.picked[0], c.Err) { // nothing to go on with
		m.counts.Nulled--
		m.reject(&m.picked[0], c.Err)
	}
	clear(m.picked)
	m.leave(q, marks)
	if len(q.Records) == 0 {
		m.end(q)
	}
}

// leave takes the marked records out of q.
func (m *Machine) leave(q *queue, marks []bool) {
	q.date(m.at)
	left, kept, i := 0, q.kept, 0
	turns := q.turns[:0]
	for _, t := range q.turns {
		stay := turn{at: t.at}
		for range t.n {
			r := &q.Records[i]
			if marks[i] {
				cost := cost(r)
				q.bytes -= cost
				m.bytes -= cost
				if i < kept {
					m.arena.drop(q.unkeep(r.Size()))
					m.records--
				}
			} else {
				if left < i {
					q.Records[left] = *r
				}
				left++
				stay.n++
			}
			i++
		}
		if stay.n > 0 {
			turns = append(turns, stay)
		}
	}
	clear(q.Records[left:])
	q.Records, q.turns, q.dated = q.Records[:left], turns, left
	if left > 0 {
		q.Since = turns[0].at
	}
}

// emitEmpty emits the windows without records up to the moment until; false: there are more than one Step may give.
func (m *Machine) emitEmpty(until int64) bool {
	for {
		start, end, ok := m.strategy.Empty(m.last, until)
		if !ok || m.s.CatchUp == CatchUpSkipEmpty && m.passOver(end, until) {
			return true
		}
		if m.s.CatchUp == CatchUpMerge {
			end, _ = m.strategy.Span(until)
		}
		if m.empties == 0 {
			return false
		}
		m.empties--
		if m.plan != nil {
			m.handSummary(nil, emit.Interval, start, end)
		} else {
			m.hand(nil, emit.Interval, start, end)
		}
		m.last = end
	}
}

// emit hands over a window of these records of q.
func (m *Machine) emit(q *queue, records []record.Record, reason emit.Reason) {
	start, end := q.Start, q.End
	if end == 0 && start == 0 {
		start, end = span(records)
	}
	m.setKey(q)
	if m.plan != nil {
		m.handSummary(records, reason, start, end)
		return
	}
	if m.sorter != nil {
		records = m.sorter.sort(records)
	}
	m.hand(records, reason, start, end)
}

// setKey makes the next window one of q's key.
func (m *Machine) setKey(q *queue) {
	if m.keyed {
		m.key = append(m.key[:0], m.keyOf(q)...)
	}
}

func (m *Machine) hand(records []record.Record, reason emit.Reason, start, end int64) {
	w := &m.window
	w.Key, w.Reason = m.key, reason
	w.Start, w.End = start, end
	w.Records, w.Result = records, nil
	m.number(w)
	m.calls++
	m.out.Window(w)
	w.Records, w.Result = nil, nil
}

// span is the least and the greatest timestamp of records.
func span(records []record.Record) (least, greatest int64) {
	least, greatest = records[0].Timestamp, records[0].Timestamp
	for i := range records {
		t := records[i].Timestamp
		least, greatest = min(least, t), max(greatest, t)
	}
	return least, greatest
}
