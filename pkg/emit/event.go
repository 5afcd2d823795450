package emit

import "time"

// event is what strategies by event time have in common: a window closes when the watermark has reached its end.
type event struct{ open }

func (event) Open(q *Queue, _, _ int64) { q.Due = q.End }

func (event) Ask(*Queue, int64) Cut { return Cut{Reason: Interval} }

func (event) Empty(_, _ int64) (start, end int64, ok bool) { return 0, 0, false }

// sliding are windows of one length that begin at equal distances.
type sliding struct {
	event
	size, step, offset int64 // milliseconds
	empty              bool  // empty windows are asked for
}

// NewTumbling makes the strategy `tumbling`: the records whose event time is within [k·s + offset, (k+1)·s + offset), s
// being the size (whole milliseconds). With empty, an interval in which nothing happened gives an empty window.
func NewTumbling(size, offset time.Duration, empty bool) Strategy {
	return &sliding{size: size.Milliseconds(), step: size.Milliseconds(), offset: offset.Milliseconds(), empty: empty}
}

// NewSliding makes the strategy `sliding`: the records whose event time is within [k·m + offset, k·m + offset + s), m being
// the slide and s the size (whole milliseconds, m at most s); a record is in each of the windows that it lies in.
func NewSliding(size, slide, offset time.Duration) Strategy {
	return &sliding{size: size.Milliseconds(), step: slide.Milliseconds(), offset: offset.Milliseconds()}
}

func (s *sliding) Traits() Traits { return Traits{Event: true, Overlap: s.step < s.size, Turns: true} }

func (s *sliding) Span(ms int64) (start, end int64) {
	start = floor(ms-s.offset, s.step) + s.offset
	return start, start + s.size
}

func (s *sliding) Before(start int64) (from, to int64) {
	return start - s.step, start - s.step + s.size
}

func (s *sliding) Empty(last, until int64) (start, end int64, ok bool) {
	end = last + s.size
	return last, end, s.empty && end <= until
}
