package buffer

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"sync"
)

// sink collects the raw answers of a pipeline, one after the other, in memory that is used again. go-redis finds
// ReadFrom and reads large values from the socket straight into it.
type sink struct {
	p      []byte
	lent   *[]byte // p's memory, of answerMemory
	shared bool    // take p's memory from there
}

const (
	leastSink  = 512
	leastLent  = 64 << 10
	mostLent   = 4 << 20 // larger memory is the garbage collector's
	growthLess = 256 << 10
)

// answerMemory is the memory of large answers. It is taken when an answer comes, and given back when what it brought is
// worked on: the readers that wait hold none.
var answerMemory = sync.Pool{New: func() any { p := make([]byte, 0, leastLent); return &p }}

// reset empties the sink.
func (s *sink) reset() { s.p = s.p[:0] }

// release gives shared memory back.
func (s *sink) release() {
	if s.lent != nil && cap(s.p) <= mostLent {
		*s.lent = s.p[:0]
		answerMemory.Put(s.lent)
	}
	if s.shared {
		s.p, s.lent = nil, nil
	}
}

// grow makes room for n more bytes.
func (s *sink) grow(n int) {
	if s.shared && s.p == nil {
		s.lent = answerMemory.Get().(*[]byte)
		s.p = *s.lent
	}
	if cap(s.p)-len(s.p) >= n {
		return
	}
	more := cap(s.p)
	if more > growthLess {
		more /= 2
	}
	p := make([]byte, len(s.p), max(cap(s.p)+more, len(s.p)+n, leastSink))
	copy(p, s.p)
	s.p = p
}

// Write implements io.Writer.
func (s *sink) Write(p []byte) (int, error) {
	s.grow(len(p))
	s.p = append(s.p, p...)
	return len(p), nil
}

// ReadFrom implements io.ReaderFrom for the io.LimitedReader that io.CopyN makes.
func (s *sink) ReadFrom(r io.Reader) (int64, error) {
	l, ok := r.(*io.LimitedReader)
	if !ok {
		return 0, errors.New("a reader without limit")
	}
	at, n := len(s.p), int(l.N)
	s.grow(n)
	s.p = s.p[:at+n]
	k, err := io.ReadFull(r, s.p[at:])
	s.p = s.p[:at+k]
	return int64(k), err
}

// answers walks over the answers in RESP2, in place: what it returns aliases p. Each call consumes what it returns; an
// answer that is an error is consumed and returned as serverError.
type answers struct {
	p []byte
	i int
}

// serverError is an error that Redis answered.
type serverError string

func (e serverError) Error() string { return string(e) }

var errAnswer = errors.New("redis sent an answer that is not understood")

// line consumes a line: its type and what follows.
func (a *answers) line() (kind byte, rest []byte, err error) {
	n := bytes.IndexByte(a.p[a.i:], '\n')
	if n < 2 || a.p[a.i+n-1] != '\r' {
		return 0, nil, errAnswer
	}
	l := a.p[a.i : a.i+n-1]
	a.i += n + 1
	if l[0] == '-' {
		return 0, nil, serverError(l[1:])
	}
	return l[0], l[1:], nil
}

// length consumes the head of a string or an array: -1 for null, else at most what the remaining bytes can hold.
func (a *answers) length(want byte) (int, error) {
	kind, rest, err := a.line()
	if err != nil {
		return 0, err
	}
	return a.len(kind, want, rest)
}

func (a *answers) len(kind, want byte, rest []byte) (int, error) {
	n, ok := number(rest)
	if kind != want || !ok || n < -1 || n > int64(len(a.p)-a.i) {
		return 0, errAnswer
	}
	return int(n), nil
}

// array consumes the head of an array: the number of its elements, -1 for null.
func (a *answers) array() (int, error) { return a.length('*') }

// text consumes a string: null for nil.
func (a *answers) text() ([]byte, error) {
	kind, rest, err := a.line()
	if err != nil {
		return nil, err
	}
	if kind == '+' || kind == ':' {
		return rest, nil
	}
	return a.bytes(kind, rest)
}

// bytes consumes the rest of a string whose head is consumed.
func (a *answers) bytes(kind byte, head []byte) ([]byte, error) {
	n, err := a.len(kind, '$', head)
	if n < 0 || err != nil {
		return nil, err
	}
	if a.i+n+2 > len(a.p) || a.p[a.i+n] != '\r' || a.p[a.i+n+1] != '\n' {
		return nil, errAnswer
	}
	s := a.p[a.i : a.i+n : a.i+n]
	a.i += n + 2
	return s, nil
}

// integer consumes a number, also one in a string; ok is false for null.
func (a *answers) integer() (n int64, ok bool, err error) {
	s, err := a.text()
	if err != nil || s == nil {
		return 0, false, err
	}
	if n, ok = number(s); !ok {
		return 0, false, errAnswer
	}
	return n, true, nil
}

// skip consumes one answer of any kind. An error inside an array counts like any other element.
func (a *answers) skip() error {
	var top error
	for left, first := 1, true; left > 0; left-- {
		kind, rest, err := a.line()
		if err != nil {
			var se serverError
			if !errors.As(err, &se) {
				return err
			}
			if first {
				top = err
			}
		}
		switch kind {
		case '*':
			n, err := a.len(kind, '*', rest)
			if err != nil {
				return err
			}
			left += max(n, 0)
		case '$':
			if _, err := a.bytes(kind, rest); err != nil {
				return err
			}
		}
		first = false
	}
	return top
}

// number parses a decimal number that fits an int64.
func number(s []byte) (int64, bool) {
	neg := len(s) > 0 && s[0] == '-'
	if neg {
		s = s[1:]
	}
	if len(s) == 0 || len(s) > 19 {
		return 0, false
	}
	var n uint64
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	if n > math.MaxInt64 {
		return 0, false
	}
	if neg {
		return -int64(n), true
	}
	return int64(n), true
}

// entryID parses an entry's ID, ms-seq.
func entryID(s []byte) (ms, seq int64, ok bool) {
	l, r, found := bytes.Cut(s, []byte{'-'})
	ms, ok1 := number(l)
	seq, ok2 := number(r)
	return ms, seq, found && ok1 && ok2 && ms >= 0 && seq >= 0
}

// fullMemory reports whether Redis refused for want of memory.
func fullMemory(err error) bool {
	return err != nil && strings.Contains(err.Error(), "OOM ")
}
