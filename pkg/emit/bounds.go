package emit

import (
	"time"

	"github.com/windrow-io/windrow/pkg/record"
)

// Bounds close a window as soon as one of them is reached. What is zero bounds nothing.
type Bounds struct {
	Size     int           // records
	Bytes    int64         // of the records' keys, values and headers; the record that reaches it is in the window
	When     Condition     // holds for a record: the window closes with it
	Interval time.Duration // closes at its multiples (whole milliseconds)
	Timeout  time.Duration // closes so long after the first record began to wait (whole milliseconds)
}

// Condition is what WINDOW_WHEN and its like ask about a record that is about to join others.
type Condition interface {
	// Holds is told of the record and of the queue, which it hasn't joined yet. The error says why it can't be computed.
	Holds(q *Queue, r *record.Record) (bool, error)
	// Looks reports whether it looks at the records that wait: they are kept for it then.
	Looks() bool
}

// traits adds what the bounds depend on.
func (b *Bounds) traits(t Traits) Traits {
	t.Meets = b.Size > 0 || b.Bytes > 0 || b.When != nil
	if b.Bytes == 0 && b.When == nil {
		t.MeetsAt = b.Size
	}
	t.Weighs = b.Bytes > 0
	t.Looks = b.When != nil && b.When.Looks()
	t.Turns = t.Turns || b.Interval > 0 || b.Timeout > 0
	return t
}

// meet says which of the bounds is reached with r.
func (b *Bounds) meet(q *Queue, r *record.Record, bytes int64) (Reason, error) {
	switch {
	case b.Size > 0 && q.Len()+1 >= b.Size:
		return Count, nil
	case b.Bytes > 0 && bytes >= b.Bytes:
		return Bytes, nil
	case b.When == nil:
		return "", nil
	}
	holds, err := b.When.Holds(q, r)
	if holds && err == nil {
		return When, nil
	}
	return "", err
}

// due is when time reaches one of the bounds of a queue that begins at the moment now; 0: never.
func (b *Bounds) due(now int64) int64 {
	var due int64
	if s := b.Interval.Milliseconds(); s > 0 {
		due = floor(now, s) + s
	}
	if b.Timeout > 0 {
		if timeout := now + b.Timeout.Milliseconds(); due == 0 || timeout < due {
			due = timeout
		}
	}
	return due
}

// bounded are windows that nothing closes but their bounds.
type bounded struct {
	timeless
	b     Bounds
	slide int
}

// NewBounded makes the strategies `count` and `bytes`: the records in the order in which they came, in windows that close
// when the first of the bounds is reached. At least one of Size, Bytes and When is needed.
func NewBounded(b Bounds) Strategy { return &bounded{b: b} }

// NewCount makes the strategy `count` with a slide: windows of the last size records, one with every slide records (1 to
// size); the first comes when there are size records.
func NewCount(size, slide int) Strategy { return &bounded{b: Bounds{Size: size}, slide: slide % size} }

func (c *bounded) Traits() Traits {
	t := c.b.traits(Traits{Slide: c.slide})
	t.Looks = t.Looks || c.slide > 0
	return t
}

func (c *bounded) Meet(q *Queue, r *record.Record, bytes int64) (bool, Reason, error) {
	reason, err := c.b.meet(q, r, bytes)
	return true, reason, err
}

func (c *bounded) Open(q *Queue, now, _ int64) { q.Due = c.b.due(now) }

func (c *bounded) Ask(q *Queue, _ int64) Cut {
	if s := c.b.Interval.Milliseconds(); s > 0 && floor(q.Due, s) == q.Due {
		return Cut{Reason: Interval}
	}
	return Cut{Reason: Timeout}
}

// within are the windows of another strategy, which bounds may close earlier.
type within struct {
	Strategy
	b Bounds
}

// Within bounds the windows of a strategy with intervals that don't overlap. A window that closes early is followed by
// another one of the same interval, if records come. A timeout is for `relaxed` alone, and Interval for none.
func Within(s Strategy, b Bounds) Strategy {
	if b == (Bounds{}) {
		return s
	}
	return &within{Strategy: s, b: b}
}

func (w *within) Traits() Traits { return w.b.traits(w.Strategy.Traits()) }

func (w *within) Meet(q *Queue, r *record.Record, bytes int64) (bool, Reason, error) {
	reason, err := w.b.meet(q, r, bytes)
	return true, reason, err
}

func (w *within) Open(q *Queue, now, last int64) {
	w.Strategy.Open(q, now, last)
	if due := w.b.due(now); due != 0 && due < q.Due {
		q.Due = due
	}
}

func (w *within) Ask(q *Queue, now int64) Cut {
	if q.Due < q.End {
		return Cut{Reason: Timeout}
	}
	return w.Strategy.Ask(q, now)
}
