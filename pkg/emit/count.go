package emit

import "time"

type count struct {
	timeless
	size    int
	timeout int64 // milliseconds; 0: none
}

// NewCount makes the strategy `count`: windows of exactly size records, in the order in which they came. With a timeout
// (whole milliseconds; 0: none) fewer records are emitted once the first of them has waited that long.
func NewCount(size int, timeout time.Duration) Strategy {
	return &count{size: size, timeout: timeout.Milliseconds()}
}

// Traits of count without timeout: windows depend on nothing but the order of the records.
func (c *count) Traits() Traits { return Traits{Turns: c.timeout > 0, Full: c.size} }

func (c *count) Open(q *Queue, now, _ int64) {
	if c.timeout > 0 {
		q.Due = now + c.timeout
	}
}

func (c *count) Ask(q *Queue, _ int64) Cut {
	if q.Len() >= c.size {
		return Cut{Reason: Count}
	}
	return Cut{Reason: Timeout}
}
