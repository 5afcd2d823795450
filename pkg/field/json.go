package field

import (
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/windrow-io/windrow/pkg/record"
)

// JSON appends the field's value as JSON: as it stands in the record's value, key and header as strings, in which what is
// no UTF-8 is replaced, and numbers as numbers. The errors are those of Text.
func (f *Ref) JSON(dst []byte, r *record.Record) ([]byte, error) {
	switch f.kind {
	case inValue:
		from, to, fault := f.find(r.Value)
		if fault >= 0 {
			return dst, fmt.Errorf("%s: %w: %s", f.text, ErrNotJSON, explain(r.Value, fault))
		}
		v := r.Value[from:to]
		if len(v) == 0 || v[0] == 'n' {
			return dst, f.missing
		}
		return append(dst, v...), nil
	case partition:
		return strconv.AppendInt(dst, int64(r.Partition), 10), nil
	case offset, timestamp:
		return f.Text(dst, r)
	}
	var memory [64]byte
	text, err := f.Text(memory[:0], r)
	if err != nil {
		return dst, err
	}
	return AppendString(dst, text), nil
}

// AppendString appends text as a JSON string.
func AppendString(dst, text []byte) []byte {
	for _, c := range text {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			p, err := json.Marshal(string(text))
			if err != nil {
				panic(err) // a string
			}
			return append(dst, p...)
		}
	}
	return append(append(append(dst, '"'), text...), '"')
}
