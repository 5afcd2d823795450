package window

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/windrow-io/windrow/pkg/record"
)

// The form of a snapshot: the version, a fingerprint of settings and shard (8 bytes), flags, now, last, seq, the backlog's
// records, and the queues in the order in which they began: key, start, end, due, what was emitted of them
// (where windows may be emitted more than once: flags, number, next revision, start, end), the turns (each the time since the one
// before, and a number of records), how many of the records were in a window already, where windows slide by number, and the
// records, or where they are folded their number, the aggregate's state, and their bytes, where those matter; for event time the watermark: its value, time, and the lanes (topic,
// partition, mark, last time of records, whether read to the end); for MAX_KEYS and KEY_TIMEOUT the queues' places in the order
// in which they were used, and when; for DEDUPE what it remembers, each a digest and a moment. Numbers are varints, texts and lists begin with their length.
const snapshotVersion = 1

const flagBegun = 1

var errSnapshot = errors.New("the snapshot is corrupt")

// Snapshot appends the machine's state to dst. Equal states give equal bytes.
func (m *Machine) Snapshot(dst []byte) []byte {
	dst = append(dst, snapshotVersion)
	dst = binary.BigEndian.AppendUint64(dst, m.print)
	var flags byte
	if m.begun {
		flags |= flagBegun
	}
	dst = append(dst, flags)
	dst = binary.AppendVarint(dst, m.now)
	dst = binary.AppendVarint(dst, m.last)
	dst = binary.AppendVarint(dst, m.seq)
	dst = binary.AppendUvarint(dst, uint64(len(m.backlog.records)))
	dst = appendRecords(dst, m.backlog.records)
	queues := 0
	for q := m.waiting.first; q != nil; q = q.next {
		queues++
	}
	dst = binary.AppendUvarint(dst, uint64(queues))
	for q := m.waiting.first; q != nil; q = q.next {
		dst = m.appendQueue(dst, q)
	}
	if m.traits.Event {
		dst = m.mark.snapshot(dst)
	}
	if m.recent != nil {
		dst = m.snapshotRecency(dst)
	}
	if m.dedupe != nil {
		dst = m.dedupe.snapshot(dst)
	}
	return dst
}

func (m *Machine) appendQueue(dst []byte, q *queue) []byte {
	dst = appendText(dst, m.keyOf(q))
	dst = binary.AppendVarint(dst, q.Start)
	dst = binary.AppendVarint(dst, q.End)
	dst = binary.AppendVarint(dst, q.Due)
	if m.updates {
		dst = m.appendEdition(dst, q)
	}
	if m.folds {
		if dst = binary.AppendUvarint(dst, uint64(q.Folded)); q.Folded > 0 {
			dst = m.states.Snapshot(dst, q.state)
			if m.traits.Weighs {
				dst = binary.AppendVarint(dst, q.size)
			}
		}
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(q.turns)))
	var before int64
	for _, t := range q.turns {
		dst = binary.AppendVarint(dst, t.at-before)
		dst = binary.AppendUvarint(dst, uint64(t.n))
		before = t.at
	}
	if m.traits.Slide > 0 {
		dst = binary.AppendUvarint(dst, uint64(q.seen))
	}
	return appendRecords(dst, q.Records)
}

func appendRecords(dst []byte, records []record.Record) []byte {
	for i := range records {
		dst = records[i].AppendBinary(dst)
	}
	return dst
}

// Restore makes a machine from a Snapshot taken under the same settings, for the same shard.
func Restore(s Settings, shard string, snapshot []byte) (*Machine, error) {
	m, err := New(s, shard)
	if err != nil {
		return nil, err
	}
	if len(snapshot) == 0 || snapshot[0] != snapshotVersion {
		return nil, fmt.Errorf("the snapshot of shard %s is of another version than %d: run the version of Windrow that wrote it", shard, snapshotVersion)
	}
	r := reader{p: snapshot[1:]}
	if print := r.fixed(); r.err == nil && print != m.print {
		return nil, fmt.Errorf("the snapshot of shard %s was taken under other settings", shard)
	}
	m.restore(&r)
	if r.err == nil && len(r.p) > 0 {
		r.fail()
	}
	if r.err != nil {
		return nil, fmt.Errorf("shard %s: %w", shard, r.err)
	}
	return m, nil
}

func (m *Machine) restore(r *reader) {
	flags := r.byte()
	if flags&^flagBegun != 0 {
		r.fail()
	}
	m.begun = flags&flagBegun != 0
	m.now, m.last, m.seq = r.time(), r.time(), r.varint()
	for range r.count() {
		var x record.Record
		r.record(&x)
		x = x.Clone()
		m.backlog.add(&x)
	}
	for range r.count() {
		m.restoreQueue(r)
		if r.err != nil {
			return
		}
	}
	if m.traits.Event {
		m.mark.restore(r)
	}
	if m.recent != nil {
		m.restoreRecency(r)
	}
	if m.dedupe != nil {
		m.dedupe.restore(r)
	}
}

