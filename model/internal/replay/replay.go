// Package replay models what one shard's history is made of: an owner's machine turns records of its lanes into windows,
// step by step; each step is a decision; decisions gather while a transaction is under way, and are committed with their
// windows; checkpoints are put between them. An owner may die at any moment, with a transaction under way committed or
// not. The next one replays the journal and must then stand exactly where the output says.
//
// That only one owner has effects, that it sees its records without gap, and that the journal is read as it was written,
// is shown by packages ledger and journal. Here the machine counts: windows of two records, or of three under the other
// settings; a timeout may close one early. Whose settings hold, the taker says; workers with either may take over in
// turn.
package replay

// Rules of an owner: true breaks one.
type Rules struct {
	// With several lanes each step is a decision. Broken: steps without windows join the next one, as they may with one
	// lane; a replay then takes the lanes' records in another order.
	EachStepDecided bool
	// A replay takes the lanes in the order in which the step took them. Broken: in another.
	LanesInOrder bool
	// A change of settings is a decision. Broken: the taker just goes on under its own.
	ChangeDecided bool
	// A replay runs under the settings that the journal tells. Broken: under the taker's.
	ReplayUnderJournaled bool
	// A checkpoint comes behind the decisions that it covers. Broken: it goes ahead, with the first free transaction.
	PointBehindCovered bool
	// Decisions made after a checkpoint's snapshot come behind it. Broken: they may join the transaction before it.
	LaterBehindPoint bool
}

// Bounds of a search.
type Bounds struct {
	Lanes     uint8 // 1 or 2
	Records   uint8 // in each, at most 4; 3 with two lanes
	Takeovers uint8
	Timeouts  uint8 // at most so many
}

// Replay is the model.
type Replay struct {
	Broken Rules
	Bounds Bounds
}

const (
	maxRecords   = 4
	maxWaiting   = 4
	maxPending   = 4 // decisions, and a checkpoint, that gather
	maxDecisions = 8 // committed since the checkpoint, or pending
)

// Machine is the shard's state.
type Machine struct {
	Positions [2]uint8
	Waiting   [maxWaiting]uint8 // numbers of records, in the order they were taken
	Len       uint8
	Settings  uint8 // 0: windows of two; 1: of three
}

// kind of a decision, or of what else is pending.
type kind uint8

const (
	nothing kind = iota
	step
	timeout
	change
	point // no decision: a checkpoint's place
)

// Decision is what the records do not tell: how far was read, and what came then.
type Decision struct {
	Kind      kind
	Positions [2]uint8
	Settings  uint8
	Windows   [2]uint8 // that it made: each a set of records
	Outputs   uint8
}

// Pending is a decision that is not committed yet, or a checkpoint that is to be.
type Pending struct {
	Decision Decision
	Snapshot Machine // of a checkpoint
}

// fault is a promise that a step broke.
type fault uint8

const (
	fine fault = iota
	twice
	otherWindows
	otherNumber
)

// State is the journal, the output, and the owner.
type State struct {
	Base      Machine // the last checkpoint
	Decisions [maxDecisions]Decision
	Len       uint8
	Output    uint8 // the records that are in committed windows

	Machine  Machine
	Pending  [maxPending]Pending
	Queued   uint8
	InFlight uint8 // so many of them are in the transaction that is under way
	Points   uint8 // checkpoints in Pending: one at most

	Takeovers, Timeouts uint8
	Fault               fault
}

func (m *Machine) size() uint8 { return 2 + m.Settings }

func (m *Machine) take(record uint8, d *Decision) {
	m.Waiting[m.Len] = record
	m.Len++
	m.emit(m.size(), d)
}

// emit closes windows of n records.
func (m *Machine) emit(n uint8, d *Decision) {
	for m.Len >= n && m.Len > 0 {
		var w uint8
		for _, r := range m.Waiting[:n] {
			w |= 1 << r
		}
		var rest [maxWaiting]uint8
		copy(rest[:], m.Waiting[n:m.Len])
		m.Waiting, m.Len = rest, m.Len-n
		d.Windows[d.Outputs] = w
		d.Outputs++
	}
}

// do makes decision d, anew or again: what it gives is noted in d.
func (m *Machine) do(d *Decision, lanes []uint8) {
	d.Windows, d.Outputs = [2]uint8{}, 0
	for _, lane := range lanes {
		for m.Positions[lane] < d.Positions[lane] {
			m.take(lane*maxRecords+m.Positions[lane], d)
			m.Positions[lane]++
		}
	}
	switch d.Kind {
	case timeout:
		if m.Len > 0 {
			m.emit(m.Len, d)
		}
	case change:
		m.Settings = d.Settings
		m.emit(m.size(), d)
	}
}

var (
	inOrder    = []uint8{0, 1}
	otherOrder = []uint8{1, 0}
)

// replay is what a taker makes of the journal.
func (r *Replay) replay(s *State, settings uint8) (m Machine, f fault) {
	m = s.Base
	lanes := inOrder
	if r.Broken.LanesInOrder {
		lanes = otherOrder
	}
	if r.Broken.ReplayUnderJournaled {
		m.Settings = settings
	}
	for _, d := range s.Decisions[:s.Len] {
		again := d
		if d.Kind == change && r.Broken.ReplayUnderJournaled {
			again.Settings = settings
		}
		m.do(&again, lanes)
		switch {
		case again.Outputs != d.Outputs:
			return m, otherNumber
		case again.Windows != d.Windows:
			return m, otherWindows
		}
	}
	return m, fine
}
