package window

import "github.com/windrow-io/windrow/pkg/emit"

// Flush emits all that waits, whether its window is complete or not, the queues in the order in which they began. It is
// called between Steps, and belongs to the decision of the one before. Records of an interval that was flushed before its
// end may still come: they make another window of the same interval. It returns the number of calls of out.
func (m *Machine) Flush(out Out) int { return m.flush(emit.Flush, out) }

func (m *Machine) flush(reason emit.Reason, out Out) int {
	m.out, m.calls = out, 0
	for q := m.waiting.first; q != nil; {
		next := q.next
		if q.Len() > 0 {
			m.emitAll(q, reason)
		}
		q = next
	}
	m.out = nil
	return m.calls
}
