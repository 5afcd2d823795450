package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
)

// Producer is who writes batches: Kafka's producer id and epoch. Sequence numbers are counted by the caller.
type Producer struct {
	ID    int64
	Epoch int16
}

// Builder builds one record batch. Its zero value is ready; it keeps its memory from batch to batch. It is not safe for
// concurrent use.
type Builder struct {
	plain      []byte // room for the header, then the records; empty before the first record
	compressed []byte // the batch as sealed with a codec

	count      int
	base, next int64 // the first record's offset; the next one's distance from it
	first, max int64 // timestamps, Unix milliseconds
}

// Reset makes b empty and keeps its memory.
func (b *Builder) Reset() { b.plain, b.count = b.plain[:0], 0 }

// Add appends a record. timestamp is in Unix milliseconds; nil key or value mean absent.
func (b *Builder) Add(timestamp int64, key, value []byte, headers ...Header) {
	if len(headers) == 0 {
		b.begin(timestamp, key, value, 1)
		b.plain = append(b.plain, 0)
		return
	}
	b.begin(timestamp, key, value, HeadersSize(headers...))
	b.plain = appendHeaders(b.plain, headers)
}

// AddRecord appends r's key, value and headers under the given timestamp, headers copied as they are.
func (b *Builder) AddRecord(timestamp int64, r *Record) {
	if len(r.headers) == 0 {
		b.Add(timestamp, r.Key, r.Value)
		return
	}
	b.begin(timestamp, r.Key, r.Value, len(r.headers))
	b.plain = append(b.plain, r.headers...)
}

// Keep appends r under its own timestamp and offset, which must lie behind that of the record before, by less than 2^31
// in all: what was taken apart becomes a batch again. It does not go with the other ways to add records.
func (b *Builder) Keep(r *Record) {
	first := b.count == 0
	if !first {
		b.next = r.Offset - b.base
	}
	b.AddRecord(r.Timestamp, r)
	if first {
		b.base = r.Offset
	}
}

// AddFunc appends a record whose value is written in place: value gets the batch's memory and appends exactly size bytes.
func (b *Builder) AddFunc(timestamp int64, key []byte, size int, value func(dst []byte) []byte, headers ...Header) {
	b.beginValue(timestamp, key, varintLen(int64(size))+size, HeadersSize(headers...))
	b.plain = appendVarint(b.plain, int64(size))
	before := len(b.plain)
	b.plain = value(b.plain)
	if n := len(b.plain) - before; n != size {
		panic(fmt.Sprintf("record: a value of %d bytes was announced, %d were appended", size, n))
	}
	b.plain = appendHeaders(b.plain, headers)
}

// begin appends a record but for its headers, whose size in bytes it is told, their count included.
func (b *Builder) begin(timestamp int64, key, value []byte, headers int) {
	b.beginValue(timestamp, key, sizedLen(value), headers)
	b.plain = appendSized(b.plain, value)
}

// beginValue appends a record up to its key; value is the size in bytes of the value to come, its length included.
func (b *Builder) beginValue(timestamp int64, key []byte, value, headers int) {
	if b.count == 0 {
		b.plain = append(b.plain[:0], make([]byte, HeaderLen)...)
		b.first, b.max = timestamp, timestamp
		b.base, b.next = 0, 0
	}
	b.max = max(b.max, timestamp)
	since, delta := timestamp-b.first, b.next
	length := 1 + varintLen(since) + varintLen(delta) + sizedLen(key) + value + headers

	b.reserve(length + binary.MaxVarintLen64)
	p := appendVarint(b.plain, int64(length))
	p = append(p, 0) // attributes, of which none is defined
	p = appendVarint(p, since)
	p = appendVarint(p, delta)
	b.plain = appendSized(p, key)
	b.count++
	b.next = delta + 1
}

// doubled is the size in bytes up to which a batch's memory grows by powers of two. Batches end by it as a rule, and append,
// which grows large memory by a quarter each time, would copy what they hold four times over on the way.
const doubled = 1 << 20

// reserve sees to it that n bytes more have room.
func (b *Builder) reserve(n int) {
	need := len(b.plain) + n
	if need <= cap(b.plain) {
		return
	}
	size := need + need/4
	if need <= doubled {
		size = 1 << bits.Len(uint(need-1))
	}
	b.plain = append(make([]byte, 0, size), b.plain...)
}

// Len is the number of records added.
func (b *Builder) Len() int { return b.count }

// Size is the size in bytes of the batch if it were sealed now without compression.
func (b *Builder) Size() int { return max(len(b.plain), HeaderLen) }

// recordOverhead is the most that a record takes beside key, value and headers: its length, attributes, the timestamp's
// and the offset's delta, the lengths of key and value, the count of headers.
const recordOverhead = 5 + 1 + 10 + 5 + 5 + 5 + 5

// SizeWith is what Size would be at most after adding a record with key, value, headers of these sizes in bytes; that of
// headers is HeadersSize.
func (b *Builder) SizeWith(key, value, headers int) int {
	return b.Size() + recordOverhead + key + value + headers
}

// Seal completes the batch: header, producer, first sequence number, CRC. The result aliases the builder until Reset or
// the next Add; sealing again with another producer or sequence is allowed, and overwrites it. A batch without records,
// or of 2 GiB and more, is an error: Kafka has none such.
func (b *Builder) Seal(p Producer, sequence int32, transactional bool, codec Codec) ([]byte, error) {
	if b.count == 0 {
		return nil, errors.New("record batch has no records")
	}
	if len(b.plain) > math.MaxInt32 {
		return nil, fmt.Errorf("record batch of %d bytes is too large", len(b.plain))
	}
	h := b.plain
	attributes := uint16(codec)
	if codec != None {
		var err error
		b.compressed = append(b.compressed[:0], h[:HeaderLen]...)
		if b.compressed, err = compress(b.compressed, codec, h[HeaderLen:]); err != nil {
			return nil, fmt.Errorf("compress record batch with %s: %w", codec, err)
		}
		h = b.compressed
	}
	if transactional {
		attributes |= attributeTransactional
	}
	binary.BigEndian.PutUint64(h[atBaseOffset:], uint64(b.base)) // the broker sets it, unless there is none in between
	binary.BigEndian.PutUint32(h[atLength:], uint32(len(h)-atLeaderEpoch))
	binary.BigEndian.PutUint32(h[atLeaderEpoch:], math.MaxUint32) // -1: the broker sets it
	h[atMagic] = magic
	binary.BigEndian.PutUint16(h[atAttributes:], attributes)
	binary.BigEndian.PutUint32(h[atLastOffsetDelta:], uint32(b.next-1))
	binary.BigEndian.PutUint64(h[atFirstTimestamp:], uint64(b.first))
	binary.BigEndian.PutUint64(h[atMaxTimestamp:], uint64(b.max))
	binary.BigEndian.PutUint64(h[atProducerID:], uint64(p.ID))
	binary.BigEndian.PutUint16(h[atProducerEpoch:], uint16(p.Epoch))
	binary.BigEndian.PutUint32(h[atBaseSequence:], uint32(sequence))
	binary.BigEndian.PutUint32(h[atCount:], uint32(b.count))
	binary.BigEndian.PutUint32(h[atCRC:], crc32.Checksum(h[atAttributes:], castagnoli))
	return h, nil
}
