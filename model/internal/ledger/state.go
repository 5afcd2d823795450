package ledger

const (
	maxEntries   = 5
	maxPipelines = 2
	maxWorkers   = 2 * maxPipelines
	none         = 255 // no tail, no position, no checkpoint
)

// State is one moment of the whole system.
type State struct {
	Redis, Replica Redis
	Pipelines      [maxPipelines]Pipeline
	Workers        [maxWorkers]Worker // worker w belongs to pipeline w mod the number of pipelines
	Ingesters      [2]Ingester
	Created        [maxPipelines]bool // the pipeline's journal topic exists

	Failovers, Flushes, Takeovers, Lost uint8 // so far
	Fault                               fault // what a step did that no step may do
}

// fault is a promise that a step broke.
type fault uint8

const (
	fine fault = iota
	gapAccepted
	twice
	refused
)

// Redis is what Redis holds of the one shard.
type Redis struct {
	Entries   [maxEntries]Entry
	Len       uint8
	LastID    uint8
	Tail      uint8               // none: the lane has no tail
	Delivered [maxPipelines]uint8 // the last ID that each pipeline's group has given to a reader
	Positions [maxPipelines]uint8 // published ones
}

// Entry is one of the lane's: the records From … Next-1.
type Entry struct{ ID, From, Next uint8 }

// Journal is what reading a shard's journal back gives.
type Journal struct {
	Checkpoint       uint8 // its position; none: there is none
	CheckpointClosed uint8
	Position         uint8 // after the last decision
	Closed           uint8 // records before it are in windows
	Cuts             uint8 // Mongo: bit b-1: a window ends at b
	Delivered        uint8 // Mongo: windows up to here are said to be delivered
}

// kind of what a transaction holds.
type kind uint8

const (
	nothing kind = iota
	decision
	checkpoint
)

// Item is what a transaction holds: a decision – read to Position, and the window From … Closed-1 – or a checkpoint.
type Item struct {
	Kind                              kind
	From, Position, Closed, Delivered uint8
}

// txn is the state of a transaction.
type txn uint8

const (
	noTxn txn = iota
	openTxn
	decidedTxn // the coordinator has decided to commit it; the markers are still to come
)

// Pipeline is one pipeline's shard in Kafka, and its output.
type Pipeline struct {
	Epoch uint8
	Txn   txn
	Items [2]Item
	Len   uint8

	Late      Item // a produce request that is still in the network
	LateEpoch uint8

	Marked      bool  // the journal's partition knows the epoch
	OutputEpoch uint8 // the newest epoch that the output's partition knows

	Journal Journal
	Stable  Journal // what it was before the last transaction: all that the last stable offset may show
	Output  uint8   // Kafka: bit r: record r is in a window
	Docs    [maxEntries + 1]uint8
	// Mongo: Docs[a] bit b-1: the window a … b-1 is stored
}

// phase of a worker.
type phase uint8

const (
	idle     phase = iota
	unfenced       // broken: it has read the journal, and has no epoch yet
	fenced         // it has an epoch, and has not read the journal
	working
	committing // what it produced is in an open transaction
)

// Worker is one that works, or once did, on the shard.
type Worker struct {
	Phase phase
	Epoch uint8
	Woken bool // it has been an owner: a request of that time may still be sent

	Position, Closed uint8 // of the last decision it committed
	Read             uint8 // it has the records up to here
	Scanning         bool  // it goes through the lane from its start
	Last             uint8 // the last ID it saw there; OwnCursor: at all

	Replaying                    bool // up to:
	ReplayPosition, ReplayClosed uint8

	Checkpoint uint8 // the last it knows to be committed; kept by one that was fenced
	Cuts, Up   uint8 // Mongo: windows known to be committed; written up to here
	Item       Item  // sent
}

// Ingester copies the source into the lane.
type Ingester struct {
	Next   uint8 // the tail as it read it; none: it has to
	Create bool  // there was no tail
}

// trim drops the entries that lie wholly before to.
func (r *Redis) trim(to uint8) {
	for r.Len > 0 && r.Entries[0].Next <= to {
		r.drop()
	}
}

func (r *Redis) drop() {
	copy(r.Entries[:], r.Entries[1:])
	r.Len--
	r.Entries[r.Len] = Entry{}
}

func (r *Redis) add(from, next uint8) {
	r.LastID++
	r.Entries[r.Len] = Entry{r.LastID, from, next}
	r.Len++
	r.Tail = next
}

func emptyRedis() Redis { return Redis{Tail: none, Positions: [maxPipelines]uint8{none, none}} }

// complete makes a decided transaction visible; true: a record comes into a second window.
func (p *Pipeline) complete() (again bool) {
	p.Stable = p.Journal
	j := &p.Journal
	for i := range p.Items[:p.Len] {
		it := p.Items[i]
		switch it.Kind {
		case decision:
			for r := it.From; r < it.Closed; r++ {
				again = again || p.Output>>r&1 == 1
				p.Output |= 1 << r
			}
			j.Position, j.Closed = it.Position, it.Closed
			j.Cuts |= 1 << (it.Closed - 1)
		case checkpoint:
			j.Checkpoint, j.CheckpointClosed, j.Position, j.Closed = it.Position, it.Closed, it.Position, it.Closed
		}
		j.Delivered = max(j.Delivered, it.Delivered)
	}
	p.end()
	return again
}

// end ends a transaction: its marker shows the epoch to the partitions it touched.
func (p *Pipeline) end() {
	p.Txn, p.Len, p.Items, p.OutputEpoch, p.Marked = noTxn, 0, [2]Item{}, p.Epoch, true
}

func (p *Pipeline) hold(it Item) {
	if p.Len < uint8(len(p.Items)) {
		p.Items[p.Len] = it
		p.Len++
	}
}

// stop makes a worker forget all but what a request of its time may still do.
func (w *Worker) stop() {
	*w = Worker{Woken: w.Woken || w.Phase == working || w.Phase == committing, Checkpoint: w.Checkpoint}
}

// load begins the work from what the journal says.
func (w *Worker) load(j Journal) {
	w.Position, w.Closed, w.Read, w.Checkpoint = j.Checkpoint, j.CheckpointClosed, j.Checkpoint, j.Checkpoint
	w.Scanning, w.Last = true, 0
	w.ReplayPosition, w.ReplayClosed, w.Cuts, w.Up = j.Position, j.Closed, j.Cuts, j.Delivered
	w.Replaying = j.Position != j.Checkpoint || j.Closed != j.CheckpointClosed
	if j.Checkpoint == none {
		w.Position, w.Closed, w.Read = 0, 0, 0
		w.ReplayPosition, w.ReplayClosed, w.Replaying = 0, 0, false
	}
}
