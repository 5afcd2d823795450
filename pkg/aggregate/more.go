package aggregate

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/mapping"
	"github.com/DataDog/sketches-go/ddsketch/store"
	"github.com/axiomhq/hyperloglog"
)

// more is the state of an aggregate that needs more than a few numbers.
type more interface {
	add(v *value, at int64) (grown int)         // in bytes
	merge(other more, earlier bool) (grown int) // adds what another one has, see States.Merge
	json(dst []byte, it *item) []byte
	snapshot(dst []byte) []byte
	restore(r *reader) (bytes int) // of a new one
}

// maker returns what makes the state that a function needs; nil: none.
func maker(f function, arg float64) func() more {
	switch f {
	case first:
		return func() more { return &edge{} }
	case last:
		return func() more { return &edge{late: true} }
	case distinct, top:
		return func() more { return &tally{counts: map[string]uint64{}} }
	case approx:
		return func() more { return &cardinality{} }
	case percentile:
		return func() more { return &quantiles{} }
	case collect:
		return func() more { return &list{most: int(arg)} }
	}
	return nil
}

// edge is the first value, or the last.
type edge struct {
	late bool
	at   int64
	text []byte
}

func (e *edge) add(v *value, at int64) int {
	if e.text != nil && (e.late && at < e.at || !e.late && at >= e.at) {
		return 0
	}
	before := len(e.text)
	e.at, e.text = at, append(e.text[:0], v.json...)
	return len(e.text) - before
}

func (e *edge) json(dst []byte, _ *item) []byte {
	if e.text == nil {
		return append(dst, "null"...)
	}
	return append(dst, e.text...)
}

func (e *edge) snapshot(dst []byte) []byte {
	return appendBytes(binary.AppendVarint(dst, e.at), e.text)
}

func (e *edge) restore(r *reader) int {
	e.at = r.varint()
	if p := r.bytes(); len(p) > 0 {
		e.text = slices.Clone(p)
	}
	return len(e.text)
}

// tallyCost is about what a value takes in a tally besides its bytes.
const tallyCost = 64

// tally counts values.
type tally struct{ counts map[string]uint64 }

func (t *tally) add(v *value, _ int64) int {
	if n, ok := t.counts[string(v.json)]; ok {
		t.counts[string(v.json)] = n + 1
		return 0
	}
	t.counts[string(v.json)] = 1
	return len(v.json) + tallyCost
}

func (t *tally) json(dst []byte, it *item) []byte {
	if it.f == distinct {
		return strconv.AppendInt(dst, int64(len(t.counts)), 10)
	}
	values := slices.SortedFunc(maps.Keys(t.counts), func(a, b string) int {
		if t.counts[a] != t.counts[b] {
			return int(min(max(int64(t.counts[b])-int64(t.counts[a]), -1), 1))
		}
		return compare(a, b)
	})
	dst = append(dst, '[')
	for i, v := range values[:min(len(values), int(it.arg))] {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, `{"value":`...), v...)
		dst = append(strconv.AppendUint(append(dst, `,"count":`...), t.counts[v], 10), '}')
	}
	return append(dst, ']')
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (t *tally) snapshot(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(t.counts)))
	for _, v := range slices.Sorted(maps.Keys(t.counts)) {
		dst = binary.AppendUvarint(appendBytes(dst, []byte(v)), t.counts[v])
	}
	return dst
}

func (t *tally) restore(r *reader) (bytes int) {
	before, n := "", r.count()
	for i := range n {
		v := string(r.bytes())
		if i > 0 && v <= before {
			r.fail()
		}
		t.counts[v] = r.uvarint()
		before = v
		bytes += len(v) + tallyCost
	}
	return bytes
}

// cardinality estimates how many different values there are.
type cardinality struct{ sketch *hyperloglog.Sketch }

// Precision of the sketch: 2^12 registers, an error of about 1.6 %. The dense form has one order of bytes only.
const registers = 12

func newCardinality() *hyperloglog.Sketch {
	s, err := hyperloglog.NewSketch(registers, false)
	if err != nil {
		panic(err) // the precision is allowed
	}
	return s
}

func (c *cardinality) add(v *value, _ int64) (grown int) {
	if c.sketch == nil {
		c.sketch = newCardinality()
		grown = 1 << registers
	}
	c.sketch.Insert(v.json)
	return grown
}

func (c *cardinality) json(dst []byte, _ *item) []byte {
	if c.sketch == nil {
		return append(dst, '0')
	}
	return strconv.AppendUint(dst, c.sketch.Estimate(), 10)
}

