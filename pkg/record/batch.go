package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
)

// HeaderLen is the length of a record batch's header, in bytes.
const HeaderLen = 61

// Where the fields of a batch's header are.
const (
	atBaseOffset      = 0
	atLength          = 8 // of what follows it
	atLeaderEpoch     = 12
	atMagic           = 16
	atCRC             = 17 // of what follows it
	atAttributes      = 21
	atLastOffsetDelta = 23
	atFirstTimestamp  = 27
	atMaxTimestamp    = 35
	atProducerID      = 43
	atProducerEpoch   = 51
	atBaseSequence    = 53
	atCount           = 57
)

const (
	magic = 2

	attributeCodec         = 7
	attributeLogAppendTime = 1 << 3
	attributeTransactional = 1 << 4
	attributeControl       = 1 << 5
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

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

// String is the codec's name as Kafka's compression.type has it.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("codec %d", int8(c))
}

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
// The error is ErrShort, ErrMagic or ErrCorrupt, possibly wrapped.
func ParseBatch(p []byte) (b Batch, rest []byte, err error) {
	if len(p) <= atMagic {
		return b, nil, ErrShort
	}
	// Older formats have their magic in the same place.
	if p[atMagic] != magic {
		return b, nil, fmt.Errorf("%w but %d", ErrMagic, int8(p[atMagic]))
	}
	length := int64(int32(binary.BigEndian.Uint32(p[atLength:]))) + atLeaderEpoch
	if length < HeaderLen {
		return b, nil, fmt.Errorf("%w: a length of %d bytes", ErrCorrupt, length)
	}
	if length > int64(len(p)) {
		return b, nil, ErrShort
	}
	h := p[:length:length]
	b = Batch{
		BaseOffset:      int64(binary.BigEndian.Uint64(h[atBaseOffset:])),
		LeaderEpoch:     int32(binary.BigEndian.Uint32(h[atLeaderEpoch:])),
		Attributes:      int16(binary.BigEndian.Uint16(h[atAttributes:])),
		LastOffsetDelta: int32(binary.BigEndian.Uint32(h[atLastOffsetDelta:])),
		FirstTimestamp:  int64(binary.BigEndian.Uint64(h[atFirstTimestamp:])),
		MaxTimestamp:    int64(binary.BigEndian.Uint64(h[atMaxTimestamp:])),
		ProducerID:      int64(binary.BigEndian.Uint64(h[atProducerID:])),
		ProducerEpoch:   int16(binary.BigEndian.Uint16(h[atProducerEpoch:])),
		BaseSequence:    int32(binary.BigEndian.Uint32(h[atBaseSequence:])),
		Count:           int32(binary.BigEndian.Uint32(h[atCount:])),
		Raw:             h,
	}
	if b.BaseOffset < 0 || b.LastOffsetDelta < 0 || b.BaseOffset >= math.MaxInt64-int64(b.LastOffsetDelta) {
		return Batch{}, nil, fmt.Errorf("%w: base offset %d, last offset delta %d", ErrCorrupt, b.BaseOffset, b.LastOffsetDelta)
	}
	if b.Count < 0 || int64(b.Count) > int64(b.LastOffsetDelta)+1 {
		return Batch{}, nil, fmt.Errorf("%w: %d records, last offset delta %d", ErrCorrupt, b.Count, b.LastOffsetDelta)
	}
	return b, p[length:], nil
}

// CheckCRC returns ErrCRC unless the batch's CRC-32C holds.
func (b *Batch) CheckCRC() error {
	if crc32.Checksum(b.Raw[atAttributes:], castagnoli) != binary.BigEndian.Uint32(b.Raw[atCRC:]) {
		return ErrCRC
	}
	return nil
}

// Next is the offset after the batch's last record, compacted or not.
func (b *Batch) Next() int64 { return b.BaseOffset + int64(b.LastOffsetDelta) + 1 }

// Codec tells how the records are compressed.
func (b *Batch) Codec() Codec { return Codec(b.Attributes & attributeCodec) }

// Transactional reports whether the batch was written in a transaction.
func (b *Batch) Transactional() bool { return b.Attributes&attributeTransactional != 0 }

// Control reports whether the batch is a control batch: a marker that ends a transaction, never data.
func (b *Batch) Control() bool { return b.Attributes&attributeControl != 0 }

// LogAppendTime reports whether MaxTimestamp, the broker's clock, is the timestamp of every record of the batch.
func (b *Batch) LogAppendTime() bool { return b.Attributes&attributeLogAppendTime != 0 }
