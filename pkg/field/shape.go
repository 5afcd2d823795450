package field

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unicode/utf8"
)

// Checker is ValidJSON for values that come one after the other and are alike, as a topic's are: the same members in the
// same order, with other strings and numbers in them. It remembers the shape of a value, and a value of the same shape has
// little left to be checked. The zero value is ready. Not safe for concurrent use.
//
// It may go by the shape since a valid value stays valid when its strings, numbers and words are replaced by others.
// A value that differs elsewhere is scanned.
type Checker struct {
	shape []step // none: not known
	worth int    // of the shape: up with each value that has it, down with each that has not
	pause int    // values to be scanned before a shape is looked for again
	wait  int    // the last pause: it grows as long as the shapes found are worth nothing
}

// step is a piece of a shape: up to eight bytes that the values have in common, and a gap behind them, or not.
type step struct {
	word, mask uint64
	n          uint8 // bytes in word
	gap        gap
}

// gap is what may differ.
type gap uint8

const (
	gapNone gap = iota
	gapText     // the contents of a string
	gapNumber
	gapWord // true, false or null
)

const (
	maxSteps = 256 // of a shape: larger values are scanned
	maxWorth = 16
	maxWait  = 1 << 10
)

// Valid reports whether p is one valid JSON value in valid UTF-8.
func (c *Checker) Valid(p []byte) bool {
	if len(c.shape) > 0 && len(p) >= 8 {
		if c.fits(p, nil) {
			c.hit()
			return true
		}
		c.worth--
	}
	if !ValidJSON(p) {
		return false
	}
	if c.stale() {
		c.learn(p)
	}
	return true
}

// hit notes that a value had the shape.
func (c *Checker) hit() {
	if c.worth++; c.worth >= maxWorth {
		c.worth, c.wait = maxWorth, 0
	}
}

// stale reports, after a value without the shape, whether it is time to learn another one. A shape that few have is given
// up for a while, longer each time.
func (c *Checker) stale() bool {
	switch {
	case c.worth > 0:
		return false
	case c.pause > 0:
		c.pause--
		c.shape = c.shape[:0]
		return false
	}
	c.wait = min(2*c.wait+1, maxWait)
	c.pause = c.wait
	return true
}

// mark is where a gap was found.
type mark struct{ from, to uint }

// fits reports whether p, of eight bytes at least, has the shape. It may fail to see it. marks, if there are any, get the
// gap of each step.
func (c *Checker) fits(p []byte, marks []mark) bool {
	i := uint(0)
	for k := range c.shape {
		s := &c.shape[k]
		if (load(p, i)^s.word)&s.mask != 0 {
			return false
		}
		i += uint(s.n)
		start := i
		switch s.gap {
		case gapNone:
		case gapText:
			stop := stops(load(p, i))
			for stop == 0 {
				i += 8
				stop = stops(load(p, i))
			}
			i += uint(bits.TrailingZeros64(stop)) >> 3
			if i >= uint(len(p)) || p[i] != '"' { // the quote is in the next step
				beyond := false
				i = endText(p, i, &beyond)
				if beyond && !utf8.Valid(p[start:i]) {
					return false
				}
			}
		case gapNumber:
			if i = endNumber(p, i); i == 0 {
				return false
			}
		case gapWord:
			if i = endWord(p, i); i == 0 {
				return false
			}
		}
		if k < len(marks) {
			marks[k] = mark{start, i}
		}
	}
	return i == uint(len(p))
}

// load is the eight bytes at p[i:], zeros behind p's end. p has eight bytes at least.
func load(p []byte, i uint) uint64 {
	if i+8 <= uint(len(p)) {
		return binary.LittleEndian.Uint64(p[i:])
	}
	return binary.LittleEndian.Uint64(p[len(p)-8:]) >> (8 * (i + 8 - uint(len(p))))
}

