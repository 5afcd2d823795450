// Package aggregate folds the records of a window into a few values, one record after the other, so that what waits for a
// window is as large as its result and not as its records.
//
// A Plan is what AGGREGATE asks for, States are what windows have come to. Like all that a shard's windows depend on it is
// pure: the same records in the same order give the same state, byte for byte, also over a snapshot in between.
//
//	count()  count(f)         records; those that have the field
//	sum avg min max stddev    of the numbers in a field; stddev is the sample's
//	first(f) last(f)          value of the earliest and the latest record, by event time if the emitter goes by that
//	distinct(f)               number of different values; distinct_approx(f): within about 2 %, in 4 KiB
//	p50(f) … p99.9(f)         percentiles, within 1 % of the value (a DDSketch)
//	top(f, n)                 the n most frequent values, each with its count
//	collect(f) collect(f, n)  all values, or the first n
package aggregate

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/record"
)

// ErrNotNumber is the error of Read for a field that should hold a number.
var ErrNotNumber = errors.New("no number")

// Plan is a list of aggregates.
type Plan struct {
	items  []item
	fields []use
	words  int // of a state
	more   []func() more

	buffer []byte // of Read
}

// Bind has the fields looked for by a scanner that others share.
func (p *Plan) Bind(s *field.Scanner) {
	for i := range p.fields {
		p.fields[i].ref = s.Bind(p.fields[i].ref)
	}
}

// item is one aggregate.
type item struct {
	name  string // in the result
	f     function
	field int // index in fields; -1: none
	more  int // index in a state's more; -1: it is made of the field's numbers alone
	arg   float64
	// shared: another item adds to it.
	shared bool
}

// use is a field and what is kept of its numbers. Each is an index of a state's words, -1 where it is not asked for.
type use struct {
	ref                       field.Ref
	needed                    bool // whether it is a fault if it is missing
	numeric                   bool
	n, sum, least, most, mean int // sum takes two words, and so does mean

	value value
}

// value is what a record has in a field.
type value struct {
	there bool
	json  []byte
	num   float64
}

// Read takes the values of r's fields, for Add; it doesn't keep r. The error names the field that is missing, or of the
// wrong type: with lenient, which leaves it out, there is none. faults is the number of such fields.
func (p *Plan) Read(r *record.Record, lenient bool) (faults int, err error) {
	p.buffer = p.buffer[:0]
	for i := range p.fields {
		u := &p.fields[i]
		from := len(p.buffer)
		p.buffer, err = u.ref.JSON(p.buffer, r)
		u.value = value{there: err == nil, json: p.buffer[from:]}
		if err == nil && u.numeric {
			if u.value.num, u.value.there = Number(u.value.json); !u.value.there {
				err = fmt.Errorf("%s: %w: %.64q", u.ref, ErrNotNumber, u.value.json)
			}
		}
		if err != nil && (u.needed || !errors.Is(err, field.ErrMissing)) {
			if faults++; !lenient {
				return faults, err
			}
		}
	}
	return faults, nil
}

// Number reads a JSON value that is a number, or a text that is one.
func Number(json []byte) (float64, bool) {
	if n := len(json); n > 2 && json[0] == '"' {
		json = json[1 : n-1]
	}
	if len(json) == 0 || json[0] != '-' && json[0]-'0' > 9 {
		return 0, false
	}
	if v, ok := integer(json); ok {
		return v, true
	}
	for _, c := range json {
		if c == 'x' || c == 'X' || c == '_' || c == 'p' || c == 'P' {
			return 0, false // Go's, nobody else's
		}
	}
	v, err := strconv.ParseFloat(string(json), 64)
	return v, err == nil
}

// integer reads up to 15 digits, most numbers there are.
func integer(p []byte) (float64, bool) {
	negative := p[0] == '-'
	if negative {
		p = p[1:]
	}
	if len(p) == 0 || len(p) > 15 {
		return 0, false
	}
	var n int64
	for _, c := range p {
		if c-'0' > 9 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		return -float64(n), true
	}
	return float64(n), true
}

// States are what the records of windows have come to, each known by a number. They lie side by side in large pieces of
// memory, since there may be millions.
type States struct {
	plan   *Plan
	chunks [][]uint64 // perChunk states of Plan.words each; the first word is what more takes, in bytes
	more   [][]more   // of each state, if the plan has any
	used   int32      // numbers given out
	free   []int32    // those that were given back
}

const perChunk = 256

// NewStates returns no states.
func (p *Plan) NewStates() *States { return &States{plan: p} }

// New makes the state of no records and returns its number.
func (s *States) New() int32 {
	p := s.plan
	var at int32
	if n := len(s.free); n > 0 {
		at = s.free[n-1]
		s.free = s.free[:n-1]
		clear(s.words(at))
	} else {
		at = s.used
		if s.used++; int(at)/perChunk == len(s.chunks) {
			s.chunks = append(s.chunks, make([]uint64, perChunk*p.words))
		}
		if len(p.more) > 0 {
			s.more = append(s.more, nil)
		}
	}
	if len(p.more) > 0 {
		m := make([]more, len(p.more))
		for i, make := range p.more {
			m[i] = make()
		}
		s.more[at] = m
	}
	return at
}

