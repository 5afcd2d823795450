package emit

import "time"

// interval is what fixed and relaxed have in common: windows whose borders are multiples of the interval.
type interval struct {
	open
	step  int64 // milliseconds
	empty bool  // empty windows are asked for
}

func (i *interval) Span(ms int64) (start, end int64) {
	start = floor(ms, i.step)
	return start, start + i.step
}

func (i *interval) Before(start int64) (s, e int64) { return start - i.step, start }

func (i *interval) Ask(*Queue, int64) Cut { return Cut{Reason: Interval} }

type fixed struct{ interval }

// NewFixed makes the strategy `fixed`: all records received within [k·s, (k+1)·s), s being the interval (whole
// milliseconds), and nothing else; a record received on the border is in the later window. A window closes when no
// further record can have been received in it. With empty, an interval in which nothing came gives an empty window, also
// each of those missed in a downtime.
func NewFixed(s time.Duration, empty bool) Strategy {
	return &fixed{interval{step: s.Milliseconds(), empty: empty}}
}

func (f *fixed) Traits() Traits { return Traits{Received: true, Turns: true} }

func (f *fixed) Open(q *Queue, _, _ int64) { q.Due = q.End }

func (f *fixed) Empty(last, until int64) (start, end int64, ok bool) {
	end = last + f.step
	return last, end, f.empty && end <= until
}

type relaxed struct{ interval }

// NewRelaxed makes the strategy `relaxed`: at every multiple of the interval s (whole milliseconds), all records
// retrieved since the last window; they may have been received earlier. A window's Start is the end of the one before
// it, however long ago: what was retrieved after a downtime is one large window. With empty, an interval in which nothing
// was retrieved gives an empty window, a downtime a single one.
func NewRelaxed(s time.Duration, empty bool) Strategy {
	return &relaxed{interval{step: s.Milliseconds(), empty: empty}}
}

func (r *relaxed) Traits() Traits { return Traits{Turns: true} }

func (r *relaxed) Open(q *Queue, now, last int64) {
	_, q.End = r.Span(now)
	q.Start, q.Due = last, q.End
}

func (r *relaxed) Empty(last, until int64) (start, end int64, ok bool) {
	end = floor(until, r.step)
	return last, end, r.empty && end > last
}
