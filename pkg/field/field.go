// Package field reads one field of a record by a reference: a path into the JSON value (`device.id`), or `@key`, `@topic`,
// `@partition`, `@offset`, `@timestamp`, `@header.<name>`.
//
// A path is names joined by dots, each the name of a member of an object, or, where the value is an array, the number of
// an element, from 0. Of members with the same name the first one counts. A dot in a name is written `\.`, a backslash
// `\\`, and an @ at the start of a path `\@`. Nothing else in a path has a meaning of its own.
package field

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/windrow-io/windrow/pkg/record"
)

// Errors of Ref.Text.
var (
	ErrMissing = errors.New("no such field")         // it is not there, or null
	ErrNotJSON = errors.New("the value is not JSON") // the record's value, where a path needs it to be
)

// Ref is a parsed reference. Its zero value refers to nothing.
type Ref struct {
	text string
	kind kind
	name string    // of the header
	path []segment // into the JSON value

	scanner *Scanner // nil: it looks for itself
	slot    int      // among the scanner's paths

	missing error // ErrMissing, wrapped once: it may be wanted for every record
}

type kind int

const (
	none kind = iota
	inValue
	key
	topic
	partition
	offset
	timestamp
	header
)

const headerPrefix = "@header."

var kinds = map[string]kind{"@key": key, "@topic": topic, "@partition": partition, "@offset": offset, "@timestamp": timestamp}

// Parse reads a reference; the error names what is wrong with it.
func Parse(text string) (Ref, error) {
	f := Ref{text: text, kind: inValue, missing: fmt.Errorf("%s: %w", text, ErrMissing)}
	if !utf8.ValidString(text) {
		return Ref{}, fmt.Errorf("field %q is not UTF-8", text)
	}
	if name, ok := strings.CutPrefix(text, headerPrefix); ok {
		if name == "" {
			return Ref{}, fmt.Errorf("field %q lacks the header's name", text)
		}
		f.kind, f.name = header, name
		return f, nil
	}
	if strings.HasPrefix(text, "@") {
		if f.kind = kinds[text]; f.kind == none {
			return Ref{}, fmt.Errorf("field %q is not known: use @key, @topic, @partition, @offset, @timestamp, @header.<name>, or \\@ for a path that starts with @", text)
		}
		return f, nil
	}
	var err error
	if f.path, err = parsePath(text); err != nil {
		return Ref{}, fmt.Errorf("field %q: %w", text, err)
	}
	return f, nil
}

// String is the reference as it was written.
func (f Ref) String() string { return f.text }

// IsZero reports whether f refers to nothing.
func (f Ref) IsZero() bool { return f.kind == none }

// Text appends the field's value as text to dst: a JSON string unescaped, any other JSON value as it stands, key and
// header as their bytes, numbers in decimal. ErrMissing: there is no such field, or it is null. ErrNotJSON: the record's
// value is not JSON (the reason is in the error's text). Both are wrapped with the reference.
func (f *Ref) Text(dst []byte, r *record.Record) ([]byte, error) {
	switch f.kind {
	case inValue:
		return f.valueText(dst, r.Value)
	case key:
		if r.Key == nil {
			return dst, f.missing
		}
		return append(dst, r.Key...), nil
	case topic:
		return append(dst, r.Topic...), nil
	case partition:
		return strconv.AppendInt(dst, int64(r.Partition), 10), nil
	case offset:
		return strconv.AppendInt(dst, r.Offset, 10), nil
	case timestamp:
		return strconv.AppendInt(dst, r.Timestamp, 10), nil
	case header:
		v, _ := r.Header(f.name)
		if v == nil {
			return dst, f.missing
		}
		return append(dst, v...), nil
	}
	return dst, ErrMissing
}

func (f *Ref) valueText(dst, value []byte) ([]byte, error) {
	from, to, fault := f.find(value)
	if fault >= 0 {
		return dst, fmt.Errorf("%s: %w: %s", f.text, ErrNotJSON, explain(value, fault))
	}
	v := value[from:to]
	switch {
	case len(v) == 0 || v[0] == 'n':
		return dst, f.missing
	case v[0] == '"':
		return unescape(dst, v[1:len(v)-1]), nil
	}
	return append(dst, v...), nil
}

// find is scan for the path.
func (f *Ref) find(value []byte) (from, to, fault int) {
	if f.scanner != nil {
		if from, to, ok := f.scanner.find(f.slot, value); ok {
			return from, to, -1
		}
	}
	return scan(value, f.path)
}

// explain says why value is not JSON.
func explain(value []byte, fault int) string {
	switch {
	case value == nil:
		return "there is none"
	case len(value) == 0:
		return "it is empty"
	case fault >= len(value):
		return fmt.Sprintf("it ends too early, after %d bytes", len(value))
	case value[fault] >= utf8.RuneSelf && !utf8.Valid(value):
		return fmt.Sprintf("byte %d is not UTF-8", fault)
	}
	return fmt.Sprintf("byte %d, %q, can't stand there", fault, value[fault])
}

// ValidJSON reports whether p is one valid JSON value in valid UTF-8.
func ValidJSON(p []byte) bool {
	_, _, fault := scan(p, nil)
	return fault < 0
}
