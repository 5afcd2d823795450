package emit

import (
	"math"
	"time"
)

// Merger is a Strategy whose windows are not there beforehand: records that lie close together make them, and a record
// that comes between two may make one of them.
type Merger interface {
	Strategy
	// Join tells which window a record at the moment ms belongs to. before is the last of its key's windows that begins by
	// then, after the first one that begins later; nil: there is none. The record's window is [start, end), and takes in
	// what waits in before and after if so told; neither: it is a new one. It overlaps no other.
	Join(ms int64, before, after *Queue) (start, end int64, withBefore, withAfter bool)
	// Fits reports whether Join may give the window [start, end).
	Fits(start, end int64) bool
}

// session are windows of records that lie close together.
type session struct {
	event
	gap, most int64 // milliseconds
}

// NewSession makes the strategy `session`: records of which each happened at most gap after another one. A session ends
// the gap after its last record, or most after its first one (whole milliseconds, most at least the gap; 0: it may last as
// long as it will): a record that happened then begins another one.
func NewSession(gap, most time.Duration) Strategy {
	s := &session{gap: gap.Milliseconds(), most: most.Milliseconds()}
	if s.most == 0 {
		s.most = math.MaxInt64 / 4 // farther than times are
	}
	return s
}

func (s *session) Traits() Traits { return Traits{Event: true, Turns: true} }

// Span is the session of a record that is alone.
func (s *session) Span(ms int64) (start, end int64) { return ms, ms + s.gap }

// Before is not asked: a moment lies in one session.
func (s *session) Before(start int64) (from, to int64) { return start, start }

// Ask lets a session that has gone on since its time was set wait for its new one.
func (s *session) Ask(q *Queue, _ int64) Cut {
	switch {
	case q.Due < q.End:
		q.Due = q.End
		return Cut{}
	case q.End-q.Start == s.most:
		return Cut{Reason: Length}
	}
	return Cut{Reason: Gap}
}

func (s *session) Join(ms int64, before, after *Queue) (start, end int64, withBefore, withAfter bool) {
	withBefore = before != nil && ms <= before.End && ms-before.Start < s.most
	withAfter = after != nil && after.Start-ms <= s.gap && after.End-ms <= s.most
	if withBefore && withAfter && after.End-before.Start > s.most {
		withAfter = false // together they would be too long
	}
	start, end = ms, ms+s.gap
	if withBefore {
		start = before.Start
		end = max(before.End, min(end, start+s.most))
	}
	switch {
	case withAfter:
		end = after.End // the gap after its last record, and no less than that after this one
	case after != nil:
		end = min(end, after.Start)
	}
	return start, end, withBefore, withAfter
}

func (s *session) Fits(start, end int64) bool { return start < end && end-start <= s.most }