func (m *Machine) restoreQueue(r *reader) {
	key := r.text()
	start, end, due := r.time(), r.time(), r.time()
	if !m.keyed && len(key) > 0 {
		r.fail()
	}
	var was edition
	var flags byte
	closes := end
	if m.updates {
		if was, flags = m.readEdition(r); flags&flagClosed != 0 {
			closes += m.lateness
		}
	}
	if m.grid {
		if s, e := m.strategy.Span(start); s != start || e != end || due != closes {
			r.fail()
		}
	}
	if m.merger != nil && (due > closes || closes > end && due != closes) {
		r.fail()
	}
	name := string(append(appendInterval(nil, m.grid, start), key...))
	q := m.restored(name, start, end)
	if r.err != nil || q == nil {
		r.fail()
		return
	}
	m.strategy.Open(&q.Queue, m.now, m.last) // sets what is not in the snapshot
	q.Start, q.End, q.Due = start, end, due
	q.waits, q.closed, q.news = true, flags&flagClosed != 0, flags&flagNews != 0
	if flags&flagEmitted != 0 {
		m.editions[q] = was
	}
	q.order = m.order
	m.order++
	m.waiting.push(q)
	m.due.update(q)
	if m.only() {
		m.current = q
	}
	if m.folds {
		m.restoreFolded(q, r)
		return
	}
	m.restoreRecords(q, r)
}

// restored makes the queue of this name; nil: there can be none.
func (m *Machine) restored(name string, start, end int64) *queue {
	if m.merger == nil {
		if m.queues[name] != nil {
			return nil
		}
		return m.add(name)
	}
	before, after := m.around(name, start)
	if !m.merger.Fits(start, end) || before != nil && (before.End > start || before.Start == start) || after != nil && end > after.Start {
		return nil
	}
	q := m.fresh(name)
	m.link(q, before)
	return q
}

func (m *Machine) restoreFolded(q *queue, r *reader) {
	n := r.number()
	if n == 0 && !m.stays {
		r.fail()
	}
	if r.err != nil || n == 0 {
		return
	}
	state, rest, err := m.states.Restore(r.p)
	if err != nil {
		r.fail()
		return
	}
	r.p = rest
	q.Folded, q.state = n, state
	if m.traits.Weighs {
		if q.size = r.varint(); q.size < 0 {
			r.fail()
			return
		}
	}
	m.records += n
	m.bytes += int64(m.states.Grown(state))
}

func (m *Machine) restoreRecords(q *queue, r *reader) {
	var at int64
	total := 0
	for range r.count() {
		at += r.time()
		n := r.count()
		if n == 0 {
			r.fail()
			return
		}
		q.turns = append(q.turns, turn{at, n})
		total += n
	}
	if total > len(r.p) || total == 0 && !m.stays {
		r.fail()
		return
	}
	if m.traits.Slide > 0 {
		if q.seen = r.number(); q.seen > total {
			r.fail()
			return
		}
	}
	var x record.Record // outside the loop: it keeps the topic
	for range total {
		if r.record(&x); r.err != nil {
			return
		}
		q.Records = append(q.Records, x)
		q.live += m.arena.keep(&q.Records[q.kept])
		q.kept++
		q.bytes += cost(&x)
		q.size += int64(x.Size())
	}
	q.dated = total
	m.records += total
	m.bytes += q.bytes
	if total > 0 {
		q.Since = q.turns[0].at
	}
}

// reader reads a snapshot. After its end or a fault it gives zeros, and err is set.
type reader struct {
	p   []byte
	err error
}

func (r *reader) fail() {
	r.err = errSnapshot
	r.p = nil
}

func (r *reader) byte() byte {
	if len(r.p) < 1 {
		r.fail()
		return 0
	}
	b := r.p[0]
	r.p = r.p[1:]
	return b
}

func (r *reader) fixed() uint64 {
	if len(r.p) < 8 {
		r.fail()
		return 0
	}
	v := binary.BigEndian.Uint64(r.p)
	r.p = r.p[8:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.p)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.p = r.p[n:]
	return v
}

// time reads a moment. None is so far away that intervals added to it could overflow.
func (r *reader) time() int64 {
	const far = 1 << 60
	t := r.varint()
	if t < -far || t > far {
		r.fail()
		return 0
	}
	return t
}

// number reads a number of things.
func (r *reader) number() int {
	v, n := binary.Uvarint(r.p)
	if n <= 0 || v > math.MaxInt32 {
		r.fail()
		return 0
	}
	r.p = r.p[n:]
	return int(v)
}

// count reads a number of things that take at least one byte each.
func (r *reader) count() int {
	v, n := binary.Uvarint(r.p)
	if n <= 0 || v > uint64(len(r.p)-n) {
		r.fail()
		return 0
	}
	r.p = r.p[n:]
	return int(v)
}

func (r *reader) text() []byte {
	n := r.count()
	t := r.p[:n]
	r.p = r.p[n:]
	return t
}

func (r *reader) record(x *record.Record) {
	rest, err := x.ReadBinary(r.p)
	if err != nil {
		r.fail()
		return
	}
	r.p = rest
}
