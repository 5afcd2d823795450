package record

import "fmt"

// Decoder decodes the records of batches. Its zero value is ready; it reuses its memory from batch to batch, so that
// nothing is allocated per record. It is not safe for concurrent use.
type Decoder struct {
	// MaxSize bounds the decompressed size of one batch in bytes; 0 means 256 MiB. A batch beyond it is ErrCorrupt.
	MaxSize int

	record       Record
	decompressor decompressor
	decoded      int
}

// Reset forgets the memory of the batches decoded so far: records that they gave must no longer be used. Without it
// the memory of several batches stays valid side by side.
func (d *Decoder) Reset() {
	d.decompressor.arena.reset()
	d.decoded = 0
}

// Decoded is the size of the batches decoded since Reset, decompressed, in bytes.
func (d *Decoder) Decoded() int { return d.decoded }

// Decode calls f for each record of b with an offset >= from, in offset order. The record passed to f is the
// decoder's own and is overwritten by the next one; what its slices alias (b.Raw, or the decoder's memory if the batch is
// compressed) stays valid until Reset. Topic and Partition are set by the caller's proto, whose other fields are ignored.
// A batch that can't be decoded gives ErrCorrupt, wrapped, after the records before the fault: none, if it can't be
// decompressed. Control batches are decoded like any other, and the CRC is not checked: see Batch.
func (d *Decoder) Decode(b *Batch, proto *Record, from int64, f func(*Record)) error {
	if b.Next() <= from {
		return nil
	}
	p := b.Raw[HeaderLen:]
	if c := b.Codec(); c != None {
		var err error
		if p, err = d.decompressor.decompress(c, p, d.maxSize()); err != nil {
			return fmt.Errorf("%w: offset %d: %s: %w", ErrCorrupt, b.BaseOffset, c, err)
		}
	}
	d.decoded += len(p)
	r := &d.record
	*r = Record{Topic: proto.Topic, Partition: proto.Partition}
	defer func() { *r = Record{} }() // keeps no batch alive
	deltas, first := int64(-1), b.FirstTimestamp
	if b.LogAppendTime() {
		deltas, first = 0, b.MaxTimestamp
	}
	last, i := int64(-1), 0
	for n := b.Count; n > 0; n-- {
		timestamp, delta, next := r.read(p, i)
		if next < 0 {
			return corruptBehind(b, last, "a malformed record")
		}
		if delta <= last || delta > int64(b.LastOffsetDelta) {
			return corruptBehind(b, last, fmt.Sprintf("offset delta %d", delta))
		}
		last, i = delta, next
		if r.Offset = b.BaseOffset + delta; r.Offset < from {
			continue
		}
		r.Timestamp = first + timestamp&deltas
		f(r)
	}
	if i < len(p) {
		return corruptBehind(b, last, fmt.Sprintf("%d bytes too many", len(p)-i))
	}
	return nil
}

// corruptBehind is the error of a batch that is at fault behind the record with the offset delta last; -1: at its start.
func corruptBehind(b *Batch, last int64, fault string) error {
	return fmt.Errorf("%w: %s behind offset %d, in %d records from offset %d", ErrCorrupt, fault, b.BaseOffset+last, b.Count, b.BaseOffset)
}

// read reads the record at p[i:] into r's key, value and headers, and returns its deltas and the index behind it,
// negative if there is no valid record. What it can't do without calls, which cost most here, it leaves to readAny:
// numbers of more than two bytes, headers, and the faults.
func (r *Record) read(p []byte, i int) (timestamp, delta int64, next int) {
	if len(p)-i < 2+1+2+2+2 { // length, attributes, deltas, length of the key
		return r.readAny(p, i)
	}
	length, at := short(p, i)
	ts, j := short(p, at+1)
	od, j := short(p, j)
	k, j := short(p, j)
	end := at + int(length>>1)
	if length&1|(length|ts|od|k)&^shortest != 0 || end > len(p) {
		return r.readAny(p, i)
	}
	var key, value []byte
	if k&1 == 0 {
		n := int(k >> 1)
		if n > end-j {
			return r.readAny(p, i)
		}
		key = p[j : j+n : j+n]
		j += n
	}
	if end-j < 2 { // length of the value, number of headers
		return r.readAny(p, i)
	}
	v, j := short(p, j)
	if v&^shortest != 0 {
		return r.readAny(p, i)
	}
	if v&1 == 0 {
		n := int(v >> 1)
		if n > end-j {
			return r.readAny(p, i)
		}
		value = p[j : j+n : j+n]
		j += n
	}
	if j != end-1 || p[j] != 0 {
		return r.readAny(p, i)
	}
	r.Key, r.Value, r.headers = key, value, nil
	return unzigzag(uint64(ts)), unzigzag(uint64(od)), end
}

// readAny is read for records of all kinds.
func (r *Record) readAny(p []byte, i int) (timestamp, delta int64, next int) {
	length, i := varint(p, i)
	if i < 0 || length < 1 || length > int64(len(p)-i) {
		return 0, 0, -1
	}
	end := i + int(length)
	p = p[:end]
	timestamp, i = varint(p, i+1) // behind the attributes, of which none is defined
	delta, i = varint(p, i)
	r.Key, i = sized(p, i)
	r.Value, i = sized(p, i)
	if i < 0 || !checkHeaders(p[i:]) {
		return 0, 0, -1
	}
	if r.headers = p[i:end:end]; len(r.headers) == 1 {
		r.headers = nil // their count alone: none
	}
	return timestamp, delta, end
}

func (d *Decoder) maxSize() int {
	if d.MaxSize > 0 {
		return d.MaxSize
	}
	return 256 << 20
}
