package replay

import (
	"fmt"
	"math/bits"
)

type op uint8

const (
	decide op = iota
	snapshot
	begin
	commit
	die
)

// Step is one step of the owner, or its death.
type Step struct {
	Op   op
	A, B uint8
	D    Decision
}

func (s Step) String() string {
	switch s.Op {
	case decide:
		return "the owner decides: " + s.D.String()
	case snapshot:
		return "the owner takes a snapshot for a checkpoint"
	case begin:
		if s.B == 1 {
			return "the checkpoint's transaction begins"
		}
		return fmt.Sprintf("a transaction begins with %d decision(s)", s.A)
	case commit:
		return "the transaction is committed"
	}
	return fmt.Sprintf("the owner dies%s; a worker with settings %d takes over", []string{"", ", its transaction is aborted", ", its transaction is committed"}[s.A], s.B)
}

func (d Decision) String() string {
	what := [...]string{"", fmt.Sprintf("read to %d, %d", d.Positions[0], d.Positions[1]), "a timeout", fmt.Sprintf("settings %d", d.Settings), ""}[d.Kind]
	return fmt.Sprintf("%s, %d window(s)", what, d.Outputs)
}

// Initial is a shard that has just begun.
func (r *Replay) Initial() State { return State{} }

// Next gives every step.
func (r *Replay) Next(s *State, next func(Step, State)) {
	to := func(a Step, change func(t *State)) {
		t := *s
		change(&t)
		next(a, t)
	}
	r.decide(s, to)
	r.commit(s, to)
	if s.Takeovers >= r.Bounds.Takeovers || s.Len+s.InFlight >= maxDecisions { // a takeover may add one
		return
	}
	for settings := range uint8(2) {
		if s.InFlight == 0 {
			to(Step{Op: die, A: 0, B: settings}, func(t *State) { r.takeover(t, settings) })
			continue
		}
		to(Step{Op: die, A: 1, B: settings}, func(t *State) { r.takeover(t, settings) })
		to(Step{Op: die, A: 2, B: settings}, func(t *State) { r.apply(t); r.takeover(t, settings) })
	}
}

// decide: the owner reads as far as it likes, two records at most, or a timeout passes, or it wants a checkpoint.
func (r *Replay) decide(s *State, to func(Step, func(*State))) {
	if s.Queued >= maxPending || s.Len+s.Queued >= maxDecisions {
		return
	}
	try := func(d Decision) {
		m := s.Machine
		m.do(&d, inOrder)
		to(Step{Op: decide, D: d}, func(t *State) {
			t.Machine = m
			if d.Kind == timeout {
				t.Timeouts++
			}
			if d.Kind == step && d.Outputs == 0 && (r.Bounds.Lanes == 1 || r.Broken.EachStepDecided) {
				return // it joins the next one: nobody saw it
			}
			t.add(Pending{Decision: d})
		})
	}
	at := s.Machine.Positions
	for a := at[0]; a <= min(at[0]+2, r.Bounds.Records); a++ {
		for b := at[1]; b <= min(at[1]+2, r.Bounds.Records) && (b == 0 || r.Bounds.Lanes == 2); b++ {
			if n := a - at[0] + b - at[1]; n > 0 && n <= 2 {
				try(Decision{Kind: step, Positions: [2]uint8{a, b}})
			}
		}
	}
	if s.Timeouts < r.Bounds.Timeouts && s.Machine.Len > 0 {
		try(Decision{Kind: timeout, Positions: at})
	}
	if s.Points == 0 && s.Machine != s.Base {
		to(Step{Op: snapshot}, func(t *State) {
			t.add(Pending{Decision: Decision{Kind: point}, Snapshot: t.Machine})
			t.Points++
		})
	}
}

func (s *State) add(p Pending) {
	s.Pending[s.Queued] = p
	s.Queued++
}

