package emit

import (
	"time"

	"github.com/windrow-io/windrow/pkg/record"
)

// state are windows that a condition opens, and bounds close.
type state struct {
	bounded
	opens Condition
}

// NewState makes the strategy `state`: a window begins with the record for which the condition holds, and holds all that
// come until the first of the bounds is reached. Records that come while none is open are not wanted. At least one bound is
// needed.
func NewState(opens Condition, b Bounds) Strategy {
	return &state{bounded: bounded{b: b}, opens: opens}
}

func (s *state) Traits() Traits {
	t := s.bounded.Traits()
	t.Meets, t.MeetsAt = true, 0
	t.Looks = t.Looks || s.opens.Looks()
	return t
}

func (s *state) Meet(q *Queue, r *record.Record, bytes int64) (bool, Reason, error) {
	if q.Len() == 0 {
		if holds, err := s.opens.Holds(q, r); err != nil || !holds {
			return false, "", err
		}
	}
	return s.bounded.Meet(q, r, bytes)
}

// sample are the first records of each interval.
type sample struct {
	timeless
	size int
	step int64 // milliseconds
}

// NewSample makes the strategy `sample`: the first size records that come within an interval (whole milliseconds), in one
// window. The others are not wanted.
func NewSample(size int, interval time.Duration) Strategy {
	return &sample{size: size, step: interval.Milliseconds()}
}

func (s *sample) Traits() Traits { return Traits{Meets: true, Stays: true, Turns: true} }

func (s *sample) Meet(q *Queue, _ *record.Record, _ int64) (bool, Reason, error) {
	switch {
	case q.Len() == 0 && q.Due > 0:
		return false, "", nil // this interval's window was emitted
	case q.Len()+1 >= s.size:
		return true, Count, nil
	}
	return true, "", nil
}

func (s *sample) Open(q *Queue, now, _ int64) {
	q.Start = floor(now, s.step)
	q.End = q.Start + s.step
	q.Due = q.End
}

func (s *sample) Ask(*Queue, int64) Cut { return Cut{Reason: Interval} }
