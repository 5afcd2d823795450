// Package emit holds the emitter strategies: they decide which of the records that wait form the next window, and when.
//
//	count    windows of n records; fewer if another bound is reached first; or the last n, every m records
//	bytes    windows of so many bytes, or by another bound
//	fixed    the records received within [k·s, (k+1)·s), and nothing else
//	relaxed  every s seconds, the records retrieved since the last window
//	tumbling the records that happened within [k·s, (k+1)·s), or within an hour, day, week or month of a time zone
//	sliding  the same, windows overlapping: one begins every m seconds
//	session  records of which each happened at most a gap after another one
//	state    from a record that opens a window to one that closes it
//	sample   the first n records of every s seconds
//	expr     what two expressions say, see package expression
//	a user's own: an Emitter, made known with Register
//
// A strategy is a pure function of what it is shown: the records that wait and the time it is told. That is what lets a
// shard be replayed: the same records and the same times give the same windows, byte for byte. No clock, no I/O, no
// randomness, no map order.
//
// Who wants a strategy of their own writes an Emitter: two questions about the records that wait. A Strategy is the
// closer view that the state machine (package window) has of every emitter: when it must be asked, and what time means
// to it.
package emit

import "github.com/windrow-io/windrow/pkg/record"

// Reason says why a window closed.
type Reason string

// The reasons.
const (
	Count    Reason = "count"    // it holds as many records as asked for
	Interval Reason = "interval" // its time is over
	Bytes    Reason = "bytes"    // it holds as many bytes as asked for
	When     Reason = "when"     // WINDOW_WHEN holds for its last record
	Gap      Reason = "gap"      // nothing more of the session came
	Length   Reason = "length"   // the session is as long as one may be
	Timeout  Reason = "timeout"  // WINDOW_TIMEOUT passed
	Idle     Reason = "idle"     // nothing came for its key for KEY_TIMEOUT
	Ready    Reason = "ready"    // a user's emitter said so
	Limit    Reason = "limit"    // the shard's state outgrew STATE_MAX_BYTES
	Early    Reason = "early"    // not closed: what is known by now, because of EMIT_EARLY
	Late     Reason = "late"     // closed before: something came since, within ALLOWED_LATENESS
	Final    Reason = "final"    // closed before: nothing more can come
	Merged   Reason = "merged"   // no more: its records are in another session now
	Flush    Reason = "flush"    // the run was asked to leave nothing waiting
	Changed  Reason = "changed"  // the pipeline got new settings that the open window could not be carried over to
)

// Waiting is what an emitter may look at: the records that wait for a window, of one key or of the whole shard.
type Waiting struct {
	Records []record.Record // oldest first; read only, valid during the call
	Now     int64           // Unix milliseconds
	Since   int64           // when the oldest of them began to wait, Unix milliseconds; 0 if none waits
}

// Emitter is a user's own strategy: two questions. Query picks the records of the next window, Ready says whether that
// window is to be emitted now. Records not picked stay and are shown again. Both are asked after every read that brought
// records, as long as windows come, and about once a second while records wait, since time may have made a window ready.
// Both must be pure (see the package comment). Register makes one known by a name.
type Emitter interface {
	// Query returns the indexes into w.Records of the records that would form the next window, in the window's order,
	// each at most once: any other answer is a mistake in the emitter, and the worker panics.
	Query(w *Waiting) []int
	// Ready reports whether the window that Query picked is complete. An empty pick is never emitted, nor asked about.
	Ready(w *Waiting, picked []int) bool
}
