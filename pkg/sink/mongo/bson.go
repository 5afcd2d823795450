package mongo

import (
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/windrow-io/windrow/pkg/sink/internal/envelope"
)

// Documents are appended as BSON, element after element: a window's records go from JSON to the driver without a tree of
// Go values between.

// open begins an element of the type with the name; what follows is its value.
func open(dst []byte, t bson.Type, name string) []byte {
	dst = append(dst, byte(t))
	dst = append(dst, name...)
	return append(dst, 0)
}

// begin begins a document or an array; end, told where begin was, ends it.
func begin(dst []byte) (_ []byte, at int) { return append(dst, 0, 0, 0, 0), len(dst) }

func end(dst []byte, at int) []byte {
	dst = append(dst, 0)
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at))
	return dst
}

func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(s)+1))
	dst = append(dst, s...)
	return append(dst, 0)
}

func appendInt(dst []byte, v int64) []byte { return binary.LittleEndian.AppendUint64(dst, uint64(v)) }

func stringField(dst []byte, name, s string) []byte {
	return appendString(open(dst, bson.TypeString, name), s)
}

func intField(dst []byte, name string, v int64) []byte {
	return appendInt(open(dst, bson.TypeInt64, name), v)
}

func boolField(dst []byte, name string, v bool) []byte {
	if dst = open(dst, bson.TypeBoolean, name); v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// dateField appends Unix milliseconds as a date.
func dateField(dst []byte, name string, ms int64) []byte {
	return appendInt(open(dst, bson.TypeDateTime, name), ms)
}

// textField appends text: a string, binary data if it is not valid UTF-8, null if it is absent.
func textField(dst []byte, name string, v []byte) []byte {
	switch {
	case v == nil:
		return open(dst, bson.TypeNull, name)
	case utf8.Valid(v):
		return appendString(open(dst, bson.TypeString, name), v)
	}
	return appendBinary(open(dst, bson.TypeBinary, name), v)
}

func appendBinary(dst, v []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(v)))
	return append(append(dst, bson.TypeBinaryGeneric), v...)
}

// appendValue appends a record's value and returns its type: JSON as what it says, other text as a string, anything else
// as binary data, a tombstone as null.
func (c *converter) appendValue(dst, v []byte) ([]byte, bson.Type) {
	switch envelope.FormOf(v) {
	case envelope.Null:
		return dst, bson.TypeNull
	case envelope.JSON:
		dst, t, _ := c.value(dst, v, skipSpace(v, 0), 0)
		return dst, t
	case envelope.Text:
		return appendString(dst, v), bson.TypeString
	default:
		return appendBinary(dst, v), bson.TypeBinary
	}
}

// valueField appends a record's value as a field.
func (c *converter) valueField(dst []byte, name string, v []byte) []byte {
	at := len(dst)
	dst = open(dst, bson.TypeNull, name)
	dst, t := c.appendValue(dst, v)
	dst[at] = byte(t)
	return dst
}

// fieldName makes a JSON member's name one that every server stores: a leading $, dots and null characters, which mean
// something else there or nothing at all, become the characters that look like them (＄ ． ␀).
func fieldName(name []byte) []byte {
	odd := len(name) > 0 && name[0] == '$'
	for _, c := range name {
		odd = odd || c == '.' || c == 0
	}
	if !odd {
		return name
	}
	s := strings.NewReplacer(".", "．", "\x00", "␀").Replace(string(name))
	if rest, ok := strings.CutPrefix(s, "$"); ok {
		s = "＄" + rest
	}
	return []byte(s)
}

// index is the name of an array's element.
func index(dst []byte, t bson.Type, i int) []byte {
	dst = append(dst, byte(t))
	dst = strconv.AppendInt(dst, int64(i), 10)
	return append(dst, 0)
}

// appendNumber appends a JSON number: an int64 if it is written as an integer and fits, else a double; as text if it is
// beyond a double's range.
func appendNumber(dst, p []byte) ([]byte, bson.Type) {
	s := string(p)
	if !strings.ContainsAny(s, ".eE") {
		if v, err := strconv.ParseInt(s, 10, 64); err == nil {
			return appendInt(dst, v), bson.TypeInt64
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return appendString(dst, p), bson.TypeString
	}
	return appendInt(dst, int64(math.Float64bits(f))), bson.TypeDouble
}
