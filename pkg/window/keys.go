package window

import (
	"container/list"
	"encoding/binary"

	"github.com/windrow-io/windrow/pkg/emit"
)

// recency has the queues of keys in the order in which they last got a record, for MAX_KEYS and KEY_TIMEOUT.
type recency struct {
	order list.List // of *use, the longest ago first
	uses  map[*queue]*list.Element
}

type use struct {
	q  *queue
	at int64 // Unix milliseconds
}

// recencyCost is what an entry takes in memory, in bytes: about, and always the same.
const recencyCost = 96

func newRecency() *recency { return &recency{uses: map[*queue]*list.Element{}} }

// first is the use the longest ago; nil: there is none.
func (l *recency) first() *use {
	if e := l.order.Front(); e != nil {
		return e.Value.(*use)
	}
	return nil
}

// touch notes that q gets a record.
func (l *recency) touch(q *queue, at int64) {
	if e := l.uses[q]; e != nil {
		e.Value.(*use).at = at
		l.order.MoveToBack(e)
		return
	}
	l.uses[q] = l.order.PushBack(&use{q, at})
}

// drop forgets q, which may not be there.
func (l *recency) drop(q *queue) {
	if e := l.uses[q]; e != nil {
		l.order.Remove(e)
		delete(l.uses, q)
	}
}

// makeRoom closes the windows of the keys that got a record the longest ago until there is room for one more.
func (m *Machine) makeRoom() {
	for m.s.MaxKeys > 0 && len(m.queues) >= m.s.MaxKeys {
		q := m.recent.first().q
		if q.Len() > 0 {
			m.emitAll(q, emit.Limit)
		}
		if q.waits {
			m.end(q)
		}
	}
}

// idle is the queue that no record has come to for KEY_TIMEOUT, up to now; since is when that was over. nil: there is none.
func (m *Machine) idle(now int64) (q *queue, since int64) {
	if m.s.KeyTimeout == 0 {
		return nil, 0
	}
	u := m.recent.first()
	if u == nil {
		return nil, 0
	}
	if since = u.at + m.s.KeyTimeout.Milliseconds(); since > now {
		return nil, since
	}
	return u.q, since
}

// snapshotRecency appends the queues' places among those that wait, in their order, and when they were used.
func (m *Machine) snapshotRecency(dst []byte) []byte {
	places := make(map[*queue]int, len(m.queues))
	for q := m.waiting.first; q != nil; q = q.next {
		places[q] = len(places)
	}
	for e := m.recent.order.Front(); e != nil; e = e.Next() {
		u := e.Value.(*use)
		dst = binary.AppendUvarint(dst, uint64(places[u.q]))
		dst = binary.AppendVarint(dst, u.at)
	}
	return dst
}

func (m *Machine) restoreRecency(r *reader) {
	var queues []*queue
	for q := m.waiting.first; q != nil; q = q.next {
		queues = append(queues, q)
	}
	for range queues {
		i, at := r.number(), r.time()
		if r.err != nil || i >= len(queues) || m.recent.uses[queues[i]] != nil {
			r.fail()
			return
		}
		m.recent.touch(queues[i], at)
	}
}
