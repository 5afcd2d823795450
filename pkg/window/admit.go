package window

import "github.com/windrow-io/windrow/pkg/record"

// admit returns a join that takes in what FILTER wants, as MAP makes it. Where an expression can't be computed BAD_FIELD
// decides; with `null` the record is taken as it is.
func (m *Machine) admit(join func(*record.Record) bool) func(*record.Record) bool {
	var value []byte
	var mapped record.Record
	return func(r *record.Record) bool {
		if m.pardon {
			return join(r) // it has been here before
		}
		if m.filter != nil {
			wanted, err := m.filter.Wanted(r)
			switch {
			case err != nil && !m.bad(r, err):
				return true
			case err == nil && !wanted:
				m.counts.Filtered++
				return true
			}
		}
		if m.mapping == nil {
			return join(r)
		}
		v, err := m.mapping.AppendValue(value, r)
		if err != nil {
			if m.bad(r, err) {
				return join(r)
			}
			return true
		}
		value = v[len(v):] // this one's memory is the Step's
		mapped = *r
		mapped.Value = v
		m.original = r
		more := join(&mapped)
		m.original = nil
		return more
	}
}
