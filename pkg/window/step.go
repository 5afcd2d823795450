package window

import (
	"encoding/binary"
	"iter"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
)

// Step takes one decision: at the time now (Unix milliseconds, never before the last one) these records were read. The
// records are valid until Step returns; what must wait is copied. It returns the number of calls of out.
func (m *Machine) Step(now int64, records iter.Seq[*record.Record], out Out) int {
	m.looked = m.time(m.now)
	m.at = max(now, m.now)
	m.out, m.calls, m.empties = out, 0, maxEmpty
	preview := m.previewDue()
	if !m.placed && !m.traits.Asked {
		m.close() // the records come at this moment, after all that was due by then
	}
	if m.traits.Event && m.mark.rise(m.at) { // by what is known of the lanes
		m.close()
	}
	m.joinBacklog()
	m.bound = m.now
	if records != nil {
		records(m.joinFn)
	}
	if m.traits.Asked {
		for i := 0; i < len(m.touched); i++ {
			if q := m.touched[i]; q != nil {
				m.ask(q)
			}
		}
	}
	if m.traits.Event {
		m.mark.pass(m.at) // only now: what was just read had not been waited for before
	}
	m.close()
	m.revise()
	if preview {
		m.preview()
	}
	m.keep()
	m.scanner.Next(nil) // the value's memory is the caller's
	m.now, m.out = m.at, nil
	return m.calls
}

// joinBacklog takes in what waited when the settings were changed. A time of receipt that is known still counts.
func (m *Machine) joinBacklog() {
	records := m.backlog.records
	m.backlog = backlog{}
	m.bound = 0
	m.pardon = true
	for i := range records {
		m.joinFn(&records[i])
	}
	m.pardon = false
}

// join takes a record in.
func (m *Machine) join(r *record.Record) bool {
	q, at := m.current, m.at
	if q == nil || m.traits.Received {
		switch {
		case !m.traits.Received:
		case r.Received != 0:
			at = max(r.Received, m.bound)
		case m.pardon:
			at = m.now // of the change: what is read now was received then, or later
		}
		var ok bool
		if q, ok = m.find(r, at); !ok {
			return true
		}
	}
	m.enter(q, r, at)
	if m.bytes > m.limit {
		m.relieve()
	}
	return true
}

// find returns the queue that r is to wait in, nil if there is none yet; false if r has no key.
func (m *Machine) find(r *record.Record, at int64) (*queue, bool) {
	if m.traits.Received && (at < m.from || at >= m.to) {
		m.from, m.to = m.strategy.Span(at)
	}
	if m.current != nil && m.current.Start == m.from {
		return m.current, true
	}
	if !m.call(r) {
		return nil, false
	}
	return m.queues[string(m.name)], true
}

// enter lets r wait in q, or in a new queue called m.name, and closes its window if r completes it.
func (m *Machine) enter(q *queue, r *record.Record, at int64) {
	if !m.traits.Meets || q != nil && q.Len()+1 < m.traits.MeetsAt {
		m.put(m.have(q), r, at)
		return
	}
	seen, bytes := &m.none, int64(0)
	if q != nil {
		seen = &q.Queue
	}
	if m.traits.Weighs {
		bytes = int64(r.Size())
		if q != nil {
			bytes += q.size
		}
	}
	wanted, closes, err := m.strategy.Meet(seen, r, bytes)
	if err != nil && !m.bad(r, err) {
		return
	}
	if !wanted {
		m.counts.Unwanted++
		return
	}
	q = m.have(q)
	m.put(q, r, at)
	if m.traits.Weighs {
		q.size = bytes
	}
	if closes != "" {
		m.complete(q, closes)
	}
}

// put lets r wait in q.
func (m *Machine) put(q *queue, r *record.Record, at int64) {
	if q.Len() == 0 {
		m.begin(q, at)
	}
	if m.recent != nil {
		m.recent.touch(q, m.at)
	}
	q.news = true
	if n := len(m.revised); q.closed && (n == 0 || m.revised[n-1] != q) {
		m.revised = append(m.revised, q)
	}
	if m.folds {
		m.fold(q, r)
		return
	}
	q.Records = append(q.Records, *r)
	if m.traits.Received {
		q.Records[len(q.Records)-1].Received = at
	}
	cost := cost(r)
	q.bytes += cost
	m.bytes += cost
	if q.touched == 0 {
		m.touched = append(m.touched, q)
		q.touched = int32(len(m.touched))
	}
}

// call sets the name of r's queue, for the interval m.from; false if r has no key.
func (m *Machine) call(r *record.Record) bool {
	m.name = appendInterval(m.name[:0], m.grid, m.from)
	if !m.keyed {
		return true
	}
	prefix := len(m.name)
	var err error
	if m.name, err = m.keyRef.Text(m.name, r); err != nil {
		m.name = m.name[:prefix]
		return m.bad(r, err)
	}
	return true
}

// rename makes m.name the one of the same key for another interval, m.from.
func (m *Machine) rename() { binary.BigEndian.PutUint64(m.name, uint64(m.from)) }

// bad deals with a record that lacks a field, or has one of a wrong type; true if it is to be taken without it.
func (m *Machine) bad(r *record.Record, err error) bool {
	switch m.s.BadField {
	case BadSkip:
		m.counts.Skipped++
		return false
	case BadNull:
		m.counts.Nulled++
		return true
	}
	m.reject(r, err)
	return false
}

// reject hands a record to the dead letters, as it came.
func (m *Machine) reject(r *record.Record, err error) {
	if m.original != nil {
		r = m.original
	}
	m.calls++
	m.out.Reject(r, err)
}

