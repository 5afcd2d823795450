// Package journal models one shard's records in the journal, a compacted topic: checkpoints in chunks, decisions behind
// them, and a cleaner that may at any moment drop, in any prefix of the log, what has a newer record of the same key in that
// prefix. A taker reads up to its mark, record by record, while the cleaner goes on; and while, if the taker has been
// superseded in the meantime, the next owner writes on behind the mark.
//
// What must hold: the taker that is not superseded gets the last checkpoint and every decision behind it. One that is gets
// what was once true – a checkpoint and the first of its decisions –, or an error, or nothing; never a mixture.
package journal

import "fmt"

// Rules of the journal's format: true breaks one.
type Rules struct {
	// A chunk carries the number of its checkpoint. Broken: chunks are told by their index alone.
	ChunkNamesCheckpoint bool
	// A chunk carries how many its checkpoint has. Broken: those that are there are taken for all.
	ChunkNamesCount bool
	// A checkpoint counts when all of it has been read. Broken: from its first chunk on.
	CompleteBeforeBase bool
	// A checkpoint's chunks are one transaction. Broken: they are written one after the other.
	CheckpointIsOneTransaction bool
	// The keys of decisions count up from their checkpoint. Broken: there are two keys, used in turn.
	KeyPerDecision bool
	// A decision carries its checkpoint's number and its own behind it. Broken: all that come are taken.
	DecisionNamesPlace bool
	// A hint where to begin is used only if a checkpoint begins exactly there. Broken: it is believed.
	HintChecked bool
}

const (
	maxLog         = 10
	maxCheckpoints = 7
)

// Journal is the model.
type Journal struct {
	Broken Rules
	Writes uint8 // checkpoints and decisions, at most 8
}

// Record is a chunk (Count > 0) or a decision.
type Record struct{ Offset, Key, Checkpoint, Index, Count uint8 }

const decisionKey = 10 // keys of chunks are below

// State is the log, the truth, and one taker.
type State struct {
	Log       [maxLog]Record
	Len, End  uint8 // End: the next offset
	Writes    uint8
	Number    uint8                 // of the last checkpoint
	Chunks    uint8                 // it has
	Decisions [maxCheckpoints]uint8 // behind each checkpoint
	Half      bool                  // broken: of the checkpoint that is being written only the first chunk is there
	Taker     Taker
}

// Taker is what it has read so far.
type Taker struct {
	Marked, Done bool
	Mark         uint8 // it reads up to this offset
	Superseded   bool
	FromHint     bool // it begins where the hint says; if that was of no use it begins again, at the start
	First        bool // the first record is still to come
	Position     uint8

	Gathering, GatheringCount, NextChunk uint8
	Mixed                                bool // what is gathered is of two checkpoints
	Base                                 uint8
	BaseBad                              bool // the base is a mixture, or a part
	Highest                              uint8
	Read                                 uint8 // decisions behind the base
	Wrong                                bool  // one of them is not the next
	Lost                                 bool  // it says that something is missing
}

// Step is one step of the owner, the cleaner or the taker.
type Step struct{ Op, A uint8 }

const (
	checkpointStep = iota
	halfStep
	decisionStep
	clean
	takeover
	read
	end
)

func (s Step) String() string {
	switch s.Op {
	case checkpointStep:
		return fmt.Sprintf("the owner commits a checkpoint of %d chunk(s)", s.A)
	case halfStep:
		return fmt.Sprintf("the owner writes chunk %d of a checkpoint of 2", s.A)
	case decisionStep:
		return fmt.Sprintf("the owner commits decision %d behind its checkpoint", s.A)
	case clean:
		return fmt.Sprintf("the cleaner goes through the log up to offset %d", s.A)
	case takeover:
		if s.A == noHint {
			return "a taker makes a new epoch and writes its mark"
		}
		return fmt.Sprintf("a taker makes a new epoch and writes its mark; the hint says offset %d", s.A)
	case read:
		return fmt.Sprintf("the taker reads offset %d", s.A)
	}
	return "the taker is at its mark"
}

const noHint = 255

// Initial has a first checkpoint of one chunk.
func (m *Journal) Initial() (s State) {
	m.checkpoint(&s, 1)
	s.Writes = 0
	return s
}

// Next gives every step.
func (m *Journal) Next(s *State, step func(Step, State)) {
	to := func(a Step, change func(t *State)) {
		t := *s
		change(&t)
		step(a, t)
	}
	m.write(s, to)
	for n := uint8(2); n <= s.Len; n++ {
		t := *s
		if t.clean(n) {
			step(Step{clean, s.Log[n-1].Offset}, t)
		}
	}
	switch {
	case !s.Taker.Marked:
		to(Step{takeover, noHint}, func(t *State) { t.take(noHint) })
		for hint := range s.End {
			to(Step{takeover, hint}, func(t *State) { t.take(hint) })
		}
	case !s.Taker.Done:
		m.read(s, to)
	}
}

// write: the owner goes on; once a taker is there, that is the taker's successor.
func (m *Journal) write(s *State, to func(Step, func(*State))) {
	if s.Taker.Done || s.Writes >= m.Writes || s.Len > maxLog-2 || s.Number >= maxCheckpoints-1 {
		return
	}
	supersede := func(t *State) { t.Writes++; t.Taker.Superseded = t.Taker.Marked }
	if m.Broken.CheckpointIsOneTransaction {
		first := uint8(0)
		if s.Half {
			first = 1
		}
		to(Step{halfStep, first}, func(t *State) {
			supersede(t)
			t.Half = !t.Half
			t.add(Record{Key: first, Checkpoint: t.Number + 1, Index: first, Count: 2})
			if !t.Half {
				t.Number++
				t.Chunks = 2
			}
		})
	}
	for chunks := uint8(1); chunks <= 2 && !s.Half; chunks++ {
		to(Step{checkpointStep, chunks}, func(t *State) { supersede(t); m.checkpoint(t, chunks) })
	}
	if s.Half {
		return
	}
	to(Step{decisionStep, s.Decisions[s.Number]}, func(t *State) {
		supersede(t)
		n := t.Decisions[t.Number]
		key := n
		if m.Broken.KeyPerDecision {
			key %= 2
		}
		t.add(Record{Key: decisionKey + key, Checkpoint: t.Number, Index: n})
		t.Decisions[t.Number]++
	})
}

func (m *Journal) checkpoint(s *State, chunks uint8) {
	s.Number++
	s.Chunks = chunks
	for i := range chunks {
		s.add(Record{Key: i, Checkpoint: s.Number, Index: i, Count: chunks})
	}
	s.Writes++
}

func (s *State) add(r Record) {
	r.Offset = s.End
	s.Log[s.Len] = r
	s.Len++
	s.End++
}

// clean drops what has a newer record of its key among the first n; false: nothing.
func (s *State) clean(n uint8) bool {
	var kept [maxLog]Record
	k := uint8(0)
	for i := range s.Len {
		newer := false
		for j := i + 1; j < n; j++ {
			newer = newer || s.Log[j].Key == s.Log[i].Key
		}
		if !newer {
			kept[k] = s.Log[i]
			k++
		}
	}
	dropped := k < s.Len
	s.Log, s.Len = kept, k
	return dropped
}

func (s *State) take(hint uint8) {
	s.Taker = Taker{Marked: true, Mark: s.End, First: true}
	if hint != noHint {
		s.Taker.FromHint, s.Taker.Position = true, hint
	}
}
