// Package explore searches the states that a model of a protocol can reach.
//
// A model is a set of states and the steps between them: every interleaving of every process and fault is a path. Search
// visits all of them, nearest first, so that a broken promise comes with the shortest story of how it breaks, and the
// absence of one, within the model's bounds, is a proof by cases and not a sample. Lasso looks for what can go on for ever
// without getting anywhere.
package explore

import (
	"fmt"
	"hash/maphash"
	"time"
)

// Model is a system of states. States are plain values without pointers: equal ones are the same state. The model itself
// makes states equal whose differences nothing later can see.
type Model[S comparable, A fmt.Stringer] interface {
	Initial() S
	// Next gives every step that can be taken from s, with the state it leads to.
	Next(s *S, step func(A, S))
	// Check names the promise that s breaks; "" if it keeps them all.
	Check(s *S) string
}

// Limits end a search before it is complete; 0: no limit.
type Limits struct {
	States   int
	Time     time.Duration
	Progress func(Progress) // told every five seconds or so
}

// Progress is how far a search has come.
type Progress struct {
	States, Depth int
	Frontier      int // states of the depth before that are still to be gone through
	Took          time.Duration
}

// Result is what a search found.
type Result[A fmt.Stringer] struct {
	States, Depth int // distinct states, and the longest shortest path to one
	Steps         int // between them
	Complete      bool
	Violation     string // the first promise found broken; "" if none
	Trace         []A    // the shortest way there
	Took          time.Duration
}

// key stands for a state: 128 bits of two independent hashes. That two of 10^8 states share one has a chance below 10^-22.
type key [2]uint64

type hasher [2]maphash.Seed

func newHasher() hasher { return hasher{maphash.MakeSeed(), maphash.MakeSeed()} }

func hash[S comparable](h hasher, s S) key {
	return key{maphash.Comparable(h[0], s), maphash.Comparable(h[1], s)}
}

// node is a visited state: where it was first reached from, and by which step.
type node[A any] struct {
	parent int32
	step   A
}

// Search visits states breadth first until a promise is broken, everything has been seen, or a limit is reached.
func Search[S comparable, A fmt.Stringer](m Model[S, A], l Limits) Result[A] {
	now := time.Now()
	s := search[S, A]{m: m, l: l, begin: now, told: now, hasher: newHasher(), seen: map[key]struct{}{}}
	return s.run()
}

type search[S comparable, A fmt.Stringer] struct {
	m      Model[S, A]
	l      Limits
	begin  time.Time
	told   time.Time
	hasher hasher
	seen   map[key]struct{}
	nodes  []node[A]
	result Result[A]
}

func (s *search[S, A]) run() Result[A] {
	first := s.m.Initial()
	s.seen[hash(s.hasher, first)] = struct{}{}
	s.nodes = append(s.nodes, node[A]{parent: -1})
	if v := s.m.Check(&first); v != "" {
		s.result.Violation = v
		return s.done(false)
	}
	frontier, ids := []S{first}, []int32{0}
	for len(frontier) > 0 {
		var next []S
		var nextIDs []int32
		for i := range frontier {
			s.m.Next(&frontier[i], func(a A, t S) {
				s.result.Steps++
				if s.result.Violation != "" || !s.visit(ids[i], a, t) {
					return
				}
				next, nextIDs = append(next, t), append(nextIDs, int32(len(s.nodes)-1))
			})
			if s.result.Violation != "" || s.over(len(frontier)-i) {
				return s.done(false)
			}
		}
		if frontier, ids = next, nextIDs; len(next) > 0 {
			s.result.Depth++
		}
	}
	return s.done(true)
}

// visit notes a state; false: it has been seen, or breaks a promise.
func (s *search[S, A]) visit(from int32, a A, t S) bool {
	h := hash(s.hasher, t)
	if _, ok := s.seen[h]; ok {
		return false
	}
	s.seen[h] = struct{}{}
	s.nodes = append(s.nodes, node[A]{from, a})
	if v := s.m.Check(&t); v != "" {
		s.result.Violation = v
		s.result.Trace = trace(s.nodes, int32(len(s.nodes)-1))
		return false
	}
	return true
}

// over reports whether a limit is reached, and tells of the progress.
func (s *search[S, A]) over(left int) bool {
	if s.l.States > 0 && len(s.nodes) >= s.l.States {
		return true
	}
	if len(s.nodes)%64 != 0 && left > 1 { // the clock costs more than a state
		return false
	}
	now := time.Now()
	if s.l.Progress != nil && now.Sub(s.told) > 5*time.Second {
		s.told = now
		s.l.Progress(Progress{States: len(s.nodes), Depth: s.result.Depth, Frontier: left, Took: now.Sub(s.begin)})
	}
	return s.l.Time > 0 && now.Sub(s.begin) > s.l.Time
}

func (s *search[S, A]) done(complete bool) Result[A] {
	s.result.States, s.result.Complete, s.result.Took = len(s.nodes), complete, time.Since(s.begin)
	return s.result
}

func trace[A any](nodes []node[A], i int32) (steps []A) {
	for ; i > 0; i = nodes[i].parent {
		steps = append(steps, nodes[i].step)
	}
	for i, j := 0, len(steps)-1; i < j; i, j = i+1, j-1 {
		steps[i], steps[j] = steps[j], steps[i]
	}
	return steps
}