// have returns q, or the new queue called m.name, for the interval m.from to m.to.
func (m *Machine) have(q *queue) *queue {
	if q == nil {
		m.makeRoom()
		q = m.add(string(m.name))
		q.Start, q.End = m.from, m.to
	}
	if !m.keyed {
		m.current = q
	}
	return q
}

// add makes an empty queue, known by its name.
func (m *Machine) add(name string) *queue {
	q := m.fresh(name)
	m.queues[name] = q
	return q
}

// fresh makes an empty queue.
func (m *Machine) fresh(name string) (q *queue) {
	if n := len(m.spare); n > 0 {
		q = m.spare[n-1]
		m.spare[n-1] = nil
		m.spare = m.spare[:n-1]
		m.room -= cap(q.Records)
	} else {
		q = &queue{}
		if !m.folds || m.traits.Weighs {
			q.holding = &holding{}
		}
	}
	q.name = name
	m.bytes += m.cost(q)
	return q
}

// only reports whether there is one queue and no other: no keys, no intervals.
func (m *Machine) only() bool { return !m.keyed && !m.placed }

// keyOf is the part of q's name that its records have in common.
func (m *Machine) keyOf(q *queue) string {
	if m.grid {
		return q.name[intervalName:]
	}
	return q.name
}

// cost is what a queue takes in memory besides its records.
func (m *Machine) cost(q *queue) int64 {
	n := int64(queueCost)
	switch {
	case m.only():
		return 0
	case m.folds:
		n = foldedCost + int64(m.plan.Size())
	}
	if m.recent != nil {
		n += recencyCost
	}
	return n + int64(len(q.name))
}

// begin is called when the first record is about to wait in q.
func (m *Machine) begin(q *queue, at int64) {
	q.Since = m.at
	if !q.waits {
		q.waits = true
		q.order = m.order
		m.order++
		m.waiting.push(q)
	}
	m.strategy.Open(&q.Queue, at, m.last)
	m.due.update(q)
}

// end is called when nothing waits in q any more.
func (m *Machine) end(q *queue) {
	q.waits, q.closed, q.news = false, false, false
	m.waiting.remove(q)
	m.due.remove(q)
	q.Due = 0
	if q.touched > 0 {
		if int(q.touched) == len(m.touched) {
			m.touched = m.touched[:q.touched-1]
		} else {
			m.touched[q.touched-1] = nil
		}
		q.touched = 0
	}
	if m.only() {
		return // it stays, and costs nothing
	}
	if m.merger != nil {
		m.unlink(q)
	} else {
		delete(m.queues, q.name)
	}
	if m.recent != nil {
		m.recent.drop(q)
	}
	m.bytes -= m.cost(q)
	if m.current == q {
		m.current = nil
	}
	if len(m.spare) < maxSpare && m.room+cap(q.Records) <= maxSpareRecords {
		m.room += cap(q.Records)
		*q = queue{Queue: emit.Queue{Records: q.Records}, holding: q.holding}
		m.spare = append(m.spare, q)
	}
}

// close closes the windows whose time has come, and the empty ones between them, in the order of time.
func (m *Machine) close() {
	if !m.begun {
		m.start()
	}
	if m.s.CatchUp == CatchUpMerge {
		m.mergeOverdue()
	}
	for {
		q := m.due.first()
		if q != nil && q.Due > m.time(m.at) {
			q = nil
		}
		if idle, since := m.idle(m.at); idle != nil && (q == nil || since < q.Due) {
			m.emitAll(idle, emit.Idle)
			continue
		}
		if m.s.EmitEmpty && m.begun {
			until := m.time(m.at)
			if q != nil {
				until = q.Start
			}
			if !m.emitEmpty(until) {
				return // the next Step goes on, see Deadline
			}
		}
		if q == nil {
			return
		}
		if q.Len() > 0 {
			m.ask(q)
			continue
		}
		m.last = max(m.last, q.End) // its records were emitted early
		m.end(q)
	}
}

// time is what decides on what is due at a moment.
func (m *Machine) time(at int64) int64 {
	if m.traits.Event {
		return m.mark.value
	}
	return at
}

// start lets the first interval be the one of the first Step, or of the first record received, or by event time that of
// the first window that closes.
func (m *Machine) start() {
	at, q := m.at, m.due.first()
	switch {
	case m.traits.Event && (q == nil || q.Due > m.time(m.at)):
		return // a record of an earlier one may come yet
	case m.traits.Event:
		at = q.Start
	case m.traits.Received && q != nil:
		at = min(at, q.Start)
	}
	m.begun = true
	m.last, _ = m.strategy.Span(at)
}

// keep copies what still waits of the Step's records out of the caller's memory.
func (m *Machine) keep() {
	for i, q := range m.touched {
		m.touched[i] = nil
		if q == nil {
			continue
		}
		q.touched = 0
		q.date(m.at)
		m.records += len(q.Records) - q.kept
		for ; q.kept < len(q.Records); q.kept++ {
			q.live += m.arena.keep(&q.Records[q.kept])
		}
	}
	m.touched = m.touched[:0]
	if m.arena.wasteful() {
		m.compact()
	}
}

// compact moves what waits to fresh memory.
func (m *Machine) compact() {
	m.arena.swap()
	for q := m.waiting.first; q != nil; q = q.next {
		for i := range q.Records {
			m.arena.move(&q.Records[i])
		}
	}
	m.arena.release()
}
