package window

import (
	"slices"

	"github.com/windrow-io/windrow/pkg/emit"
)

// What comes of intervals that were over before anybody looked, as after a downtime (CATCH_UP). What counts are the times of
// Steps, not a clock, so that a replay does the same.
const (
	CatchUpAll       = "all"        // each window; the default
	CatchUpMerge     = "merge"      // one window of each key for all the intervals that are over in one Step
	CatchUpSkipEmpty = "skip-empty" // no empty windows for intervals in which there was no Step
)

// mergeOverdue makes one window of those of a key whose time has come in this Step. With EMIT_EMPTY it lasts for all the time
// since the last one, else from the first that has records to the last.
func (m *Machine) mergeOverdue() {
	border, _ := m.strategy.Span(m.at) // what ends by then is over
	first := m.due.first()
	if first == nil || first.End > border || first.End == border && !m.s.EmitEmpty {
		return // no interval is over, or no other one
	}
	overdue := agenda{}
	for _, q := range m.due {
		if q.End <= border {
			overdue = append(overdue, q)
		}
	}
	slices.SortFunc(overdue, func(a, b *queue) int {
		if sooner(a, b) {
			return -1
		}
		return 1
	})
	merged, since := map[string]*queue{}, m.last
	for _, q := range overdue {
		key := m.keyOf(q)
		switch into := merged[key]; {
		case q.Len() == 0: // its records were emitted early
			m.last = max(m.last, q.End)
			m.end(q)
		case into == nil:
			merged[key] = q
		default:
			m.absorb(into, q)
		}
	}
	if m.s.EmitEmpty {
		for _, q := range merged {
			q.Start, q.End = min(q.Start, since), border
		}
	}
}

// absorb adds what waits in the next queue of a key to one that is about to be emitted.
func (m *Machine) absorb(q, next *queue) {
	q.End = next.End
	if m.folds {
		m.mergeStates(q, next, false)
	} else {
		q.Records = append(q.Records, next.Records...)
		q.kept += next.kept
		q.bytes += next.bytes
		q.live += next.live
		next.clear()
	}
	m.end(next)
}

// passOver lets the empty window that ends then, and all that follow by the moment until, be those that CATCH_UP=skip-empty
// leaves out, if no Step was in it; false: there was.
func (m *Machine) passOver(end, until int64) bool {
	if start, _ := m.strategy.Span(end - 1); start <= m.looked {
		return false
	}
	m.last, _ = m.strategy.Span(until)
	return true
}

// catchUp checks CATCH_UP.
func (c *checker) catchUp() {
	s := &c.s
	c.oneOf("CATCH_UP", s.CatchUp, CatchUpAll, CatchUpMerge, CatchUpSkipEmpty)
	switch s.Emitter {
	case emit.NameFixed:
		if s.CatchUp == CatchUpMerge && (s.Size != 0 || s.Bytes != 0 || s.When != "") {
			c.add("CATCH_UP=merge conflicts with WINDOW_SIZE, WINDOW_BYTES and WINDOW_WHEN: what is overdue may be more than they allow; unset either")
		}
		if s.CatchUp == CatchUpMerge && s.EmitEarly != 0 {
			c.add("CATCH_UP=merge conflicts with EMIT_EARLY=%v: a window that was emitted can't be part of another one; unset either", s.EmitEarly)
		}
	case emit.NameRelaxed:
		if s.CatchUp == CatchUpMerge {
			c.add("CATCH_UP=merge conflicts with EMITTER=relaxed, whose windows hold all that came since the last one in any case: unset it")
		}
	case emit.NameTumbling:
		if s.CatchUp == CatchUpMerge {
			c.add("CATCH_UP=merge conflicts with EMITTER=tumbling: windows by event time are the same whenever they are made; unset it, or use EMITTER=fixed")
		}
	default:
		c.refuse("CATCH_UP", s.CatchUp != "", s.CatchUp)
		return
	}
	if !s.EmitEmpty {
		c.without("EMIT_EMPTY: set it to true", "CATCH_UP", s.CatchUp == CatchUpSkipEmpty, s.CatchUp)
	}
}
