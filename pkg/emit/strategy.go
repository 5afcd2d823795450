package emit

import "github.com/windrow-io/windrow/pkg/record"

// Queue is what waits for a window: records of one key or of the whole shard, and, where a strategy places records by
// their time of receipt, of one interval.
type Queue struct {
	Records    []record.Record // in the order in which they came
	Folded     int             // records that are not kept: only the aggregate of them is
	Since      int64           // when the oldest of them began to wait, Unix milliseconds
	Start, End int64           // [Start, End): the interval they wait for, Unix milliseconds; both 0 for strategies without
	Due        int64           // when time alone will do something, Unix milliseconds; 0: never
}

// Len is the number of records that wait.
func (q *Queue) Len() int { return len(q.Records) + q.Folded }

// Cut is a window that a strategy takes from a queue.
type Cut struct {
	Reason Reason // "": no window
	Picked []int  // the indexes of its records, in its order; nil: all that wait
	Err    error  // not a window: the one record picked can't be processed, and leaves
}

// Traits are what a strategy depends on.
type Traits struct {
	// Received: records are placed by their time of receipt (Span), one queue per interval, and time is a bound below
	// which no further record can have been received. Otherwise the records of a turn come at the turn's time, after
	// everything that was due by then.
	Received bool
	// Event: records are placed by their event time (Span), one queue per interval, and time is the watermark.
	Event bool
	// Overlap: a moment may lie in several intervals (Before).
	Overlap bool
	// Asked: Ask is called of every queue that a turn brought records to, as long as it cuts.
	Asked bool
	// Turns: windows depend on which records came in which turn.
	Turns bool
	// Meets: Meet is asked about each record before it joins a queue, or of those that make it so many at least.
	Meets   bool
	MeetsAt int
	// Weighs: Meet wants to know how many bytes wait.
	Weighs bool
	// Looks: the strategy looks at the records that wait, which are kept for it though only their aggregate is asked for.
	Looks bool
	// Stays: a queue whose window closed early stays, empty, until it is due.
	Stays bool
	// Slide: of a window that Meet closed the first records leave, so many, and the others are in the next one too; 0: all
	// leave.
	Slide int
}

// Strategy decides for the queues of a shard. It keeps no state of its own: all there is to remember is in the Queue, and
// in what it is told.
type Strategy interface {
	Traits() Traits
	// Span is the interval [start, end) that the moment ms lies in, the last one to begin if there are several; 0, 0 for
	// strategies without intervals.
	Span(ms int64) (start, end int64)
	// Before is the interval that begins next before the one that begins at start.
	Before(start int64) (s, e int64)
	// Open is told that the first record of an empty queue comes at the moment now. It sets Due, and for
	// strategies with intervals Start and End, if they aren't set by Span (Traits.Received, Event). last is the end of the shard's
	// last interval.
	Open(q *Queue, now, last int64)
	// Meet is asked about a record that is about to join q (Traits.Meets); of a queue that doesn't exist yet it is shown an
	// empty one. bytes are those of the records that wait and of r, if they are asked for (Traits.Weighs). It says whether
	// the record is wanted, and if the window closes with it, why. The error: that can't be computed for r; if the record
	// goes on all the same the other answers count.
	Meet(q *Queue, r *record.Record, bytes int64) (wanted bool, closes Reason, err error)
	// Ask is asked when q is due, and after a turn (Traits.Asked). If it doesn't cut, it moves Due on: behind
	// now, or to when it is to be asked again.
	Ask(q *Queue, now int64) Cut
	// Empty is the first empty window after last, the end of the shard's last one, that ends by until; ok is false if
	// there is none, or if empty windows are not asked for.
	Empty(last, until int64) (start, end int64, ok bool)
}

// floor is the greatest multiple of step that is not above ms.
func floor(ms, step int64) int64 {
	m := ms % step
	if m < 0 {
		m += step
	}
	return ms - m
}

// open is what strategies that want every record, and let none close a window, have in common.
type open struct{}

func (open) Meet(*Queue, *record.Record, int64) (bool, Reason, error) { return true, "", nil }

// timeless is what strategies without intervals have in common.
type timeless struct{}

func (timeless) Span(int64) (start, end int64)                { return 0, 0 }
func (timeless) Before(int64) (s, e int64)                    { return 0, 0 }
func (timeless) Empty(_, _ int64) (start, end int64, ok bool) { return 0, 0, false }
