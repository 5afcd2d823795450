package field

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may be nested, as in encoding/json.
const maxDepth = 10000

// A word of eight bytes, all 1, to be multiplied with a character; and one with the top bit of each byte set.
const (
	each  = 0x0101010101010101
	highs = 0x80 * each
)

// search is what scan seldom looks at. It is kept together, and so out of the registers, of which there are few.
type search struct {
	path     []segment
	from, to int
	at       int      // the depth at which the path's next name is looked for; 0: no more
	watch    int      // a value that ends at this depth is the one that the path led to last; -1: none is
	left     int      // in the array at the depth at: elements up to the one looked for
	start    uint     // of a member's name
	chosen   bool     // whether that is the one looked for
	beyond   bool     // whether there is anything beyond ASCII
	outer    []uint64 // objects of the levels beyond 64
}

// scan checks that p is one JSON value (RFC 8259) in valid UTF-8, and on the way finds the value that path leads to: the
// first member of that name in each object, the element of that number in each array. The value is p[from:to]; to is 0 if
// there is none. fault is where p is not JSON, -1 if it is.
//
// It runs for every record, over every byte, so that it is one function that calls no other for what is likely, and looks
// for white space last.
func scan(p []byte, path []segment) (from, to, fault int) {
	var (
		i       uint
		depth   int    // of the array or object that i is in
		objects uint64 // whether that is an object: its lowest bit; then the same for those around it
		s       = search{path: path, watch: -1}
	)
	if len(path) > 0 {
		s.at, s.watch = 1, 0
	}

value:
	if i >= uint(len(p)) {
		return 0, 0, int(i)
	}
	if p[i] == '"' {
		i++
		for uint(len(p))-i >= 8 {
			stop := stops(binary.LittleEndian.Uint64(p[i:]))
			if stop == 0 {
				i += 8
				continue
			}
			if i += uint(bits.TrailingZeros64(stop)) >> 3; p[i] == '"' {
				i++
				goto after
			}
			break
		}
		if i = endText(p, i, &s.beyond); i >= uint(len(p)) || p[i] != '"' {
			return 0, 0, int(i)
		}
		i++
		goto after
	}
	if p[i]-'0' <= 9 {
		goto number
	}
	switch p[i] {
	case '{', '[':
		if depth >= maxDepth {
			return 0, 0, int(i)
		}
		if depth&63 == 0 && depth > 0 {
			s.outer = append(s.outer, objects)
		}
		depth++
		objects <<= 1
		if p[i] == '{' {
			objects |= 1
			i = skipSpace(p, i+1)
			if i < uint(len(p)) && p[i] == '}' {
				goto close
			}
			goto key
		}
		i = skipSpace(p, i+1)
		if i < uint(len(p)) && p[i] == ']' {
			goto close
		}
		if depth == s.at {
			s.left = s.path[s.at-1].index
			goto element
		}
		goto value
	case ' ', '\n', '\t', '\r':
		i++
		goto value
	case 't':
		if uint(len(p))-i < 4 || string(p[i:i+4]) != "true" {
			return 0, 0, int(i)
		}
		i += 4
	case 'n':
		if uint(len(p))-i < 4 || string(p[i:i+4]) != "null" {
			return 0, 0, int(i)
		}
		i += 4
	case 'f':
		if uint(len(p))-i < 5 || string(p[i:i+5]) != "false" {
			return 0, 0, int(i)
		}
		i += 5
	case '-':
		if i++; i >= uint(len(p)) || p[i]-'0' > 9 {
			return 0, 0, int(i)
		}
		goto number
	default:
		return 0, 0, int(i)
	}

after: // a value
	if depth == s.watch {
		if s.at == 0 {
			s.to = int(i)
		}
		s.at, s.watch = 0, -1
	}
	if depth == 0 {
		if i = skipSpace(p, i); i < uint(len(p)) {
			return 0, 0, int(i)
		}
		if s.beyond && !utf8.Valid(p) {
			return 0, 0, invalidUTF8(p)
		}
		return s.from, s.to, -1
	}
	for {
		if i >= uint(len(p)) {
			return 0, 0, int(i)
		}
		c := p[i]
		if c == ',' {
			break
		}
		if c == ']'|byte(objects&1)<<5 { // the braces are 32 behind the brackets
			goto close
		}
		if !space(c) {
			return 0, 0, int(i)
		}
		i++
	}
	i++
	if objects&1 == 0 {
		if depth == s.at {
			goto element
		}
		goto value
	}

key:
	if i >= uint(len(p)) {
		return 0, 0, int(i)
	}
	if p[i] != '"' {
		if !space(p[i]) {
			return 0, 0, int(i)
		}
		i++
		goto key
	}
	i++
	s.start = i
	for uint(len(p))-i >= 8 {
		stop := stops(binary.LittleEndian.Uint64(p[i:]))
		if stop == 0 {
			i += 8
			continue
		}
		if i += uint(bits.TrailingZeros64(stop)) >> 3; p[i] == '"' {
			s.chosen = depth == s.at && string(p[s.start:i]) == s.path[s.at-1].name
			goto named
		}
		break
	}
	if i = endText(p, i, &s.beyond); i >= uint(len(p)) || p[i] != '"' {
		return 0, 0, int(i)
	}
	s.chosen = depth == s.at && s.path[s.at-1].is(p[s.start:i])

named:
	i++
	if i >= uint(len(p)) || p[i] != ':' {
		if i = skipSpace(p, i); i >= uint(len(p)) || p[i] != ':' {
			return 0, 0, int(i)
		}
	}
	i++
	if !s.chosen {
		goto value
	}

found: // by the path: the value that follows
	if s.at == len(s.path) {
		i = skipSpace(p, i)
		s.from, s.at, s.watch = int(i), 0, depth
	} else {
		s.at, s.watch = s.at+1, depth
	}
	goto value

element: // of the array that the path leads into
	if s.left == 0 {
		s.left--
		goto found
	}
	s.left--
	goto value

close: // of an array or object
	i++
	depth--
	objects >>= 1
	if depth&63 == 0 && depth > 0 {
		objects = s.outer[len(s.outer)-1]
		s.outer = s.outer[:len(s.outer)-1]
	}
	goto after

number: // without its sign; its first digit is there
	if p[i] == '0' {
		i++
	} else {
		i = skipDigits(p, i)
	}
	if i < uint(len(p)) && p[i] == '.' {
		if i++; i >= uint(len(p)) || p[i]-'0' > 9 {
			return 0, 0, int(i)
		}
		i = skipDigits(p, i)
	}
	if i < uint(len(p)) && p[i]|0x20 == 'e' {
		if i++; i < uint(len(p)) && (p[i] == '+' || p[i] == '-') {
			i++
		}
		if i >= uint(len(p)) || p[i]-'0' > 9 {
			return 0, 0, int(i)
		}
		i = skipDigits(p, i)
	}
	goto after
}