// Free gives a state back. When none is left so is the memory.
func (s *States) Free(at int32) {
	if len(s.plan.more) > 0 {
		s.more[at] = nil
	}
	if s.free = append(s.free, at); len(s.free) == int(s.used) && s.used > perChunk {
		*s = States{plan: s.plan}
	}
}

func (s *States) words(at int32) []uint64 {
	from := int(at) % perChunk * s.plan.words
	return s.chunks[at/perChunk][from : from+s.plan.words]
}

// Size is what a state takes in memory before anything is added, in bytes.
func (p *Plan) Size() int { return 8*p.words + 96*len(p.more) }

// Grown is by how many bytes a state has grown since.
func (s *States) Grown(at int32) int { return int(s.words(at)[0]) }

// Add adds the values read last, of a record at the moment at, and returns by how many bytes the state has grown.
func (s *States) Add(number int32, at int64) (grown int) {
	p, words := s.plan, s.words(number)
	for i := range p.fields {
		if u := &p.fields[i]; u.value.there {
			u.add(words)
		}
	}
	if len(p.more) == 0 {
		return 0
	}
	more := s.more[number]
	for i := range p.items {
		it := &p.items[i]
		if it.more < 0 || it.shared {
			continue
		}
		if u := &p.fields[it.field]; u.value.there {
			grown += more[it.more].add(&u.value, at)
		}
	}
	words[0] += uint64(grown)
	return grown
}

func (u *use) add(w []uint64) {
	if u.n < 0 {
		return
	}
	v := u.value.num
	w[u.n]++
	first := w[u.n] == 1
	if u.sum >= 0 {
		addTo(w, u.sum, v)
	}
	if u.least >= 0 && (first || v < math.Float64frombits(w[u.least])) {
		w[u.least] = math.Float64bits(v)
	}
	if u.most >= 0 && (first || v > math.Float64frombits(w[u.most])) {
		w[u.most] = math.Float64bits(v)
	}
	if u.mean >= 0 { // Welford's way
		mean, m2 := math.Float64frombits(w[u.mean]), math.Float64frombits(w[u.mean+1])
		off := v - mean
		mean += off / float64(w[u.n])
		m2 += float64(off * (v - mean)) // the conversion keeps machines from fusing the operations
		w[u.mean], w[u.mean+1] = math.Float64bits(mean), math.Float64bits(m2)
	}
}

// addTo adds v to a sum and what rounding has lost of it (Neumaier's way).
func addTo(w []uint64, i int, v float64) {
	sum, lost := math.Float64frombits(w[i]), math.Float64frombits(w[i+1])
	t := sum + v
	if math.Abs(sum) >= math.Abs(v) {
		lost += (sum - t) + v
	} else {
		lost += (v - t) + sum
	}
	w[i], w[i+1] = math.Float64bits(t), math.Float64bits(lost)
}

// AppendJSON appends the result of n records as a JSON object. An aggregate of no values is null.
func (s *States) AppendJSON(dst []byte, number int32, n int) []byte {
	p, words := s.plan, s.words(number)
	for i := range p.items {
		it := &p.items[i]
		dst = append(dst, "{,"[min(i, 1)])
		dst = field.AppendString(dst, []byte(it.name))
		dst = append(dst, ':')
		switch {
		case it.field < 0:
			dst = strconv.AppendInt(dst, int64(n), 10)
		case it.more >= 0:
			dst = s.more[number][it.more].json(dst, it)
		default:
			dst = p.fields[it.field].json(dst, it.f, words)
		}
	}
	return append(dst, '}')
}

func (u *use) json(dst []byte, f function, w []uint64) []byte {
	n := w[u.n]
	if f == count {
		return strconv.AppendUint(dst, n, 10)
	}
	if n == 0 || f == stddev && n < 2 {
		return append(dst, "null"...)
	}
	var v float64
	switch f {
	case sum, avg:
		v = math.Float64frombits(w[u.sum])
		if lost := math.Float64frombits(w[u.sum+1]); !math.IsNaN(lost) {
			v += lost
		}
		if f == avg {
			v /= float64(n)
		}
	case least:
		v = math.Float64frombits(w[u.least])
	case most:
		v = math.Float64frombits(w[u.most])
	case stddev:
		v = math.Sqrt(math.Float64frombits(w[u.mean+1]) / float64(n-1))
	}
	return appendFloat(dst, v)
}

// appendFloat appends v as JSON; what JSON has no number for is null.
func appendFloat(dst []byte, v float64) []byte {
	a := math.Abs(v)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return append(dst, "null"...)
	case a != 0 && (a < 1e-6 || a >= 1e21):
		return strconv.AppendFloat(dst, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}
