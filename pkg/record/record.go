// Package record holds the unit that flows through Windrow, and Kafka's record batch format (magic 2), in which records
// travel from the source through the buffer to the worker, and from the worker to the output.
//
// The package is pure: no I/O, no clock, no goroutine.
package record

import "iter"

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

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte // nil: absent
}

// Headers yields the record's headers in order. The values alias the record.
func (r *Record) Headers() iter.Seq[Header] { panic("not built yet") }

// Header returns the last header named key.
func (r *Record) Header(key string) (value []byte, ok bool) { panic("not built yet") }

// SetHeaders replaces the record's headers.
func (r *Record) SetHeaders(hs ...Header) { panic("not built yet") }

// Size is the number of bytes of key, value and headers: what the record costs when it is kept.
func (r *Record) Size() int { return len(r.Key) + len(r.Value) + len(r.headers) }

// CopyTo appends key, value and headers to arena and returns a copy of r that aliases them there.
func (r *Record) CopyTo(arena []byte) (Record, []byte) { panic("not built yet") }

// Clone returns a copy of r that owns its memory.
func (r *Record) Clone() Record { c, _ := r.CopyTo(make([]byte, 0, r.Size())); return c }

// AppendBinary appends r in the form that checkpoints use; ReadBinary reads it back.
func (r *Record) AppendBinary(dst []byte) []byte { panic("not built yet") }

// ReadBinary reads a record written by AppendBinary from src into r, aliasing src, and returns what follows it.
func (r *Record) ReadBinary(src []byte) (rest []byte, err error) { panic("not built yet") }
