// Package journal keeps a pipeline's decisions and checkpoints in one compacted Kafka topic, and commits each decision
// together with the output it led to, in one Kafka transaction. Whoever takes a shard over reads them back and goes on.
//
// Safety rests on Kafka's fencing alone: every shard has a transactional id, windrow.<stream>.<pipeline>.<shard>; Take
// makes a new epoch of it, after which nothing the old owner sends has any effect, and reads back only then.
//
// Keys: checkpoints `<shard>/c/<i>`, each chunk carrying its checkpoint's number and the chunks' count; decisions
// `<shard>/d/<i>`, i starting again at each checkpoint; `start`, how the pipeline began.
package journal

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/wire"
)

// Errors that callers act on.
var (
	// ErrFenced: a newer epoch exists: somebody else took the shard over. The Owner is dead.
	ErrFenced = errors.New("another worker has taken the shard over")
	// ErrUnknown: whether the transaction took effect is not known. The Owner is dead: Take again tells.
	ErrUnknown = errors.New("the outcome of the transaction is not known")
	// ErrTooLarge: a batch is larger than its topic allows. Nothing was written, the Owner is dead.
	ErrTooLarge = errors.New("a record batch is larger than the topic allows")
	// ErrClock: Kafka refuses the timestamps (error 32): Redis's clock and Kafka's are too far apart.
	ErrClock = errors.New("kafka refuses the output's timestamps: the clocks of Redis and Kafka are more than an hour apart")
	// ErrLost: the journal has nothing of a shard or a pipeline that is known to have one.
	ErrLost = errors.New("the journal has lost what it held")
)

// Options of a journal.
type Options struct {
	Topic            string
	Stream, Pipeline string
	Partitions       int           // when it has to be made; 0: 16
	Timeout          time.Duration // transaction.timeout.ms; 0: 15 s
	AtLeastOnce      bool          // no transactions: outputs, then the journal record
	Logger           *zap.Logger
}

// Journal is a pipeline's journal. Safe for concurrent use.
type Journal struct{ o Options }

// Open makes the topic if it is missing, or checks it (cleanup.policy=compact, its number of partitions); the error says
// what to do. wire.Retry tells whether trying again can help.
func Open(ctx context.Context, c *wire.Cluster, o Options) (*Journal, error) { panic("not built yet") }

// Start is how a pipeline began: written once, before its first checkpoint.
type Start struct {
	Created    int64            `json:"created"`    // Unix milliseconds
	Partitions int              `json:"partitions"` // of the journal: a shard's place depends on it
	Offsets    map[string]int64 `json:"offsets"`    // per lane: the first offset to process. A lane not listed is newer: from its earliest
}

// Start returns how the pipeline began; if nobody has said so yet, it asks propose and commits the answer. Two workers
// that do so at once get the same answer.
func (j *Journal) Start(ctx context.Context, propose func(context.Context) (Start, error)) (Start, error) {
	panic("not built yet")
}

// Decision is what the records alone do not tell of one step.
type Decision struct {
	K         int64            // its number within the shard, from 1
	Now       int64            // Unix milliseconds
	Positions map[string]int64 // lane → position after it; only lanes that moved
	Receipts  []Receipt        // time of receipt of the records read, in lane and offset order; only if the emitter looks at it
	Outputs   int              // windows and rejects that it made
}

// Receipt says that the records of a lane from Offset on (up to the next Receipt of the lane) were received at Ms.
type Receipt struct {
	Lane   string
	Offset int64
	Ms     int64 // Unix milliseconds
}

// Checkpoint is a shard's state after decision K.
type Checkpoint struct {
	K         int64
	Now       int64            // of the last decision
	Positions map[string]int64 // lane → position
	Settings  json.RawMessage  // that the state was made under
	State     []byte           // window.Machine.Snapshot
	Delivered int64            // sinks outside the transaction have acknowledged everything up to here
	Offset    int64            // its place in the journal: set by Take and Owner.Checkpoint, a hint for the next Take
}

// History is what Take reads back. Checkpoint is nil for a shard that never had one. Delivered is the newest mark.
type History struct {
	Checkpoint *Checkpoint
	Decisions  []Decision // after Checkpoint.K, in log order
	Delivered  int64
}

// Take makes a new epoch of the shard (asking again while Kafka completes the old owner's transaction) and only then
// reads the shard's part of the journal back, up to the high watermark seen after that; from hint on, a lower bound that
// need not be right, or from the start. keep is asked before every InitProducerID: is the shard's lease still ours? Its
// error ends Take.
func (j *Journal) Take(ctx context.Context, shard string, hint int64, keep func(context.Context) error) (*Owner, *History, error) {
	panic("not built yet")
}

// Owner is one epoch's right to write. One commit at a time. After any error it is dead: every further call fails, nothing
// is resent or aborted under its epoch; Take anew.
type Owner struct{ shard string }

// Commit writes outputs and decisions in one transaction. Every batch must be within its topic's limit; several of one
// partition keep their order. delivered is the newest mark of a sink outside the transaction, 0 if there is none.
func (o *Owner) Commit(ctx context.Context, outputs []wire.Batch, decisions []Decision, delivered int64) error {
	panic("not built yet")
}

// Checkpoint writes c, in chunks, in one transaction. Everything up to c.K must have been committed.
func (o *Owner) Checkpoint(ctx context.Context, c *Checkpoint) error { panic("not built yet") }

// Pending is the size in bytes that decisions would have in the journal: they are to be journaled alone before they
// outgrow 64 KiB.
func Pending(decisions []Decision) int { panic("not built yet") }
