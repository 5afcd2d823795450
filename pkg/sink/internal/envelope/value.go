package envelope

import (
	"encoding/base64"
	"unicode/utf8"

	"github.com/windrow-io/windrow/pkg/field"
)

// Form is how a value appears inside JSON.
type Form uint8

// The forms.
const (
	Null   Form = iota // absent: a tombstone
	JSON               // as it came
	Text               // no JSON, but valid UTF-8: a string
	Binary             // anything else: {"$base64":"…"}
)

// String is the word that a dead letter has for it: what it had been cannot be told from the value alone.
func (f Form) String() string { return [...]string{"null", "json", "text", "binary"}[f] }

const (
	binaryOpen  = `{"$base64":"`
	binaryClose = `"}`
)

// FormOf tells how the bytes of a value are written.
func FormOf(v []byte) Form {
	if v != nil && field.ValidJSON(v) {
		return JSON
	}
	return formOfOther(v)
}

// formOfOther is FormOf for what is not JSON.
func formOfOther(v []byte) Form {
	if v == nil {
		return Null
	}
	return textForm(v)
}

func textForm(v []byte) Form {
	if utf8.Valid(v) {
		return Text
	}
	return Binary
}

// SizeOf is the number of bytes that a value takes in JSON.
func SizeOf(v []byte) int { return sizeAs(v, FormOf(v)) }

// sizeAs is the number of bytes that AppendAs appends.
func sizeAs(v []byte, f Form) int {
	switch f {
	case Null:
		return len("null")
	case JSON:
		return len(v)
	case Text:
		return sizeOfString(v)
	default:
		return len(binaryOpen) + base64.StdEncoding.EncodedLen(len(v)) + len(binaryClose)
	}
}

// AppendAs appends a value in the form that FormOf found.
func AppendAs(dst, v []byte, f Form) []byte {
	switch f {
	case Null:
		return append(dst, "null"...)
	case JSON:
		return append(dst, v...)
	case Text:
		return AppendString(dst, v)
	default:
		dst = append(dst, binaryOpen...)
		dst = base64.StdEncoding.AppendEncode(dst, v)
		return append(dst, binaryClose...)
	}
}

// AppendText appends bytes that are text, not JSON (a key, a header): a string, or {"$base64":"…"} if they are not valid
// UTF-8; null if they are absent.
func AppendText(dst, v []byte) []byte {
	if v == nil {
		return append(dst, "null"...)
	}
	return AppendAs(dst, v, textForm(v))
}

// escapes says how many bytes more than itself a byte takes inside a JSON string.
var escapes = func() (t [256]uint8) {
	for c := range 0x20 {
		t[c] = 5 // \u00XX
	}
	for _, c := range []byte("\"\\\n\r\t") {
		t[c] = 1
	}
	return t
}()

// sizeOfString is the number of bytes that AppendString appends.
func sizeOfString[T string | []byte](s T) int {
	n := len(s) + 2
	for i := range len(s) {
		n += int(escapes[s[i]])
	}
	return n
}

// AppendString appends valid UTF-8 as a JSON string.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if escapes[c] == 0 {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
