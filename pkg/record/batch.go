package record

import "errors"

// HeaderLen is the length of a record batch's header, in bytes.
const HeaderLen = 61

// Errors of ParseBatch and Decoder.
var (
	ErrShort   = errors.New("record batch is cut short")   // more bytes are needed: the usual end of a fetch answer
	ErrMagic   = errors.New("record batch is not magic 2") // written in a format older than Kafka 0.11
	ErrCRC     = errors.New("record batch fails its CRC-32C")
	ErrCorrupt = errors.New("record batch is corrupt")
)

// Codec is how a batch's records are compressed; the numbers are Kafka's.
type Codec int8

// The codecs of Kafka.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

// Batch is the view of one record batch. Raw aliases what it was parsed from.
type Batch struct {
	BaseOffset      int64
	LeaderEpoch     int32
	Attributes      int16
	LastOffsetDelta int32
	FirstTimestamp  int64 // Unix milliseconds
	MaxTimestamp    int64 // Unix milliseconds
	ProducerID      int64
	ProducerEpoch   int16
	BaseSequence    int32
	Count           int32
	Raw             []byte // the whole batch, header included
}

// ParseBatch reads the header of the first batch in p and returns the bytes behind that batch. It does not check the CRC.
func ParseBatch(p []byte) (b Batch, rest []byte, err error) { panic("not built yet") }

// CheckCRC returns ErrCRC unless the batch's CRC-32C holds.
func (b *Batch) CheckCRC() error { panic("not built yet") }

// Next is the offset after the batch's last record, compacted or not.
func (b *Batch) Next() int64 { return b.BaseOffset + int64(b.LastOffsetDelta) + 1 }

// Codec tells how the records are compressed.
func (b *Batch) Codec() Codec { return Codec(b.Attributes & 7) }

// Transactional reports whether the batch was written in a transaction, Control whether it is a transaction's marker.
func (b *Batch) Transactional() bool { return b.Attributes&(1<<4) != 0 }

// Control reports whether the batch is a control batch: a marker that ends a transaction, never data.
func (b *Batch) Control() bool { return b.Attributes&(1<<5) != 0 }

// LogAppendTime reports whether MaxTimestamp, the broker's clock, is the timestamp of every record of the batch.
func (b *Batch) LogAppendTime() bool { return b.Attributes&(1<<3) != 0 }

// Decoder decodes the records of batches. Its zero value is ready; it reuses its memory from batch to batch, so that
// nothing is allocated per record. It is not safe for concurrent use.
type Decoder struct {
	// MaxSize bounds the decompressed size of one batch in bytes; 0 means 256 MiB. A batch beyond it is ErrCorrupt.
	MaxSize int

	arena []byte
}

// Reset forgets the memory of the batches decoded so far: records that they gave must no longer be used. Without it
// the memory of several batches stays valid side by side.
func (d *Decoder) Reset() { d.arena = d.arena[:0] }

// Decode calls f for each record of b with an offset >= from, in offset order. The record passed to f is the
// decoder's own and is overwritten by the next one; what its slices alias (b.Raw, or the decoder's memory if the batch is
// compressed) stays valid until Reset. Topic and Partition are set by the caller's proto, whose other fields are ignored.
// A batch that can't be decoded gives ErrCorrupt, wrapped, after the records before the fault.
func (d *Decoder) Decode(b *Batch, proto *Record, from int64, f func(*Record)) error {
	panic("not built yet")
}

// Producer is who writes batches: Kafka's producer id and epoch. Sequence numbers are counted by the caller.
type Producer struct {
	ID    int64
	Epoch int16
}

// Builder builds one record batch. Its zero value is ready.
type Builder struct{ buf []byte }

// Reset makes b empty and keeps its memory.
func (b *Builder) Reset() { panic("not built yet") }

// Add appends a record. timestamp is in Unix milliseconds; nil key or value mean absent.
func (b *Builder) Add(timestamp int64, key, value []byte, headers ...Header) { panic("not built yet") }

// AddRecord appends r's key, value and headers under the given timestamp, headers copied as they are.
func (b *Builder) AddRecord(timestamp int64, r *Record) { panic("not built yet") }

// Len is the number of records added, Size the size in bytes of the batch if it were sealed now without compression.
func (b *Builder) Len() int { panic("not built yet") }

// Size is the size in bytes of the batch if it were sealed now without compression.
func (b *Builder) Size() int { panic("not built yet") }

// SizeWith is what Size would be at most after adding a record with key, value, headers of these sizes in bytes.
func (b *Builder) SizeWith(key, value, headers int) int { panic("not built yet") }

// Seal completes the batch: header, producer, first sequence number, CRC. The result aliases the builder until Reset or
// the next Add; sealing again with another producer or sequence is allowed.
func (b *Builder) Seal(p Producer, sequence int32, transactional bool, codec Codec) ([]byte, error) {
	panic("not built yet")
}
