// Package lease models what safety does not need, and progress does: who works on a shard. Several workers contend for its
// lease in Redis; whoever has it makes a new epoch in Kafka, which fences the one before; from then on a takeover takes a
// while until its first commit. If renewals don't get through, the lease passes on in the middle of it, and the next one
// fences this one before it has got anywhere.
//
// Time is modelled as ticks. Between them workers act; a tick may pass only when nobody has to act at once. Faults are the
// adversary's: it may let every renewal be lost, as it pleases, for ever. What must not exist is a run that never ends,
// on which time passes and nothing is ever committed again.
//
// Package ledger shows that two owners at once harm nothing. Standby, in this package, is about whose settings hold.
package lease

import "fmt"

// Rules that keep workers from fencing each other for ever: true breaks one.
type Rules struct {
	// A worker that is refused as old asks whether the lease is still its own before it makes a new epoch. Broken: it
	// makes one at once.
	AskLease bool
	// A worker that has lost a shard waits a lease's time before it tries for it again. Broken: it tries at once.
	StepBack bool
	// The wait doubles each time a takeover is lost before its first commit. Broken: it stays a lease's time.
	DoubleWait bool
}

const maxWorkers = 3

// Bounds are times in ticks, and how many there are.
type Bounds struct {
	Workers  uint8 // 2 or 3
	TTL      uint8 // of the lease
	Takeover uint8 // from a new epoch to the first commit, at most
	MaxWait  uint8 // the doubled wait grows up to this
}

// Lease is the model.
type Lease struct {
	Broken Rules
	Bounds Bounds
}

type phase uint8

const (
	away    phase = iota
	taking        // it has made a new epoch; its first commit is to come
	working       // it has committed
)

// Worker is one that contends for the shard.
type Worker struct {
	Phase phase
	Left  uint8 // away: ticks until it tries again; else until it commits, at most
	Next  uint8 // how long it waits after the next loss
}

const nobody = 255

// State is the lease, the epoch, and the workers.
type State struct {
	Holder, Expires uint8 // of the lease, and in how many ticks
	Current         uint8 // whose epoch is the newest
	Workers         [maxWorkers]Worker
}

type op uint8

const (
	take op = iota
	commit
	again
	stepBack
	notice
	tick
)

// Step is one step of a worker, or the passing of time.
type Step struct {
	Op  op
	Who uint8
	A   uint8
}

func (s Step) String() string {
	switch s.Op {
	case take:
		return fmt.Sprintf("worker %d takes the lease and makes a new epoch", s.Who)
	case commit:
		return fmt.Sprintf("worker %d commits", s.Who)
	case again:
		return fmt.Sprintf("worker %d is refused as old and makes a new epoch", s.Who)
	case stepBack:
		return fmt.Sprintf("worker %d is refused as old, finds the lease another's, and waits %d", s.Who, s.A)
	case notice:
		return fmt.Sprintf("worker %d notices that the lease is another's, and waits %d", s.Who, s.A)
	}
	if s.A == 1 {
		return "time passes, the renewal gets through"
	}
	return "time passes"
}

// Progress reports whether a step is a commit.
func Progress(s Step) bool { return s.Op == commit }

// TimePasses reports whether a step is a tick: a run without would be one in no time.
func TimePasses(s Step) bool { return s.Op == tick }

// Initial has nobody at work.
func (m *Lease) Initial() (s State) {
	s.Holder, s.Current = nobody, nobody
	for w := range s.Workers {
		s.Workers[w].Next = m.Bounds.TTL
	}
	return s
}

// Check: safety is package ledger's matter.
func (m *Lease) Check(*State) string { return "" }

// Next gives every step.
func (m *Lease) Next(s *State, step func(Step, State)) {
	to := func(a Step, change func(t *State)) {
		t := *s
		change(&t)
		step(a, t)
	}
	urgent := false // somebody has to act before time passes
	for w := range m.Bounds.Workers {
		urgent = m.worker(s, w, to) || urgent
	}
	if urgent {
		return
	}
	to(Step{Op: tick}, func(t *State) { t.tick(false) })
	if s.Holder != nobody && s.Workers[s.Holder].Phase != away {
		to(Step{Op: tick, A: 1}, func(t *State) { t.tick(true); t.Expires = m.Bounds.TTL })
	}
}

func (s *State) tick(renewed bool) {
	for w := range s.Workers {
		s.Workers[w].Left -= min(s.Workers[w].Left, 1)
	}
	if s.Holder == nobody || renewed {
		return
	}
	if s.Expires--; s.Expires == 0 {
		s.Holder = nobody
	}
}

// worker gives a worker's steps; true: it has to take one of them at once.
func (m *Lease) worker(s *State, w uint8, to func(Step, func(*State))) (urgent bool) {
	x := &s.Workers[w]
	fence := func(t *State) {
		t.Current = w
		t.Workers[w].Phase, t.Workers[w].Left = taking, m.Bounds.Takeover
	}
	if x.Phase == away {
		if x.Left > 0 || s.Holder != nobody && s.Holder != w {
			return false
		}
		to(Step{Op: take, Who: w}, func(t *State) {
			t.Holder, t.Expires = w, m.Bounds.TTL
			fence(t)
		})
		return true
	}
	back := func(o op) {
		wait := x.Next
		if x.Phase == working {
			wait = m.Bounds.TTL
		}
		next := min(2*wait, m.Bounds.MaxWait)
		if m.Broken.DoubleWait {
			next = wait
		}
		if m.Broken.StepBack {
			wait = 0
		}
		to(Step{o, w, wait}, func(t *State) { t.Workers[w] = Worker{away, wait, next} })
	}
	switch {
	case s.Current == w: // the adversary may let it take its time
		to(Step{Op: commit, Who: w}, func(t *State) { t.Workers[w].Phase, t.Workers[w].Left = working, 1 })
	case s.Holder == w || m.Broken.AskLease:
		to(Step{Op: again, Who: w}, fence)
	default:
		back(stepBack)
	}
	if s.Holder != w && s.Holder != nobody && !m.Broken.AskLease { // by the renewal, which tells
		back(notice)
	}
	return x.Left == 0
}