func (c *cardinality) snapshot(dst []byte) []byte {
	if c.sketch == nil {
		return appendBytes(dst, nil)
	}
	p, err := c.sketch.MarshalBinary()
	if err != nil {
		panic(err) // it writes to memory
	}
	return appendBytes(dst, p)
}

func (c *cardinality) restore(r *reader) int {
	p := r.bytes()
	if len(p) == 0 {
		return 0
	}
	c.sketch = newCardinality()
	if c.sketch.UnmarshalBinary(p) != nil {
		r.fail()
		c.sketch = nil
	}
	return 1 << registers
}

// quantiles is a sketch of numbers.
type quantiles struct {
	sketch *ddsketch.DDSketch
	bytes  int
}

// Of the sketch: values are within 1 %, over at least 17 powers of ten; beyond, the least ones are merged.
const (
	accuracy = 0.01
	digits   = 4 // that are written: further ones would say nothing
	maxBins  = 2048
	binBytes = 8 // a bin of the dense store
)

var sketchMapping = func() mapping.IndexMapping {
	m, err := mapping.NewLogarithmicMapping(accuracy)
	if err != nil {
		panic(err) // the accuracy is allowed
	}
	return m
}()

func newQuantiles() *ddsketch.DDSketch {
	return ddsketch.NewDDSketchFromStoreProvider(sketchMapping, bins)
}

func bins() store.Store { return store.NewCollapsingLowestDenseStore(maxBins) }

func (q *quantiles) add(v *value, _ int64) int {
	if q.sketch == nil {
		q.sketch = newQuantiles()
	}
	num := v.num
	if a := math.Abs(num); a > sketchMapping.MaxIndexableValue() {
		num = math.Copysign(sketchMapping.MaxIndexableValue(), num)
	}
	if q.sketch.Add(num) != nil {
		return 0 // no number can be refused: JSON has no NaN
	}
	return q.grown()
}

// grown is by how much the bins have grown, as far as their span tells: that is the same after a restore.
func (q *quantiles) grown() int {
	bytes := span(q.sketch.GetPositiveValueStore()) + span(q.sketch.GetNegativeValueStore())
	grown := bytes - q.bytes
	q.bytes = bytes
	return grown
}

func span(s store.Store) int {
	if s.IsEmpty() {
		return 0
	}
	low, _ := s.MinIndex()
	high, _ := s.MaxIndex()
	return min(high-low+1, maxBins) * binBytes
}

func (q *quantiles) json(dst []byte, it *item) []byte {
	if q.sketch == nil {
		return append(dst, "null"...)
	}
	// The nearest rank, as people take percentiles: the least value that so many percent do not exceed. The library's rank
	// of a quantile is a fraction of the largest one, rounded down.
	n := q.sketch.GetCount()
	rank := math.Ceil(it.arg/100*n) - 1
	v, err := q.sketch.GetValueAtQuantile(min((rank+0.5)/max(n-1, 1), 1))
	if err != nil {
		return append(dst, "null"...)
	}
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64) // of its own making: no error
	return appendFloat(dst, v)
}

func (q *quantiles) snapshot(dst []byte) []byte {
	var p []byte
	if q.sketch != nil {
		q.sketch.Encode(&p, true)
	}
	return appendBytes(dst, p)
}

func (q *quantiles) restore(r *reader) int {
	p := r.bytes()
	if len(p) == 0 {
		return 0
	}
	var err error
	if q.sketch, err = decodeSketch(p); err != nil {
		r.fail()
		q.sketch = nil
		return 0
	}
	return q.grown()
}

var errSketch = errors.New("the sketch is corrupt")

// decodeSketch is the library's, which panics at some of what it can't read.
func decodeSketch(p []byte) (s *ddsketch.DDSketch, err error) {
	defer func() {
		if recover() != nil {
			err = errSketch
		}
	}()
	return ddsketch.DecodeDDSketch(p, bins, sketchMapping)
}

// list is the values themselves.
type list struct {
	most   int // 0: no bound
	values []byte
	n      int
}

func (l *list) add(v *value, _ int64) int {
	if l.most > 0 && l.n >= l.most {
		return 0
	}
	before := len(l.values)
	if l.n > 0 {
		l.values = append(l.values, ',')
	}
	l.values = append(l.values, v.json...)
	l.n++
	return len(l.values) - before
}

func (l *list) json(dst []byte, _ *item) []byte {
	return append(append(append(dst, '['), l.values...), ']')
}

func (l *list) snapshot(dst []byte) []byte {
	return appendBytes(binary.AppendUvarint(dst, uint64(l.n)), l.values)
}

func (l *list) restore(r *reader) int {
	l.n = int(min(r.uvarint(), math.MaxInt32))
	l.values = slices.Clone(r.bytes())
	return len(l.values)
}
