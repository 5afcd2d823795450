package window

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/record"
)

// dedupe remembers the values of a field (DEDUPE), so that records which come again are told. A value is remembered from
// the first record that has it on, until time has passed that by the horizon – the watermark, and when the record
// happened, for emitters by event time –, and no more than so many of them: beyond, the one that came first is forgotten.
//
// What is remembered is a digest, so that it takes the same whatever the values are.
type dedupe struct {
	ref    field.Ref
	within int64 // milliseconds
	most   int

	known   map[digest]int // place in entries, and before it those that were forgotten
	entries []entry        // in the order in which they came; the first ones, up to head, are forgotten
	head    int
	gone    int // entries that were there before entries[0]
	text    []byte
}

type digest [16]byte

type entry struct {
	digest digest
	at     int64
}

// dedupeCost is what an entry takes in memory, in bytes: about, and always the same.
const dedupeCost = 80

func newDedupe(s Settings) (*dedupe, error) {
	ref, err := field.Parse(s.Dedupe)
	if err != nil {
		return nil, err
	}
	return &dedupe{ref: ref, within: s.DedupeWithin.Milliseconds(), most: s.DedupeMax, known: map[digest]int{}}, nil
}

// len is the number of values remembered.
func (d *dedupe) len() int { return len(d.entries) - d.head }

// unique returns a join that takes in what didn't come before.
func (m *Machine) unique(join func(*record.Record) bool) func(*record.Record) bool {
	return func(r *record.Record) bool { return m.again(r, m.at, m.at) || join(r) }
}

// again reports whether r is not to be taken in, since it came before or can't be told from others. at is its moment, and
// now the one that decides on what is forgotten.
func (m *Machine) again(r *record.Record, at, now int64) bool {
	d := m.dedupe
	if m.pardon {
		return false // it has been here before
	}
	var err error
	if d.text, err = d.ref.Text(d.text[:0], r); err != nil {
		return !m.bad(r, err)
	}
	d.forget(now)
	sum := sha256.Sum256(d.text)
	key := digest(sum[:16])
	if i, ok := d.known[key]; ok {
		e := &d.entries[i-d.gone]
		if gap := at - e.at; -d.within < gap && gap < d.within {
			m.counts.Duplicate++
			return true
		}
		e.at = max(e.at, at)
		return false
	}
	if d.len() == d.most {
		d.drop()
		m.counts.Forgotten++
	}
	d.add(entry{key, at})
	return false
}

func (d *dedupe) add(e entry) {
	d.known[e.digest] = d.gone + len(d.entries)
	d.entries = append(d.entries, e)
}

// forget forgets the first ones as far as time has passed them.
func (d *dedupe) forget(now int64) {
	for d.len() > 0 && now != never && d.entries[d.head].at+d.within <= now {
		d.drop()
	}
}

// drop forgets the first one.
func (d *dedupe) drop() {
	delete(d.known, d.entries[d.head].digest)
	if d.head++; d.head > 64 && d.head > len(d.entries)/2 {
		d.entries = append(d.entries[:0], d.entries[d.head:]...)
		d.gone += d.head
		d.head = 0
	}
}

func (d *dedupe) snapshot(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(d.len()))
	for _, e := range d.entries[d.head:] {
		dst = append(dst, e.digest[:]...)
		dst = binary.AppendVarint(dst, e.at)
	}
	return dst
}

func (d *dedupe) restore(r *reader) {
	for range r.count() {
		var e entry
		if len(r.p) < len(e.digest) {
			r.fail()
			return
		}
		r.p = r.p[copy(e.digest[:], r.p):]
		e.at = r.time()
		if _, twice := d.known[e.digest]; twice || r.err != nil || d.len() == d.most {
			r.fail()
			return
		}
		d.add(e)
	}
}

// carry takes over what another one remembers, as far as it has room.
func (d *dedupe) carry(from *dedupe) {
	for _, e := range from.entries[max(from.head, len(from.entries)-d.most):] {
		d.add(e)
	}
}