// stops has the top bit set of the first of eight characters in a string that is a quote, a backslash, a control
// character, or beyond ASCII. Bits above that one mean nothing.
func stops(x uint64) uint64 { return (specials(x) | x) & highs }

// specials is stops but for characters beyond ASCII, and for bits that mean nothing.
func specials(x uint64) uint64 {
	// Quotes and control characters alone are below '!' once their second bit is turned.
	return (x ^ 2*each - '!'*each) | (x ^ '\\'*each - each)
}

// endText returns the index of the quote that ends the string whose contents are at i, or of what is wrong in it. It sets
// beyond if there is anything beyond ASCII before that.
func endText(p []byte, i uint, beyond *bool) uint {
	stopping := uint64(highs) // of the bytes beyond ASCII: until there was one
	for i < uint(len(p)) {
		if q := p[i:]; len(q) >= 8 {
			x := binary.LittleEndian.Uint64(q)
			stop := (specials(x)&^x | x&stopping) & highs
			if stop == 0 {
				i += 8
				continue
			}
			i += uint(bits.TrailingZeros64(stop)) >> 3
		}
		switch c := p[i]; {
		case c == '"' || c < ' ':
			return i
		case c == '\\':
			n := escape(p[i:])
			if n == 0 {
				return i
			}
			i += n
			continue
		case c >= utf8.RuneSelf:
			*beyond, stopping = true, 0
		}
		i++
	}
	return i
}

// space reports whether c is JSON's white space.
func space(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// skipSpace returns the index of the first byte from i on that is no white space.
func skipSpace(p []byte, i uint) uint {
	for i < uint(len(p)) && space(p[i]) {
		i++
	}
	return i
}

// skipDigits returns the index of the first byte from i on that is no digit.
func skipDigits(p []byte, i uint) uint {
	for i < uint(len(p)) && p[i]-'0' <= 9 {
		i++
	}
	return i
}

// escape returns the length of the escape at the start of p, 0 if it is none.
func escape(p []byte) uint {
	if len(p) < 2 {
		return 0
	}
	switch p[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(p[2:]); ok {
			return 6
		}
	}
	return 0
}

// hex4 reads the four hexadecimal digits at the start of p.
func hex4(p []byte) (r rune, ok bool) {
	if len(p) < 4 {
		return 0, false
	}
	for _, c := range p[:4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// invalidUTF8 is where p ceases to be UTF-8.
func invalidUTF8(p []byte) int {
	for i := 0; i < len(p); {
		r, n := utf8.DecodeRune(p[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(p)
}

// unescape appends the contents of a valid JSON string, its escapes resolved, to dst. Half of a surrogate pair without its
// other half becomes U+FFFD.
func unescape(dst, p []byte) []byte {
	for {
		i := bytes.IndexByte(p, '\\')
		if i < 0 {
			return append(dst, p...)
		}
		dst = append(dst, p[:i]...)
		c := p[i+1]
		p = p[i+2:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, _ := hex4(p)
			p = p[4:]
			if utf16.IsSurrogate(r) {
				second := rune(-1)
				if len(p) >= 6 && p[0] == '\\' && p[1] == 'u' {
					second, _ = hex4(p[2:])
				}
				if r = utf16.DecodeRune(r, second); r != utf8.RuneError {
					p = p[6:]
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
	}
}