// endNumber returns the index behind the number at i, 0 if there is none.
func endNumber(p []byte, i uint) uint {
	if i < uint(len(p)) && p[i] == '-' {
		i++
	}
	// Up to seven characters at once, as they mostly are.
	x := load(p, i)
	other := nonDigits(x)
	whole := bits.TrailingZeros64(other) &^ 7
	end := whole
	if byte(x>>end) == '.' {
		other &= other - 1
		end = bits.TrailingZeros64(other) &^ 7
	}
	if whole > 0 && end < 64 && end != whole+8 && byte(x>>end)|0x20 != 'e' && (byte(x) != '0' || whole == 8) {
		return i + uint(end)>>3
	}
	return endLongNumber(p, i)
}

func endLongNumber(p []byte, i uint) uint {
	start := i
	if i = endDigits(p, i); i == start || i > start+1 && p[start] == '0' {
		return 0
	}
	if i < uint(len(p)) && p[i] == '.' {
		start = i + 1
		if i = endDigits(p, start); i == start {
			return 0
		}
	}
	if i < uint(len(p)) && p[i]|0x20 == 'e' {
		if i++; i < uint(len(p)) && (p[i] == '+' || p[i] == '-') {
			i++
		}
		start = i
		if i = endDigits(p, start); i == start {
			return 0
		}
	}
	return i
}

// endDigits is the index of the first byte from i on that is no digit.
func endDigits(p []byte, i uint) uint {
	for {
		if other := nonDigits(load(p, i)); other != 0 {
			return i + uint(bits.TrailingZeros64(other))>>3
		}
		i += 8
	}
}

// nonDigits has the top bit set of those of eight characters that are no digits, up to the first one beyond ASCII. Bits
// above that one mean nothing.
func nonDigits(x uint64) uint64 {
	x ^= '0' * each // digits become 0 to 9, and no more than these stay below 10
	return (x + (0x80-10)*each | x) & highs
}

// The words, as load has them.
const (
	wordTrue  = 't' | 'r'<<8 | 'u'<<16 | 'e'<<24
	wordNull  = 'n' | 'u'<<8 | 'l'<<16 | 'l'<<24
	wordFalse = 'f' | 'a'<<8 | 'l'<<16 | 's'<<24 | 'e'<<32
)

// endWord returns the index behind the word at i, 0 if there is none.
func endWord(p []byte, i uint) uint {
	switch x := load(p, i); {
	case x&math.MaxUint32 == wordTrue, x&math.MaxUint32 == wordNull:
		return i + 4
	case x&(1<<40-1) == wordFalse:
		return i + 5
	}
	return 0
}

// learn takes the shape of p, which is valid.
func (c *Checker) learn(p []byte) {
	c.shape, c.worth = c.shape[:0], 0
	if len(p) < 8 {
		return
	}
	from, i := uint(0), uint(0)
	for i < uint(len(p)) && len(c.shape) < maxSteps {
		switch b := p[i]; {
		case b == '"':
			var beyond bool
			start := i + 1
			i = endText(p, start, &beyond)
			if after := skipSpace(p, i+1); after < uint(len(p)) && p[after] == ':' {
				i = after // it was a member's name
				continue
			}
			c.common(p, from, start, gapText)
			from = i
			i++
		case b == '-' || b-'0' <= 9:
			c.common(p, from, i, gapNumber)
			i = endNumber(p, i)
			from = i
		case b == 't' || b == 'f' || b == 'n':
			c.common(p, from, i, gapWord)
			i = endWord(p, i)
			from = i
		default:
			i++
		}
	}
	c.common(p, from, uint(len(p)), gapNone)
	if len(c.shape) > maxSteps {
		c.shape = c.shape[:0]
	}
}

// common adds p[from:to] to the shape, and the gap behind it.
func (c *Checker) common(p []byte, from, to uint, g gap) {
	for ; to-from > 8 && len(c.shape) <= maxSteps; from += 8 {
		c.shape = append(c.shape, step{word: load(p, from), mask: math.MaxUint64, n: 8})
	}
	n := to - from
	mask := uint64(math.MaxUint64) >> (64 - 8*n)
	c.shape = append(c.shape, step{word: load(p, from) & mask, mask: mask, n: uint8(n), gap: g})
}
