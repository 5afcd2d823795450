// Package sink writes windows where they go: Kafka, MongoDB, or standard output.
//
// A shard gathers the windows of one decision, or of several, in a Group. A transactional sink's group gives record
// batches that are committed in the very transaction of the decisions; any other is delivered after that commit is
// confirmed, and again after a takeover: its writes must not change anything when repeated.
//
// Each kind of sink is a package of its own; sinktest is the suite that all of them pass, each as far as it promises what
// is tested. What they have in common, the form of windows and dead letters, is in internal/envelope.
package sink

import (
	"context"
	"errors"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

// Output is the form of what is written.
type Output string

// The forms.
const (
	OutputWindow  Output = "window"  // one JSON object per window
	OutputData    Output = "data"    // the window's data alone: a JSON array
	OutputRecords Output = "records" // the window's records one by one, as they came
)

// Dead is a dead letter: a record or a window that could not be processed.
type Dead struct {
	Record   *record.Record // one of the two is set
	Window   *window.Window
	Reason   string // a word: not-json, missing-field, handler, too-large …
	Err      error  // the particular
	Attempts int    // of the handler; 0: none was made
	First    int64  // first and last attempt, Unix milliseconds
	Last     int64
}

// Sink is where windows go. Safe for concurrent use.
type Sink interface {
	// Transactional reports whether groups are written by their Batches, in the decision's transaction.
	Transactional() bool
	// Group returns an empty group for a shard's windows.
	Group(stream, pipeline, shard string) Group
	// Check connects and verifies that the sink can be written to (topic, rights, limits): the error says what to do. It
	// must have succeeded before a group is filled. It may be called again, to see changes of the destination at once.
	Check(ctx context.Context) error
	Close(ctx context.Context) error
}

// Group gathers windows. Not safe for concurrent use.
type Group interface {
	// Add adds a window; it copies what it needs. A window over the sink's limit is split into numbered parts, a single
	// record over it becomes a dead letter. now becomes the output's timestamp, Unix milliseconds, where there is one.
	Add(now int64, w *window.Window)
	// Dead adds a dead letter.
	Dead(now int64, d *Dead)
	// Len is the number of windows and dead letters added, Size their bytes.
	Len() int
	Size() int
	// Batches is what a transactional sink's group writes, in order; valid until Reset.
	Batches() []wire.Batch
	// Deliver writes the group of any other sink; on error some of it may have been written: deliver again. Passing
	// errors are the caller's to retry; an error that is Permanent is not.
	Deliver(ctx context.Context) error
	Reset()
}

// ErrPermanent is wrapped by errors of Deliver that trying again will not mend.
var ErrPermanent = errors.New("the sink refuses it for good")

// Outside is the part of g that is written outside the transaction: what was committed and may not have been delivered is
// added there. It is g itself, unless only some of g's sinks are transactional; then g has a method Outside.
func Outside(g Group) Group {
	if p, ok := g.(interface{ Outside() Group }); ok {
		return p.Outside()
	}
	return g
}
