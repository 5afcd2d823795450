package record

import "sync"

// The sizes of an arena's chunks. Only the small one, which is all that a trickle needs, stays with the arena; the others
// are shared by all arenas, of which there are as many as shards. A batch larger than all of them gets a chunk of its own,
// which stays as long as batches need it.
const (
	smallChunk  = 64 << 10
	mediumChunk = 1 << 20
	largeChunk  = 4 << 20
)

var mediumChunks, largeChunks sync.Pool // of *[]byte

// arena is memory for decompressed batches that is given out piece by piece and taken back all at once. It grows by
// chunks, so that what was given out never moves.
type arena struct {
	chunks []*[]byte // the length of each is what is given out of it; the last one is in use
	own    *[]byte   // a chunk larger than largeChunk, kept from the last round
}

// reset takes everything back. A chunk made for an uncommonly large batch is left to the garbage collector once a round
// got by with a small part of it.
func (a *arena) reset() {
	used := 0
	for _, c := range a.chunks {
		used += len(*c)
	}
	if a.own != nil && used < cap(*a.own)/4 {
		a.own = nil
	}
	left := a.chunks[:0]
	for _, c := range a.chunks {
		*c = (*c)[:0]
		if cap(*c) == smallChunk {
			left = append(left, c)
		} else if cap(*c) <= largeChunk || used >= cap(*c)/4 {
			a.back(c)
		}
	}
	clear(a.chunks[len(left):])
	a.chunks = left
}

// back takes a chunk back from which nothing is given out.
func (a *arena) back(c *[]byte) {
	switch cap(*c) {
	case smallChunk:
	case mediumChunk:
		mediumChunks.Put(c)
	case largeChunk:
		largeChunks.Put(c)
	default:
		if a.own == nil || cap(*a.own) < cap(*c) {
			a.own = c
		}
	}
}

// chunk is an empty chunk with room for n bytes.
func (a *arena) chunk(n int) *[]byte {
	size := n
	switch {
	case n <= smallChunk && len(a.chunks) == 0:
		size = smallChunk
	case n <= mediumChunk:
		if c, ok := mediumChunks.Get().(*[]byte); ok {
			return c
		}
		size = mediumChunk
	case n <= largeChunk:
		if c, ok := largeChunks.Get().(*[]byte); ok {
			return c
		}
		size = largeChunk
	case a.own != nil && cap(*a.own) >= n:
		c := a.own
		a.own = nil
		return c
	}
	p := make([]byte, 0, size)
	return &p
}

// free returns the empty slice at the start of the free memory: append to it up to its capacity, grow it beyond, and
// keep what is to last.
func (a *arena) free() []byte {
	if len(a.chunks) == 0 {
		return nil
	}
	c := *a.chunks[len(a.chunks)-1]
	return c[len(c):]
}

// grow returns a slice with b's contents and room for at least n bytes more. b is what free or grow returned last,
// appended to within its capacity.
func (a *arena) grow(b []byte, n int) []byte {
	need := len(b) + n
	if need <= cap(b) {
		return b
	}
	if need > largeChunk {
		need = max(need, 2*cap(b))
	}
	last := len(a.chunks) - 1
	if last < 0 || len(*a.chunks[last]) > 0 {
		a.chunks = append(a.chunks, a.chunk(need))
		return append(a.free(), b...)
	}
	before := a.chunks[last] // nothing was given out of it, so it is replaced
	a.chunks[last] = a.chunk(need)
	b = append(a.free(), b...)
	a.back(before)
	return b
}

// keep makes the first n bytes of the free memory last until reset.
func (a *arena) keep(n int) {
	if n > 0 {
		c := a.chunks[len(a.chunks)-1]
		*c = (*c)[:len(*c)+n]
	}
}
