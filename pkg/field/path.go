package field

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// segment is one step of a path.
type segment struct {
	name  string
	index int // name as the number of an array's element, or one that no array reaches
}

// parsePath takes a path apart at its dots.
func parsePath(text string) (path []segment, err error) {
	var name strings.Builder
	end := func() {
		s := segment{name: name.String(), index: math.MaxInt}
		if n, err := strconv.Atoi(s.name); err == nil && n >= 0 && strconv.Itoa(n) == s.name {
			s.index = n
		}
		path = append(path, s)
		name.Reset()
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '.':
			end()
		case c != '\\':
			name.WriteByte(c)
		case i+1 < len(text) && (text[i+1] == '.' || text[i+1] == '\\' || text[i+1] == '@' && i == 0):
			i++
			name.WriteByte(text[i])
		default:
			return nil, fmt.Errorf(`the backslash at %d stands before none of . \ and, at the start, @`, i)
		}
	}
	end()
	for _, s := range path {
		if s.name == "" {
			return nil, errors.New("a name is empty")
		}
	}
	return path, nil
}

// is reports whether s names the member whose name stands in JSON as text.
func (s *segment) is(text []byte) bool {
	if bytes.IndexByte(text, '\\') < 0 {
		return string(text) == s.name
	}
	var buf [64]byte
	return string(unescape(buf[:0], text)) == s.name
}
