package emit

import "time"

// Calendar is a unit of the calendar.
type Calendar string

// The units of the calendar.
const (
	Hour  Calendar = "hour"
	Day   Calendar = "day"
	Week  Calendar = "week" // from Monday on
	Month Calendar = "month"
)

const (
	hour = 3600_000 // milliseconds
	day  = 24 * hour
)

// calendar are windows that are units of the calendar in a time zone.
type calendar struct {
	event
	unit   Calendar
	zone   *time.Location
	offset int64 // milliseconds
	empty  bool  // empty windows are asked for
}

// NewCalendar makes the strategy `tumbling` for a unit of the calendar in a time zone. Windows begin offset (whole
// milliseconds) after the unit does, by the clocks of the zone: with 6h a day lasts from 06:00 to 06:00, also when the
// clocks are changed. A day is 23 or 25 hours long then, and an hour what is left of it. With empty, a unit in which nothing
// happened gives an empty window.
func NewCalendar(unit Calendar, zone *time.Location, offset time.Duration, empty bool) Strategy {
	return &calendar{unit: unit, zone: zone, offset: offset.Milliseconds(), empty: empty}
}

func (c *calendar) Traits() Traits { return Traits{Event: true, Turns: true} }

func (c *calendar) Span(ms int64) (start, end int64) {
	if c.unit == Hour {
		return c.hour(ms)
	}
	t := time.UnixMilli(ms).In(c.zone)
	_, ahead := t.Zone()
	y, m, d := time.UnixMilli(ms + int64(ahead)*1000 - c.offset).UTC().Date()
	switch c.unit {
	case Week:
		d -= (int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Weekday()) + 6) % 7
	case Month:
		d = 1
	}
	// When the clocks are changed near the border the date that they show may be of the neighbour.
	at := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	for ms < c.begin(at) {
		at = c.next(at, -1)
	}
	for ms >= c.begin(c.next(at, 1)) {
		at = c.next(at, 1)
	}
	return c.begin(at), c.begin(c.next(at, 1))
}

func (c *calendar) Before(start int64) (s, e int64) { return c.Span(start - 1) }

func (c *calendar) Empty(last, until int64) (start, end int64, ok bool) {
	if !c.empty {
		return 0, 0, false
	}
	_, end = c.Span(last)
	return last, end, end <= until
}

// hour is a whole hour by the zone's clocks, or, when they are changed by less, what is left of it.
func (c *calendar) hour(ms int64) (start, end int64) {
	t := time.UnixMilli(ms).In(c.zone)
	_, ahead := t.Zone()
	shift := int64(ahead)*1000 - c.offset
	start = floor(ms+shift, hour) - shift
	end = start + hour
	from, to := t.ZoneBounds()
	if !from.IsZero() {
		start = max(start, from.UnixMilli())
	}
	if !to.IsZero() {
		end = min(end, to.UnixMilli())
	}
	return start, end
}

// next is the date n units after the one on which a unit begins.
func (c *calendar) next(at time.Time, n int) time.Time {
	switch c.unit {
	case Week:
		return at.AddDate(0, 0, 7*n)
	case Month:
		return at.AddDate(0, n, 0)
	}
	return at.AddDate(0, 0, n)
}

// begin is the first moment at which the zone's clocks show the date, or rather what is offset later; where they leave
// that out, the moment at which they do.
func (c *calendar) begin(date time.Time) int64 {
	shown := date.UnixMilli() + c.offset
	before, after := c.ahead(shown-day), c.ahead(shown+day)
	first := shown - max(before, after)
	for _, at := range [2]int64{first, shown - min(before, after)} {
		if at+c.ahead(at) == shown {
			return at
		}
	}
	_, change := time.UnixMilli(first).In(c.zone).ZoneBounds()
	return change.UnixMilli()
}

// ahead is how far the zone's clocks are ahead of UTC at the moment ms, in milliseconds.
func (c *calendar) ahead(ms int64) int64 {
	_, s := time.UnixMilli(ms).In(c.zone).Zone()
	return int64(s) * 1000
}
