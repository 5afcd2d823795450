// Package record holds the unit that flows through Windrow, and Kafka's record batch format (magic 2), in which records
// travel from the source through the buffer to the worker, and from the worker to the output.
//
// Reading: ParseBatch views a batch's header without touching its records, which is all that ingest needs; CheckCRC
// vouches for its bytes; Decoder walks its records, which alias the batch, or, if it is compressed, memory that the
// Decoder reuses. Writing: Builder appends records in place behind room for the header, and Seal fills that in.
//
// Bytes are never trusted: whatever they say, a length is held against what is there before anything is allocated, and
// what does not add up is ErrCorrupt.
//
// The package is pure: no I/O, no clock, no goroutine.
package record

// Record is one record and where it came from. Key, Value and headers alias the memory they were decoded from; Clone
// makes a Record that owns its memory.
type Record struct {
	Key, Value []byte // nil: absent. A nil Value is a tombstone
	Topic      string
	Partition  int32
	Offset     int64
	Timestamp  int64 // Unix milliseconds, as the record carries it
	Received   int64 // Unix milliseconds at which the buffer received it; 0 unless the emitter asks for it

	headers []byte // as Kafka encodes them: varint count, then key and value pairs. nil: none
}

// Size is the number of bytes of key, value and headers: what the record costs when it is kept.
func (r *Record) Size() int { return len(r.Key) + len(r.Value) + len(r.headers) }

// CopyTo appends key, value and headers to arena and returns a copy of r that aliases them there.
func (r *Record) CopyTo(arena []byte) (Record, []byte) {
	c := *r
	k := len(arena)
	arena = append(arena, r.Key...)
	v := len(arena)
	arena = append(arena, r.Value...)
	h := len(arena)
	arena = append(arena, r.headers...)
	c.Key = like(r.Key, arena[k:v:v])
	c.Value = like(r.Value, arena[v:h:h])
	c.headers = like(r.headers, arena[h:len(arena):len(arena)])
	return c, arena
}

// like returns copied, but nil where original is nil and not nil where it isn't: an empty arena's slices may be nil.
func like(original, copied []byte) []byte {
	switch {
	case original == nil:
		return nil
	case copied == nil:
		return []byte{}
	}
	return copied
}

// Clone returns a copy of r that owns its memory.
func (r *Record) Clone() Record { c, _ := r.CopyTo(make([]byte, 0, r.Size())); return c }