// commit: one transaction at a time. It holds all decisions that have gathered up to a checkpoint's place, or the
// checkpoint; decisions before that without windows are left out, the checkpoint covers them.
func (r *Replay) commit(s *State, to func(Step, func(*State))) {
	if s.InFlight > 0 {
		to(Step{Op: commit}, func(t *State) { r.apply(t) })
		return
	}
	n, outputs, at := uint8(0), uint8(0), uint8(maxPending)
	for i, p := range s.Pending[:s.Queued] {
		if p.Decision.Kind == point {
			at = uint8(i)
			break
		}
		n++
		outputs += p.Decision.Outputs
	}
	if at < maxPending && (outputs == 0 || r.Broken.PointBehindCovered) {
		to(Step{Op: begin, B: 1}, func(t *State) {
			if outputs == 0 {
				t.remove(0, at)
				at = 0
			}
			p := t.Pending[at]
			t.remove(at, 1)
			t.push(p)
			t.InFlight = 1
		})
	}
	if outputs > 0 {
		to(Step{Op: begin, A: n}, func(t *State) { t.InFlight = n })
	}
	if behind := s.Queued - n; r.Broken.LaterBehindPoint && at < maxPending && behind > 1 {
		to(Step{Op: begin, A: s.Queued - 1}, func(t *State) {
			p := t.Pending[at]
			t.remove(at, 1)
			t.InFlight = t.Queued
			t.add(p)
		})
	}
}

func (s *State) remove(at, n uint8) {
	copy(s.Pending[at:], s.Pending[at+n:])
	for i := s.Queued - n; i < s.Queued; i++ {
		s.Pending[i] = Pending{}
	}
	s.Queued -= n
}

// push puts p in front.
func (s *State) push(p Pending) {
	copy(s.Pending[1:], s.Pending[:s.Queued])
	s.Pending[0] = p
	s.Queued++
}

// apply makes the transaction under way visible.
func (r *Replay) apply(s *State) {
	for _, p := range s.Pending[:s.InFlight] {
		if p.Decision.Kind == point {
			s.Base, s.Decisions, s.Len = p.Snapshot, [maxDecisions]Decision{}, 0
			s.Points--
			continue
		}
		s.Decisions[s.Len] = p.Decision
		s.Len++
		for _, w := range p.Decision.Windows[:p.Decision.Outputs] {
			if s.Output&w != 0 {
				s.Fault = twice
			}
			s.Output |= w
		}
	}
	s.remove(0, s.InFlight)
	s.InFlight = 0
}

// takeover: all that was not committed is forgotten.
func (r *Replay) takeover(s *State, settings uint8) {
	s.Pending, s.Queued, s.InFlight, s.Points = [maxPending]Pending{}, 0, 0, 0
	s.Takeovers++
	m, f := r.replay(s, settings)
	if f != fine {
		s.Fault = f
	}
	s.Machine = m
	if m.Settings == settings {
		return
	}
	d := Decision{Kind: change, Positions: m.Positions, Settings: settings}
	s.Machine.do(&d, inOrder)
	if !r.Broken.ChangeDecided || d.Outputs > 0 {
		s.add(Pending{Decision: d})
	}
}

// Check replays the journal in thought, under either worker's settings.
func (r *Replay) Check(s *State) string {
	f := s.Fault
	for settings := range uint8(2) {
		m, g := r.replay(s, settings)
		if f == fine {
			f = g
		}
		if f == fine && s.Output != m.read()&^m.waiting() {
			return "lost or twice: the replayed state does not go with the output"
		}
	}
	switch f {
	case twice:
		return "twice: a record is in two windows"
	case otherWindows:
		return "twice: a replay makes other windows than were delivered"
	case otherNumber:
		return "stuck: a replay makes another number of windows than the journal says"
	}
	return ""
}

// read is the set of records that the machine has read.
func (m *Machine) read() (set uint8) {
	for lane, n := range m.Positions {
		set |= (1<<n - 1) << (lane * maxRecords)
	}
	return set
}

func (m *Machine) waiting() (set uint8) {
	for _, r := range m.Waiting[:m.Len] {
		set |= 1 << r
	}
	if bits.OnesCount8(set) != int(m.Len) {
		panic("a record waits twice")
	}
	return set
}
