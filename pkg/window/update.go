package window

import (
	"encoding/binary"

	"github.com/windrow-io/windrow/pkg/emit"
)

// A window may be emitted more than once: before it is complete (EMIT_EARLY), and again for what comes when its time was
// over (ALLOWED_LATENESS). It has the same number each time, and so the same id, and counts its revisions; the last one
// says that it is final. Where neither is asked for none of this is kept.

// edition is what is remembered of a window that was emitted and may be emitted again.
type edition struct {
	seq        int64
	next       int64 // revision
	start, end int64 // when it was emitted first: a session's may change
}

// number gives the window that is handed over its number, and what else its identity needs.
func (m *Machine) number(w *Window) {
	if !m.updates {
		w.Seq = m.seq
		m.seq++
		return
	}
	e, again := m.editions[m.issuing]
	if !again {
		e = edition{seq: m.seq, start: w.Start, end: w.End}
		m.seq++
	}
	w.Seq, w.Revision, w.Final, w.born = e.seq, e.next, m.final, [2]int64{e.start, e.end}
	e.next++
	if !m.final {
		m.editions[m.issuing] = e
	}
}

// issue emits what is known of a window that stays.
func (m *Machine) issue(q *queue, reason emit.Reason) {
	m.final = false
	m.handAll(q, reason)
	m.final = true
	q.news = false
}

// over deals with a window whose time is over: it is emitted, and unless late records may still come that is all.
func (m *Machine) over(q *queue, reason emit.Reason) {
	switch {
	case q.closed:
		m.emitAll(q, emit.Final)
	case m.lateness == 0:
		m.emitAll(q, reason)
	default:
		m.issue(q, reason)
		q.closed = true
		q.Due = q.End + m.lateness
		m.due.update(q)
	}
}

// revise emits the windows again that late records came for in this Step.
func (m *Machine) revise() {
	for i, q := range m.revised {
		if q.closed && q.news {
			m.issue(q, emit.Late)
		}
		m.revised[i] = nil
	}
	m.revised = m.revised[:0]
}

// preview emits what is known of the windows that are open, unless that was emitted before.
func (m *Machine) preview() {
	for q := m.waiting.first; q != nil; q = q.next {
		if q.news && !q.closed {
			m.issue(q, emit.Early)
		}
	}
}

// previewDue reports whether the Step comes to a moment at which open windows are emitted: a multiple of EMIT_EARLY.
func (m *Machine) previewDue() bool {
	return m.early > 0 && m.now > 0 && m.at-m.at%m.early > m.now-m.now%m.early
}

// previews is when that is the next time; 0: never.
func (m *Machine) previews() int64 {
	if m.early == 0 || m.waiting.first == nil {
		return 0
	}
	return m.now - m.now%m.early + m.early
}

// retime sets the time of a session that a record has joined, and that may have closed before.
func (m *Machine) retime(q *queue) {
	switch {
	case q.closed && q.End <= m.mark.value:
		q.Due = q.End + m.lateness
	case q.closed || q.Due > q.End: // it is open again
		q.closed = false
		q.Due = q.End
	default:
		return
	}
	m.due.update(q)
}

// adopt lets the window of q be known as the one that from was emitted as, if only that was. If both were, it goes on as the
// one with the later number, which so is newer than anything that was known of the two; of the other there is a last revision
// without records.
func (m *Machine) adopt(q, from *queue) {
	e, was := m.editions[from]
	if !was {
		return
	}
	if other, both := m.editions[q]; both {
		gone := from
		if other.seq < e.seq {
			gone = q
		} else {
			e = other
		}
		m.setKey(gone)
		m.issuing = gone
		if m.plan != nil {
			m.handSummary(nil, emit.Merged, gone.Start, gone.End)
		} else {
			m.hand(nil, emit.Merged, gone.Start, gone.End)
		}
		m.issuing = nil
	}
	m.editions[q] = e
	delete(m.editions, from)
}

// settle emits those windows for the last time that were emitted before: they can't be carried over.
func (m *Machine) settle(reason emit.Reason, out Out) {
	m.out, m.calls = out, 0
	for q := m.waiting.first; q != nil; {
		next := q.next
		if _, was := m.editions[q]; was {
			m.emitAll(q, reason)
		}
		q = next
	}
	m.out = nil
}

const (
	flagClosed = 1 << iota
	flagNews
	flagEmitted
)

// appendEdition appends what is known of q's window to a snapshot.
func (m *Machine) appendEdition(dst []byte, q *queue) []byte {
	e, was := m.editions[q]
	var flags byte
	for i, set := range [...]bool{q.closed, q.news, was} {
		if set {
			flags |= 1 << i
		}
	}
	if dst = append(dst, flags); !was {
		return dst
	}
	for _, v := range [...]int64{e.seq, e.next, e.start, e.end} {
		dst = binary.AppendVarint(dst, v)
	}
	return dst
}

// readEdition reads what appendEdition appends.
func (m *Machine) readEdition(r *reader) (e edition, flags byte) {
	if flags = r.byte(); flags&flagEmitted != 0 {
		e = edition{seq: r.varint(), next: r.varint(), start: r.time(), end: r.time()}
		if e.seq < 0 || e.seq >= m.seq || e.next < 1 {
			r.fail()
		}
	}
	if closed := flags&flagClosed != 0; flags > flagClosed|flagNews|flagEmitted || closed && (m.lateness == 0 || flags&flagEmitted == 0) {
		r.fail()
	}
	return e, flags
}
