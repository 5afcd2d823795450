package field

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/windrow-io/windrow/pkg/record"
)

// ErrNotTime is the error of Clock.Time for a field that holds no moment between the years 1 and 9999.
var ErrNotTime = errors.New("no time")

// Bounds of what counts as a moment, in Unix milliseconds: the years 1 to 9999.
const (
	minTime = -62135596800000
	maxTime = 253402300799999
)

// Clock reads moments out of records. Not safe for concurrent use.
type Clock struct {
	ref    Ref
	format string // "": auto
	layout string // of package time; "": format is a unit
	unit   unit
	zone   *time.Location
	text   []byte // memory used again
}

type unit int

const (
	auto unit = iota
	seconds
	millis
	micros
	nanos
)

var units = map[string]unit{"": auto, "auto": auto, "s": seconds, "ms": millis, "us": micros, "ns": nanos}

// layouts are what a text may look like that isn't told how to: RFC 3339, also with a space, without the zone, without the
// time of day.
var layouts = []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02"}

// NewClock makes a Clock of a field and how moments are written in it: auto (or nothing), s, ms, us, ns since 1970, also
// with a fraction, or a layout of Go's package time, such as 02.01.2006 15:04. With auto a number's unit is the one by
// which it lies between the years 1970 and 5138 (milliseconds from 100,000,000,000 on, microseconds from that times 1000
// on, and so on); a text is a number, RFC 3339, or that without zone or time of day. zone is for texts that name none.
func NewClock(ref Ref, format string, zone *time.Location) (*Clock, error) {
	c := &Clock{ref: ref, format: format, zone: zone}
	if u, ok := units[format]; ok {
		c.unit = u
		return c, nil
	}
	if !strings.Contains(format, "06") {
		return nil, fmt.Errorf("%q is no way to write a time: use auto, s, ms, us, ns, or a layout like 2006-01-02 15:04:05 with the year 2006", format)
	}
	c.layout = format
	return c, nil
}

// Bind has the field looked for by a scanner that others share.
func (c *Clock) Bind(s *Scanner) { c.ref = s.Bind(c.ref) }

// Time is the moment in r's field, in Unix milliseconds. ErrMissing, ErrNotJSON as Ref.Text; ErrNotTime: what stands there
// is no time.
func (c *Clock) Time(r *record.Record) (int64, error) {
	if c.ref.kind == timestamp {
		if r.Timestamp < minTime || r.Timestamp > maxTime {
			return 0, fmt.Errorf("%s: %w: %d", c.ref.text, ErrNotTime, r.Timestamp)
		}
		return r.Timestamp, nil
	}
	text, err := c.ref.Text(c.text[:0], r)
	if err != nil {
		return 0, err
	}
	c.text = text
	ms, ok := c.read(text)
	if !ok {
		if len(text) > 64 {
			text = append(slices.Clip(text[:64:64]), "…"...)
		}
		return 0, fmt.Errorf("%s: %w: %q", c.ref.text, ErrNotTime, text)
	}
	return ms, nil
}

func (c *Clock) read(text []byte) (ms int64, ok bool) {
	if c.layout != "" {
		t, err := time.ParseInLocation(c.layout, string(text), c.zone)
		return within(t, err == nil)
	}
	if ms, ok, number := readNumber(text, c.unit); number {
		return ms, ok
	}
	if c.unit != auto {
		return 0, false
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, string(text), c.zone); err == nil {
			return within(t, true)
		}
	}
	return 0, false
}

func within(t time.Time, ok bool) (int64, bool) {
	ms := t.UnixMilli()
	return ms, ok && ms >= minTime && ms <= maxTime
}

// perSecond are the powers of ten of a unit, and of milliseconds in it.
var exponents = [...]int{seconds: 3, millis: 0, micros: -3, nanos: -6}

// readNumber reads a decimal number of a unit as milliseconds, rounded down. number is false if text is none.
func readNumber(text []byte, u unit) (ms int64, ok, number bool) {
	digits, negative := text, false
	if len(digits) > 0 && (digits[0] == '-' || digits[0] == '+') {
		negative = digits[0] == '-'
		digits = digits[1:]
	}
	var whole uint64 // all digits, without the point
	var point, exponent, seen int
	fraction, large, rest := false, false, false
	i := 0
	for ; i < len(digits); i++ {
		c := digits[i]
		if c == '.' && !fraction && seen > 0 {
			fraction = true
			continue
		}
		if c-'0' > 9 {
			break
		}
		seen++
		switch {
		case whole < (math.MaxUint64-9)/10:
			whole = whole*10 + uint64(c-'0')
			if fraction {
				point++
			}
		case !fraction:
			large = true
		case c != '0':
			rest = true
		}
	}
	if seen == 0 || digits[i-1] == '.' {
		return 0, false, false
	}
	if i < len(digits) {
		if digits[i]|0x20 != 'e' {
			return 0, false, false
		}
		var n int
		if exponent, n = readExponent(digits[i+1:]); n == 0 || i+1+n != len(digits) {
			return 0, false, false
		}
	}
	if large {
		return 0, false, true
	}
	shift := exponent - point
	if u == auto {
		u = unitOf(float64(whole) * math.Pow10(shift))
	}
	shift += exponents[u]
	for ; shift > 0 && whole != 0; shift-- {
		if whole > maxTime {
			return 0, false, true
		}
		whole *= 10
	}
	for ; shift < 0 && (whole != 0 || rest); shift++ {
		rest = rest || whole%10 != 0
		if whole /= 10; whole == 0 {
			break
		}
	}
	if whole > maxTime {
		return 0, false, true
	}
	ms = int64(whole)
	if negative {
		ms = -ms
		if rest {
			ms--
		}
	}
	return ms, ms >= minTime, true
}

func readExponent(p []byte) (exponent, n int) {
	negative := false
	if len(p) > 0 && (p[0] == '-' || p[0] == '+') {
		negative = p[0] == '-'
		n++
	}
	from := n
	for ; n < len(p) && p[n]-'0' <= 9; n++ {
		exponent = min(exponent*10+int(p[n]-'0'), 10000)
	}
	if n == from {
		return 0, 0
	}
	if negative {
		exponent = -exponent
	}
	return exponent, n
}

// unitOf is the unit that a number is likely to have, by its size.
func unitOf(v float64) unit {
	switch {
	case v < 1e11:
		return seconds
	case v < 1e14:
		return millis
	case v < 1e17:
		return micros
	}
	return nanos
}
