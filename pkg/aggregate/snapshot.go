package aggregate

import (
	"encoding/binary"
	"errors"
)

// Snapshot appends a state to dst. Equal states give equal bytes.
func (s *States) Snapshot(dst []byte, number int32) []byte {
	for _, w := range s.words(number)[1:] {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	if len(s.plan.more) > 0 {
		for _, m := range s.more[number] {
			dst = m.snapshot(dst)
		}
	}
	return dst
}

// ErrSnapshot is the error of Restore for what is no snapshot.
var ErrSnapshot = errors.New("the aggregate's snapshot is corrupt")

// Restore makes a state of what Snapshot has appended, and returns its number and the rest.
func (s *States) Restore(snapshot []byte) (number int32, rest []byte, err error) {
	number = s.New()
	words := s.words(number)
	r := &reader{p: snapshot}
	for i := range words[1:] {
		words[1+i] = r.fixed()
	}
	if len(s.plan.more) > 0 {
		for _, m := range s.more[number] {
			words[0] += uint64(m.restore(r))
		}
	}
	if r.failed {
		s.Free(number)
		return 0, nil, ErrSnapshot
	}
	return number, r.p, nil
}

// reader reads a snapshot. After its end or a fault it gives zeros.
type reader struct {
	p      []byte
	failed bool
}

func (r *reader) fail() { r.p, r.failed = nil, true }

func (r *reader) fixed() uint64 {
	if len(r.p) < 8 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.p)
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

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.p)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.p = r.p[n:]
	return v
}

// count reads a number of things that take at least one byte each.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.p)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) bytes() []byte {
	n := r.count()
	p := r.p[:n]
	r.p = r.p[n:]
	return p
}

func appendBytes(dst, p []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(p))), p...)
}
