package mongo

import (
	"bytes"
	"encoding/json"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// maxDepth is how deep a value may be nested: servers refuse documents deeper than 100, of which the window around it
// takes some. What lies deeper is kept as its JSON text.
const maxDepth = 90

// converter turns JSON that is known to be valid into BSON. The zero value is ready.
type converter struct {
	members []member // of the objects that are open, inner ones last
}

// member is a member of an object in the output: its element, and in that its name.
type member struct{ from, name, to int }

// value appends the value at p[i:], which is not white space, and returns its type and the index behind it.
func (c *converter) value(dst, p []byte, i, depth int) ([]byte, bson.Type, int) {
	switch p[i] {
	case '{', '[':
		if depth >= maxDepth {
			j := skipNested(p, i)
			return appendString(dst, p[i:j]), bson.TypeString, j
		}
		if p[i] == '[' {
			return c.array(dst, p, i, depth)
		}
		return c.object(dst, p, i, depth)
	case '"':
		s, j := text(p, i)
		return appendString(dst, s), bson.TypeString, j
	case 't':
		return append(dst, 1), bson.TypeBoolean, i + len("true")
	case 'f':
		return append(dst, 0), bson.TypeBoolean, i + len("false")
	case 'n':
		return dst, bson.TypeNull, i + len("null")
	}
	j := i
	for j < len(p) && isNumber(p[j]) {
		j++
	}
	dst, t := appendNumber(dst, p[i:j])
	return dst, t, j
}

func isNumber(c byte) bool {
	return c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

func (c *converter) array(dst, p []byte, i, depth int) ([]byte, bson.Type, int) {
	dst, at := begin(dst)
	i = skipSpace(p, i+1)
	for n := 0; p[i] != ']'; n++ {
		from := len(dst)
		dst = index(dst, bson.TypeNull, n)
		var t bson.Type
		dst, t, i = c.value(dst, p, i, depth+1)
		dst[from] = byte(t)
		i = next(p, i)
	}
	return end(dst, at), bson.TypeArray, i + 1
}

func (c *converter) object(dst, p []byte, i, depth int) ([]byte, bson.Type, int) {
	dst, at := begin(dst)
	base := len(c.members)
	i = skipSpace(p, i+1)
	for p[i] != '}' {
		m := member{from: len(dst)}
		var name []byte
		name, i = text(p, i)
		i = skipSpace(p, skipSpace(p, i)+1) // the colon
		dst = append(dst, 0)
		m.name = len(dst)
		dst = append(append(dst, fieldName(name)...), 0)
		m.to = len(dst) - 1
		var t bson.Type
		dst, t, i = c.value(dst, p, i, depth+1)
		dst[m.from] = byte(t)
		c.members = append(c.members, m)
		i = next(p, i)
	}
	dst = c.unique(dst, c.members[base:])
	c.members = c.members[:base]
	return end(dst, at), bson.TypeEmbeddedDocument, i + 1
}

// fewMembers is up to where names are compared with each other rather than looked up.
const fewMembers = 8

// unique drops members whose name comes again: the last one holds. members are the object's, which ends at dst's end.
func (c *converter) unique(dst []byte, members []member) []byte {
	dropped := -1 // the first one
	again := func(i int) {
		members[i].name = -1
		if dropped < 0 || i < dropped {
			dropped = i
		}
	}
	if len(members) <= fewMembers {
		for i, m := range members {
			for _, later := range members[i+1:] {
				if bytes.Equal(dst[m.name:m.to], dst[later.name:later.to]) {
					again(i)
					break
				}
			}
		}
	} else {
		last := make(map[string]int, len(members))
		for i, m := range members {
			if j, ok := last[string(dst[m.name:m.to])]; ok {
				again(j)
			}
			last[string(dst[m.name:m.to])] = i
		}
	}
	if dropped < 0 {
		return dst
	}
	to := members[dropped].from
	for i := dropped; i < len(members); i++ {
		until := len(dst)
		if i+1 < len(members) {
			until = members[i+1].from
		}
		if members[i].name >= 0 {
			to += copy(dst[to:], dst[members[i].from:until])
		}
	}
	return dst[:to]
}

// skipSpace returns the index of the first byte of p[i:] that is not white space.
func skipSpace(p []byte, i int) int {
	for i < len(p) && (p[i] == ' ' || p[i] == '\n' || p[i] == '\t' || p[i] == '\r') {
		i++
	}
	return i
}

// next steps behind the comma that follows a value, if there is one.
func next(p []byte, i int) int {
	i = skipSpace(p, i)
	if p[i] == ',' {
		i = skipSpace(p, i+1)
	}
	return i
}

// text is the string that begins at p[i], and the index behind it.
func text(p []byte, i int) ([]byte, int) {
	j := skipString(p, i)
	s := p[i+1 : j-1]
	if bytes.IndexByte(s, '\\') < 0 {
		return s, j
	}
	var unescaped string
	if err := json.Unmarshal(p[i:j], &unescaped); err != nil {
		return s, j // not valid JSON after all: as it stands
	}
	return []byte(unescaped), j
}

// skipString returns the index behind the string that begins at p[i].
func skipString(p []byte, i int) int {
	for i++; p[i] != '"'; i++ {
		if p[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipNested returns the index behind the object or array that begins at p[i].
func skipNested(p []byte, i int) int {
	for depth := 0; ; {
		switch p[i] {
		case '"':
			i = skipString(p, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
}
