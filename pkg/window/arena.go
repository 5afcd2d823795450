package window

import "github.com/windrow-io/windrow/pkg/record"

const (
	chunkSize = 64 << 10      // the memory that an arena grows by, in bytes
	large     = chunkSize / 4 // a record larger than this gets memory of its own
)

// arena is where records are kept that wait from one Step to the next. Memory is not given back record by record: when
// less than half of what is held is live, the machine copies what is live into fresh chunks (Machine.compact). So a byte
// is copied about once more in its life than on its way in, and windows that close together cost nothing. Large records
// have memory of their own, which is the garbage collector's business.
type arena struct {
	chunks [][]byte // the last one is being filled
	old    [][]byte // the chunks before swap
	spare  [][]byte // empty chunks
	held   int      // bytes of the records in chunks, waiting or not
	live   int      // bytes of those that wait
}

// inArena is what a record of this size takes of an arena, in bytes.
func inArena(size int) int {
	if size > large {
		return 0
	}
	return size
}

// keep replaces r by a copy and returns the bytes it takes of the arena.
func (a *arena) keep(r *record.Record) int {
	size := r.Size()
	if size > large {
		*r = r.Clone()
		return 0
	}
	last := len(a.chunks) - 1
	if last < 0 || cap(a.chunks[last])-len(a.chunks[last]) < size {
		a.chunks = append(a.chunks, a.chunk())
		last++
	}
	*r, a.chunks[last] = r.CopyTo(a.chunks[last])
	a.held += size
	a.live += size
	return size
}

// move keeps a record once more, in the chunks after swap.
func (a *arena) move(r *record.Record) {
	if inArena(r.Size()) > 0 {
		a.keep(r)
	}
}

// drop tells that so many bytes of what was kept wait no longer.
func (a *arena) drop(n int) { a.live -= n }

func (a *arena) chunk() []byte {
	if n := len(a.spare); n > 0 {
		c := a.spare[n-1]
		a.spare = a.spare[:n-1]
		return c
	}
	return make([]byte, 0, chunkSize)
}

// wasteful reports whether so little of what is held is live that it is worth moving it to fresh chunks.
func (a *arena) wasteful() bool { return a.held > 2*a.live+chunkSize }

// swap makes the arena empty; the records in it stay valid until release.
func (a *arena) swap() {
	a.chunks, a.old = a.old[:0], a.chunks
	a.held, a.live = 0, 0
}

// release takes the chunks from before swap back: about as many will be needed until the next one.
func (a *arena) release() {
	for _, c := range a.old {
		a.spare = append(a.spare, c[:0])
	}
	if room := len(a.old) + 2; len(a.spare) > room {
		clear(a.spare[room:])
		a.spare = a.spare[:room]
	}
	clear(a.old)
}
