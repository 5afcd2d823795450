package record

import "slices"

const (
	arenaFirst = 64 << 10 // size of an arena's first chunk
	arenaMost  = 4 << 20  // up to which chunks double; more only where one batch needs it
)

// arena is memory for decompressed batches that is given out piece by piece and taken back all at once. It grows by
// chunks, so that what was given out never moves.
type arena struct {
	chunks [][]byte // the length of each is what is given out of it
	at     int      // the chunk in use; those before it are full, those behind it are empty
}

// reset takes everything back. Chunks that the last round did not need are left to the garbage collector, and so is one
// made for an uncommonly large batch once a round got by with a small part of it.
func (a *arena) reset() {
	if len(a.chunks) == 0 {
		return
	}
	used := 0
	for i := range a.chunks {
		used += len(a.chunks[i])
		a.chunks[i] = a.chunks[i][:0]
	}
	a.chunks = slices.DeleteFunc(a.chunks[:a.at+1], func(c []byte) bool { return cap(c) > arenaMost && used < cap(c)/4 })
	a.at = 0
}

// free returns the empty slice at the start of the free memory: append to it up to its capacity, grow it beyond, and
// keep what is to last.
func (a *arena) free() []byte {
	if a.at >= len(a.chunks) {
		return nil
	}
	c := a.chunks[a.at]
	return c[len(c):]
}

// grow returns a slice with b's contents and room for at least n bytes more. b is what free or grow returned last,
// appended to within its capacity.
func (a *arena) grow(b []byte, n int) []byte {
	need := len(b) + n
	if need <= cap(b) {
		return b
	}
	next := a.at + 1
	if a.at >= len(a.chunks) || len(a.chunks[a.at]) == 0 {
		next = a.at // a chunk that nothing was given out of is replaced
	}
	for next < len(a.chunks) && cap(a.chunks[next]) < need {
		a.chunks = slices.Delete(a.chunks, next, next+1)
	}
	if next >= len(a.chunks) {
		size := arenaFirst
		if next > 0 {
			size = min(2*cap(a.chunks[next-1]), arenaMost)
		}
		a.chunks = append(a.chunks, make([]byte, 0, max(size, 2*cap(b), need)))
	}
	a.at = next
	return append(a.free(), b...)
}

// keep makes the first n bytes of the free memory last until reset.
func (a *arena) keep(n int) {
	if n > 0 {
		c := a.chunks[a.at]
		a.chunks[a.at] = c[:len(c)+n]
	}
}
