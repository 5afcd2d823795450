package aggregate

import (
	"fmt"
	"math"
)

// Merge adds what one state holds to another, which is then that of the records of both, and returns by how many bytes it
// has grown. earlier says that the records of from happened before the others, which the others did not then: first, last
// and collect go by that. All else comes out as if the records had been added one by one, but for the rounding of sum, avg
// and stddev in the last digits.
func (s *States) Merge(into, from int32, earlier bool) (grown int) {
	p := s.plan
	a, b := s.words(into), s.words(from)
	for i := range p.fields {
		p.fields[i].merge(a, b)
	}
	if len(p.more) == 0 {
		return 0
	}
	for i := range p.more {
		grown += s.more[into][i].merge(s.more[from][i], earlier)
	}
	a[0] += uint64(grown)
	return grown
}

func (u *use) merge(a, b []uint64) {
	if u.n < 0 || b[u.n] == 0 {
		return
	}
	n, m := a[u.n], b[u.n]
	a[u.n] += m
	if u.sum >= 0 {
		addTo(a, u.sum, math.Float64frombits(b[u.sum]))
		lost := math.Float64frombits(a[u.sum+1]) + math.Float64frombits(b[u.sum+1])
		a[u.sum+1] = math.Float64bits(lost)
	}
	if u.least >= 0 && (n == 0 || math.Float64frombits(b[u.least]) < math.Float64frombits(a[u.least])) {
		a[u.least] = b[u.least]
	}
	if u.most >= 0 && (n == 0 || math.Float64frombits(b[u.most]) > math.Float64frombits(a[u.most])) {
		a[u.most] = b[u.most]
	}
	if u.mean < 0 {
		return
	}
	if n == 0 {
		a[u.mean], a[u.mean+1] = b[u.mean], b[u.mean+1]
		return
	}
	// Chan's way; the conversions keep machines from fusing the operations.
	mean, m2 := math.Float64frombits(a[u.mean]), math.Float64frombits(a[u.mean+1])
	off, all := math.Float64frombits(b[u.mean])-mean, float64(n)+float64(m)
	mean += float64(off * (float64(m) / all))
	m2 += math.Float64frombits(b[u.mean+1]) + float64(off*off)*float64(float64(n)*(float64(m)/all))
	a[u.mean], a[u.mean+1] = math.Float64bits(mean), math.Float64bits(m2)
}

func (e *edge) merge(other more, earlier bool) int {
	o := other.(*edge)
	switch {
	case o.text == nil:
		return 0
	case e.text == nil, e.at == o.at && earlier != e.late, e.late && o.at > e.at, !e.late && o.at < e.at:
		before := len(e.text)
		e.at, e.text = o.at, append(e.text[:0], o.text...)
		return len(e.text) - before
	}
	return 0
}

func (t *tally) merge(other more, _ bool) (grown int) {
	for v, n := range other.(*tally).counts { // in any order: counts are sums
		if t.counts[v] == 0 {
			grown += len(v) + tallyCost
		}
		t.counts[v] += n
	}
	return grown
}

func (c *cardinality) merge(other more, _ bool) (grown int) {
	o := other.(*cardinality)
	if o.sketch == nil {
		return 0
	}
	if c.sketch == nil {
		c.sketch = newCardinality()
		grown = 1 << registers
	}
	if err := c.sketch.Merge(o.sketch); err != nil {
		panic(fmt.Errorf("aggregate: sketches of one form can be merged: %w", err))
	}
	return grown
}

func (q *quantiles) merge(other more, _ bool) int {
	o := other.(*quantiles)
	if o.sketch == nil {
		return 0
	}
	if q.sketch == nil {
		q.sketch = newQuantiles()
	}
	if err := q.sketch.MergeWith(o.sketch); err != nil {
		panic(fmt.Errorf("aggregate: sketches of one form can be merged: %w", err))
	}
	return q.grown()
}

// merge puts the values of the earlier records first.
func (l *list) merge(other more, earlier bool) int {
	o, before := other.(*list), len(l.values)
	a, b := l, o
	if earlier {
		a, b = o, l
	}
	values, n := append([]byte(nil), a.values...), a.n
	rest := b.values
	for i := 0; i < b.n && (l.most == 0 || n < l.most); i++ {
		if n > 0 {
			values = append(values, ',')
		}
		end := element(rest)
		values = append(values, rest[:end]...)
		rest = rest[min(end+1, len(rest)):]
		n++
	}
	l.values, l.n = values, n
	return len(values) - before
}

// element is where the first of several JSON values with commas between them ends.
func element(p []byte) int {
	depth, text := 0, false
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ',' && depth == 0:
			return i
		}
	}
	return len(p)
}
