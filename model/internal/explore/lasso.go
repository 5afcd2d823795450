package explore

import (
	"fmt"
	"slices"
)

// Lasso is a way into a cycle, and the cycle: a run that never ends.
type Lasso[A fmt.Stringer] struct {
	Found       bool
	Stem, Cycle []A
	States      int  // searched
	Complete    bool // all that are reachable
}

// FindLasso looks for a reachable cycle without a step of progress that has at least one step of each kind in fair: a run
// on which what must happen again and again does happen, and nothing is achieved. It holds all states in memory: for
// models of some hundred thousand. At maxStates (0: none) it gives up.
func FindLasso[S comparable, A fmt.Stringer](m Model[S, A], progress func(A) bool, fair []func(A) bool, maxStates int) Lasso[A] {
	g := buildGraph(m, progress, maxStates)
	l := Lasso[A]{States: len(g.nodes), Complete: g.complete}
	for _, component := range g.components() {
		inside := map[int32]bool{}
		for _, v := range component {
			inside[v] = true
		}
		if cycle := g.cycle(component, inside, fair); cycle != nil {
			l.Found, l.Stem, l.Cycle = true, trace(g.nodes, component[0]), cycle
			return l
		}
	}
	return l
}

// graph is the reachable states with the steps that are no progress.
type graph[A fmt.Stringer] struct {
	nodes    []node[A]
	edges    [][]edge[A]
	complete bool
}

type edge[A any] struct {
	to   int32
	step A
}

func buildGraph[S comparable, A fmt.Stringer](m Model[S, A], progress func(A) bool, maxStates int) *graph[A] {
	g := &graph[A]{nodes: []node[A]{{parent: -1}}, edges: make([][]edge[A], 1)}
	states := []S{m.Initial()}
	ids := map[S]int32{states[0]: 0}
	for i := 0; i < len(states); i++ {
		if maxStates > 0 && len(states) > maxStates {
			return g
		}
		from := states[i]
		m.Next(&from, func(a A, t S) {
			id, ok := ids[t]
			if !ok {
				id = int32(len(states))
				ids[t] = id
				states = append(states, t)
				g.nodes = append(g.nodes, node[A]{int32(i), a})
				g.edges = append(g.edges, nil)
			}
			if !progress(a) {
				g.edges[i] = append(g.edges[i], edge[A]{id, a})
			}
		})
	}
	g.complete = true
	return g
}

// components are the strongly connected ones (Tarjan's algorithm, without recursion: the graph may be deep).
func (g *graph[A]) components() (all [][]int32) {
	n := len(g.edges)
	index, low, onStack := make([]int32, n), make([]int32, n), make([]bool, n)
	var stack []int32
	counter := int32(0)
	type frame struct {
		v    int32
		next int
	}
	for root := range int32(n) {
		if index[root] != 0 {
			continue
		}
		work := []frame{{v: root}}
		for len(work) > 0 {
			f := &work[len(work)-1]
			if f.next == 0 {
				counter++
				index[f.v], low[f.v] = counter, counter
				stack = append(stack, f.v)
				onStack[f.v] = true
			}
			if f.next < len(g.edges[f.v]) {
				to := g.edges[f.v][f.next].to
				f.next++
				switch {
				case index[to] == 0:
					work = append(work, frame{v: to})
				case onStack[to]:
					low[f.v] = min(low[f.v], index[to])
				}
				continue
			}
			v := f.v
			work = work[:len(work)-1]
			if len(work) > 0 {
				parent := work[len(work)-1].v
				low[parent] = min(low[parent], low[v])
			}
			if low[v] != index[v] {
				continue
			}
			cut := len(stack) - 1
			for stack[cut] != v {
				cut--
			}
			component := slices.Clone(stack[cut:])
			stack = stack[:cut]
			for _, x := range component {
				onStack[x] = false
			}
			all = append(all, component)
		}
	}
	return all
}

// cycle walks through one step of each fair kind inside a component and back to its first state; nil if a kind has none
// there, or the component has no cycle.
func (g *graph[A]) cycle(component []int32, inside map[int32]bool, fair []func(A) bool) (steps []A) {
	start := component[0]
	at := start
	walk := func(match func(edge[A]) bool) bool {
		path, to, ok := g.path(at, inside, match)
		steps, at = append(steps, path...), to
		return ok
	}
	for _, kind := range fair {
		if !walk(func(e edge[A]) bool { return kind(e.step) }) {
			return nil
		}
	}
	if at == start && len(steps) > 0 {
		return steps
	}
	if !walk(func(e edge[A]) bool { return e.to == start }) {
		return nil
	}
	return steps
}

// path is the shortest one from v, inside the component, that ends with an edge that matches.
func (g *graph[A]) path(v int32, inside map[int32]bool, match func(edge[A]) bool) (steps []A, end int32, ok bool) {
	from := map[int32]node[A]{v: {parent: -1}}
	for queue := []int32{v}; len(queue) > 0; queue = queue[1:] {
		u := queue[0]
		for _, e := range g.edges[u] {
			if !inside[e.to] {
				continue
			}
			if match(e) {
				steps = []A{e.step}
				for ; from[u].parent >= 0; u = from[u].parent {
					steps = append(steps, from[u].step)
				}
				slices.Reverse(steps)
				return steps, e.to, true
			}
			if _, seen := from[e.to]; !seen {
				from[e.to] = node[A]{u, e.step}
				queue = append(queue, e.to)
			}
		}
	}
	return nil, v, false
}
