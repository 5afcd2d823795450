package window

import (
	"errors"
	"fmt"

	"github.com/windrow-io/windrow/pkg/record"
)

// ErrLate is the reason of dead letters for records that came after the windows that they belong to had closed.
var ErrLate = errors.New("the record is late")

// What becomes of late records (LATE).
const (
	LateDeadLetter = "dead-letter" // the default
	LateDrop       = "drop"
	LateNext       = "next" // they go to the windows that are open, as if they had happened at the watermark
)

// What becomes of records that lack a field that the settings name, or have one of a wrong type (BAD_FIELD).
const (
	BadDeadLetter = "dead-letter" // the default
	BadSkip       = "skip"
	BadNull       = "null" // they are taken without it: an empty key, the record's own timestamp
)

// joinAt returns a join that takes a record in by its event time. place puts it in the windows that the moment lies in;
// false if it has no key.
func (m *Machine) joinAt(place func(r *record.Record, event int64) bool) func(*record.Record) bool {
	return func(r *record.Record) bool {
		event, err := m.clock.Time(r)
		if err != nil {
			if !m.bad(r, err) {
				return true
			}
			if event, err = m.ownTime.Time(r); err != nil {
				m.reject(r, err)
				return true
			}
		}
		m.moment = event
		if m.dedupe != nil && m.again(r, min(event, m.at+m.mark.future), m.mark.value) {
			return true
		}
		if place(r, event) {
			m.seeEvent(r, event)
		}
		return true
	}
}

// seeEvent lets the watermark rise by a record that was taken in.
func (m *Machine) seeEvent(r *record.Record, event int64) {
	rose, future := m.mark.see(r, event, m.at)
	if future {
		m.counts.Future++
	}
	if m.bytes > m.limit {
		m.relieve()
	}
	if rose && !m.pardon {
		if q := m.due.first(); q != nil && q.Due <= m.mark.value {
			m.close()
		}
	}
}

// happened is when a record that was taken in happened.
func (m *Machine) happened(r *record.Record) int64 {
	event, err := m.clock.Time(r)
	if err != nil {
		event, _ = m.ownTime.Time(r) // as joinAt decided
	}
	return event
}

// place puts r in all open windows that the moment lies in.
func (m *Machine) place(r *record.Record, event int64) bool {
	if event < m.from || event >= m.to || m.traits.Overlap {
		m.from, m.to = m.strategy.Span(event)
	}
	if m.late(m.to) {
		if !m.tolerate(r, event) {
			return true
		}
		event = m.mark.value
		m.from, m.to = m.strategy.Span(event)
	}
	if q := m.current; q != nil && q.Start == m.from && !m.traits.Overlap {
		m.enter(q, r, m.at)
		return true
	}
	if !m.call(r) {
		return false
	}
	m.enter(m.queues[string(m.name)], r, m.at)
	if m.traits.Overlap {
		for {
			m.from, m.to = m.strategy.Before(m.from)
			if m.to <= event || m.to+m.lateness <= m.mark.value {
				break
			}
			m.rename()
			m.enter(m.queues[string(m.name)], r, m.at)
		}
	}
	return true
}

// late reports whether nothing more can be added to a window that ends then.
func (m *Machine) late(end int64) bool { return end+m.lateness <= m.mark.value && !m.pardon }

// tolerate deals with a late record; true if it is to be taken as if it had happened at the watermark.
func (m *Machine) tolerate(r *record.Record, event int64) bool {
	m.counts.Late++
	switch m.s.Late {
	case LateDrop:
		m.counts.Dropped++
		return false
	case LateNext:
		return true
	}
	m.reject(r, fmt.Errorf("%w: it happened at %d, and the watermark is at %d", ErrLate, event, m.mark.value))
	return false
}
