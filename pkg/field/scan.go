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

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// scan checks that p is one JSON value (RFC 8259) in valid UTF-8, and on the way finds the value that path leads to: the
// first member of that name in each object, the element of that number in each array. The value is p[from:to]; to is 0 if
// there is none. fault is where p is not JSON, -1 if it is.
//
// All is one function, without calls and without recursion: it runs for every record, over every byte of it.
func scan(p []byte, path []segment) (from, to, fault int) {
	var (
		i       int
		depth   int      // of the array or object that i is in
		objects uint64   // whether that is an object: its lowest bit; then the same for those around it
		outer   []uint64 // objects of the levels beyond 64
		inKey   bool     // whether the string at i is a member's name
		escaped bool     // whether it has escapes
		start   int      // of its contents
		end     int
		high    = uint64(highs)
		at      int // the depth at which the path's next name is looked for; 0: no more
		watch   = -1
		left    int // in the array at that depth: elements up to the one looked for
	)
	if len(path) > 0 {
		// A value that ends at the depth watch is the one that the path led to: it is found, or what is looked for is not
		// in it.
		at, watch = 1, 0
	}

value:
	for i < len(p) && p[i] <= ' ' && space(p[i]) {
		i++
	}
	if i >= len(p) {
		return 0, 0, i
	}
	switch p[i] {
	case '"':
		i++
		inKey = false
		goto text
	case '{', '[':
		if depth >= maxDepth {
			return 0, 0, i
		}
		if depth&63 == 0 && depth > 0 {
			outer = append(outer, objects)
		}
		depth++
		objects <<= 1
		if p[i] == '{' {
			objects |= 1
			i++
			for i < len(p) && p[i] <= ' ' && space(p[i]) {
				i++
			}
			if i < len(p) && p[i] == '}' {
				i++
				goto close
			}
			goto key
		}
		i++
		for i < len(p) && p[i] <= ' ' && space(p[i]) {
			i++
		}
		if i < len(p) && p[i] == ']' {
			i++
			goto close
		}
		if depth == at {
			left = path[at-1].index
			goto element
		}
		goto value
	case 't':
		if len(p)-i < 4 || string(p[i:i+4]) != "true" {
			return 0, 0, i
		}
		i += 4
	case 'n':
		if len(p)-i < 4 || string(p[i:i+4]) != "null" {
			return 0, 0, i
		}
		i += 4
	case 'f':
		if len(p)-i < 5 || string(p[i:i+5]) != "false" {
			return 0, 0, i
		}
		i += 5
	default:
		if p[i] == '-' {
			i++
		}
		if i >= len(p) || p[i]-'0' > 9 {
			return 0, 0, i
		}
		if p[i] == '0' {
			i++
		} else {
			for i < len(p) && p[i]-'0' <= 9 {
				i++
			}
		}
		if i < len(p) && p[i] == '.' {
			i++
			if i >= len(p) || p[i]-'0' > 9 {
				return 0, 0, i
			}
			for i < len(p) && p[i]-'0' <= 9 {
				i++
			}
		}
		if i < len(p) && p[i]|0x20 == 'e' {
			i++
			if i < len(p) && (p[i] == '+' || p[i] == '-') {
				i++
			}
			if i >= len(p) || p[i]-'0' > 9 {
				return 0, 0, i
			}
			for i < len(p) && p[i]-'0' <= 9 {
				i++
			}
		}
	}

after: // a value
	if depth == watch {
		if at == 0 {
			to = i
		}
		at, watch = 0, -1
	}
	for i < len(p) && p[i] <= ' ' && space(p[i]) {
		i++
	}
	if depth == 0 {
		if i < len(p) {
			return 0, 0, i
		}
		if high == 0 && !utf8.Valid(p) {
			return 0, 0, invalidUTF8(p)
		}
		return from, to, -1
	}
	if i >= len(p) {
		return 0, 0, i
	}
	if objects&1 != 0 {
		switch p[i] {
		case ',':
			i++
			goto key
		case '}':
			i++
			goto close
		}
		return 0, 0, i
	}
	switch p[i] {
	case ',':
		i++
		if depth == at {
			goto element
		}
		goto value
	case ']':
		i++
		goto close
	}
	return 0, 0, i

close: // of an array or object
	depth--
	objects >>= 1
	if depth&63 == 0 && depth > 0 {
		objects = outer[len(outer)-1]
		outer = outer[:len(outer)-1]
	}
	goto after

key:
	for i < len(p) && p[i] <= ' ' && space(p[i]) {
		i++
	}
	if i >= len(p) || p[i] != '"' {
		return 0, 0, i
	}
	i++
	inKey = true

text: // of a string
	start, escaped = i, false
	for {
		// Eight bytes at a time: the lowest bit of stop is that of the first quote, backslash, control character, or
		// byte beyond ASCII; the latter only until one was seen.
		for len(p)-i >= 8 {
			x := binary.LittleEndian.Uint64(p[i:])
			quote, backslash := x^'"'*ones, x^'\\'*ones
			stop := ((quote-ones)&^quote | (backslash-ones)&^backslash | (x-' '*ones)&^x) & highs
			if stop |= x & high; stop != 0 {
				i += bits.TrailingZeros64(stop) >> 3
				break
			}
			i += 8
		}
		if i >= len(p) {
			return 0, 0, i
		}
		c := p[i]
		if c == '"' {
			break
		}
		if c == '\\' {
			n := escape(p[i:])
			if n == 0 {
				return 0, 0, i
			}
			i += n
			escaped = true
			continue
		}
		if c < ' ' {
			return 0, 0, i
		}
		if c >= utf8.RuneSelf {
			high = 0
		}
		i++
	}
	end = i
	i++
	if !inKey {
		goto after
	}
	for i < len(p) && p[i] <= ' ' && space(p[i]) {
		i++
	}
	if i >= len(p) || p[i] != ':' {
		return 0, 0, i
	}
	i++
	if depth == at && path[at-1].is(p[start:end], escaped) {
		goto chosen
	}
	goto value

element: // of the array that the path leads into
	left--
	if left >= 0 {
		goto value
	}

chosen: // is the value that follows
	if at == len(path) {
		for i < len(p) && p[i] <= ' ' && space(p[i]) {
			i++
		}
		from, at, watch = i, 0, depth
	} else {
		at, watch = at+1, depth
	}
	goto value
}

// space reports whether c is JSON's white space.
func space(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// escape returns the length of the escape at the start of p, 0 if it is none.
func escape(p []byte) int {
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
