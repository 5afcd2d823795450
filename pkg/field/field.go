// Package field reads one field of a record by a reference: a path into the JSON value (`device.id`), or `@key`, `@topic`,
// `@partition`, `@offset`, `@timestamp`, `@header.<name>`.
package field

import "github.com/windrow-io/windrow/pkg/record"

// Ref is a parsed reference. Its zero value refers to nothing.
type Ref struct{ text string }

// Parse reads a reference; the error names what is wrong with it.
func Parse(text string) (Ref, error) { panic("not built yet") }

// String is the reference as it was written.
func (f Ref) String() string { return f.text }

// IsZero reports whether f refers to nothing.
func (f Ref) IsZero() bool { return f.text == "" }

// Text appends the field's value as text to dst: a JSON string unescaped, any other JSON value as it stands, key and
// header as their bytes, numbers in decimal. ErrMissing: there is no such field, or it is null. ErrNotJSON: the record's
// value is not JSON (the reason is in the error's text). Both are wrapped with the reference.
func (f Ref) Text(dst []byte, r *record.Record) ([]byte, error) { panic("not built yet") }

// ValidJSON reports whether p is one valid JSON value in valid UTF-8.
func ValidJSON(p []byte) bool { panic("not built yet") }
