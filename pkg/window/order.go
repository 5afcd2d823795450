package window

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/windrow-io/windrow/pkg/aggregate"
	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/record"
)

// order puts the records of a window in an order of their own (ORDER_BY): numbers, and texts that are numbers, first, then
// texts by their bytes, then what has neither, or lacks the field. Records that are equal stay in the order in which they
// came.
type order struct {
	ref  field.Ref
	down bool // the greatest first; the three kinds stay in their order

	values  []value
	records []record.Record
	memory  []byte // of the values' texts
}

// value is what a record is sorted by.
type value struct {
	kind    kind
	number  float64
	integer int64 // of large whole numbers, which floats can't tell apart
	text    []byte
	index   int
}

type kind uint8

const (
	isNumber kind = iota
	isText
	isNeither
)

// parseOrder reads a reference to a field, and behind it asc or desc.
func parseOrder(text string) (*order, error) {
	words := strings.Fields(text)
	o := &order{}
	switch {
	case len(words) == 1:
	case len(words) == 2 && words[1] == "desc":
		o.down = true
	case len(words) != 2 || words[1] != "asc":
		return nil, errors.New("it must be a field, with or without asc or desc behind it, as in temperature desc")
	}
	var err error
	o.ref, err = field.Parse(words[0])
	return o, err
}

// sort returns the records in order. They are valid until it is called again.
func (o *order) sort(records []record.Record) []record.Record {
	o.values, o.memory = o.values[:0], o.memory[:0]
	for i := range records {
		v := o.read(&records[i])
		v.index = i
		o.values = append(o.values, v)
	}
	slices.SortStableFunc(o.values, o.compare)
	clear(o.records)
	o.records = o.records[:0]
	for i := range o.values {
		o.records = append(o.records, records[o.values[i].index])
	}
	return o.records
}

func (o *order) compare(a, b value) int {
	c := cmp.Compare(a.number, b.number)
	switch {
	case a.kind != b.kind:
		return cmp.Compare(a.kind, b.kind)
	case a.kind == isNeither:
		return 0
	case a.kind == isText:
		c = bytes.Compare(a.text, b.text)
	case c == 0:
		c = cmp.Compare(a.integer, b.integer)
	}
	if o.down {
		return -c
	}
	return c
}

// read is what r is sorted by.
func (o *order) read(r *record.Record) value {
	from := len(o.memory)
	p, err := o.ref.JSON(o.memory, r)
	if err != nil {
		return value{kind: isNeither}
	}
	o.memory = p
	text := p[from:len(p):len(p)]
	if number, ok := aggregate.Number(text); ok {
		v := value{kind: isNumber, number: number}
		if math.Abs(number) >= 1<<53 {
			v.integer, _ = strconv.ParseInt(string(bytes.Trim(text, `"`)), 10, 64) // 0 if it is written otherwise
		}
		return v
	}
	if text[0] != '"' {
		return value{kind: isNeither}
	}
	var s string
	if json.Unmarshal(text, &s) != nil {
		return value{kind: isNeither}
	}
	return value{kind: isText, text: []byte(s)}
}
