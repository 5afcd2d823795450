package window

import (
	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
)

// Where AGGREGATE is set records are folded into the state of their queue as they come, and forgotten. Only an emitter that
// looks at the records themselves (emit.Traits.Asked) has them kept, and its windows folded when they are emitted.

// read returns a join that takes the fields of AGGREGATE out of each record first, once for all the windows that it is in.
func (m *Machine) read(join func(*record.Record) bool) func(*record.Record) bool {
	lenient := m.s.BadField == BadNull
	return func(r *record.Record) bool {
		faults, err := m.plan.Read(r, lenient)
		if err != nil {
			m.bad(r, err)
			return true
		}
		m.counts.Nulled += int64(faults)
		return join(r)
	}
}

// fold adds the record that was read last to q.
func (m *Machine) fold(q *queue, r *record.Record) {
	if q.Folded == 0 {
		q.state = m.states.New()
	}
	m.bytes += int64(m.states.Add(q.state, m.moment))
	if m.spanless {
		if q.Folded == 0 {
			q.Start, q.End = r.Timestamp, r.Timestamp
		}
		q.Start, q.End = min(q.Start, r.Timestamp), max(q.End, r.Timestamp)
	}
	q.Folded++
	m.records++
}

// mergeStates lets what the records of a queue have come to be part of another's: before its own, or after.
func (m *Machine) mergeStates(into, from *queue, before bool) {
	m.bytes += int64(m.states.Merge(into.state, from.state, before)) - int64(m.states.Grown(from.state))
	into.Folded += from.Folded
	m.states.Free(from.state)
}

// unfold forgets what the records of q have come to.
func (m *Machine) unfold(q *queue) {
	m.bytes -= int64(m.states.Grown(q.state))
	m.records -= q.Folded
	m.states.Free(q.state)
	q.Folded = 0
	if m.traits.Weighs {
		q.size = 0
	}
}

// handSummary hands over the aggregate of records that were kept, or of none.
func (m *Machine) handSummary(records []record.Record, reason emit.Reason, start, end int64) {
	state := m.states.New()
	for i := range records {
		r := &records[i]
		faults, _ := m.plan.Read(r, true) // a field that is missing was nobody's fault when the record came
		m.counts.Nulled += int64(faults)
		var moment int64
		if m.traits.Event {
			m.scanner.Next(r.Value)
			moment = m.happened(r)
		}
		m.states.Add(state, moment)
	}
	m.handState(state, len(records), reason, start, end)
	m.states.Free(state)
}

// handState hands over a state as a window of one record, whose value is the result.
func (m *Machine) handState(state int32, n int, reason emit.Reason, start, end int64) {
	m.summary = m.states.AppendJSON(m.summary[:0], state, n)
	m.one[0] = record.Record{Value: m.summary, Timestamp: end}
	if m.keyed {
		m.one[0].Key = m.key
	}
	m.window.Folded = n
	m.hand(m.one[:], reason, start, end)
}
