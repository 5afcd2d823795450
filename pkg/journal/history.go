package journal

import "encoding/json"

// Decision is what the records alone do not tell of one step.
type Decision struct {
	K         int64            // its number within the shard, from 1
	Now       int64            // Unix milliseconds
	Positions map[string]int64 // lane → position after it; only lanes that moved
	Receipts  []Receipt        // time of receipt of the records read, in lane and offset order; only if the emitter looks at it
	Lanes     []Lane           // what was known of the lanes; only if the emitter looks at it
	Outputs   int              // windows and rejects that it made
	Settings  json.RawMessage  // nil, or: the decision is to go on under these settings (window.Machine.Change); it reads nothing
	Flush     bool             // after its records all that waited was emitted (window.Machine.Flush)
}

// Lane is what was known of a lane when a decision was made.
type Lane struct {
	Lane  string
	AtEnd bool // the decision left nothing of the source unread, as far as was known
	Got   bool // it has records of the lane
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
	Receipts  map[string]int64 // lane → when its last record counts as received, if that is after Now
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
