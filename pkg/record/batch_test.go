package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

// seal builds a batch of n small records.
func seal(tb testing.TB, codec Codec, n int) []byte {
	tb.Helper()
	var b Builder
	for i := range n {
		b.Add(1700000000000+int64(i%7), fmt.Appendf(nil, "key %d", i%10), fmt.Appendf(nil, `{"value":%d}`, i))
	}
	p, err := b.Seal(Producer{ID: 42, Epoch: 7}, 11, true, codec)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func parse(tb testing.TB, p []byte) Batch {
	tb.Helper()
	b, rest, err := ParseBatch(p)
	if err != nil {
		tb.Fatal(err)
	}
	if len(rest) != 0 {
		tb.Fatalf("%d bytes are left", len(rest))
	}
	return b
}

func TestParseBatch(t *testing.T) {
	p := seal(t, Zstd, 20)
	binary.BigEndian.PutUint64(p, 1000)
	two := append(append([]byte(nil), p...), p...)
	b, rest, err := ParseBatch(two)
	if err != nil {
		t.Fatal(err)
	}
	if len(rest) != len(p) || len(b.Raw) != len(p) {
		t.Fatalf("a batch of %d bytes is cut off as %d, leaving %d", len(p), len(b.Raw), len(rest))
	}
	if b.BaseOffset != 1000 || b.LastOffsetDelta != 19 || b.Next() != 1020 || b.Count != 20 || b.LeaderEpoch != -1 {
		t.Errorf("offsets: %+v", b)
	}
	if b.FirstTimestamp != 1700000000000 || b.MaxTimestamp != 1700000000006 {
		t.Errorf("timestamps: %d to %d", b.FirstTimestamp, b.MaxTimestamp)
	}
	if b.ProducerID != 42 || b.ProducerEpoch != 7 || b.BaseSequence != 11 {
		t.Errorf("producer: %d, %d, %d", b.ProducerID, b.ProducerEpoch, b.BaseSequence)
	}
	if b.Codec() != Zstd || !b.Transactional() || b.Control() || b.LogAppendTime() {
		t.Errorf("attributes: %b", b.Attributes)
	}
	b.Attributes = 1<<5 | 1<<3
	if b.Codec() != None || b.Transactional() || !b.Control() || !b.LogAppendTime() {
		t.Errorf("attributes: %b", b.Attributes)
	}
}

func TestParseBatchRefuses(t *testing.T) {
	put32 := func(at int, v int32) func([]byte) {
		return func(p []byte) { binary.BigEndian.PutUint32(p[at:], uint32(v)) }
	}
	put64 := func(at int, v int64) func([]byte) {
		return func(p []byte) { binary.BigEndian.PutUint64(p[at:], uint64(v)) }
	}
	for _, c := range []struct {
		name  string
		spoil func(p []byte)
		want  error
	}{
		{"magic 1", func(p []byte) { p[16] = 1 }, ErrMagic},
		{"length below a header's", put32(8, HeaderLen-12-1), ErrCorrupt},
		{"negative length", put32(8, -1), ErrCorrupt},
		{"least length", put32(8, -1<<31), ErrCorrupt},
		{"length beyond the bytes", put32(8, 1<<31-1), ErrShort},
		{"negative base offset", put64(0, -1), ErrCorrupt},
		{"greatest base offset", put64(0, 1<<63-1), ErrCorrupt},
		{"negative offset delta", put32(23, -1), ErrCorrupt},
		{"negative count", put32(57, -1), ErrCorrupt},
		{"more records than offsets", put32(57, 6), ErrCorrupt},
	} {
		p := seal(t, None, 5)
		c.spoil(p)
		if _, _, err := ParseBatch(p); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	p := seal(t, None, 5)
	for n := range p {
		if _, _, err := ParseBatch(p[:n]); !errors.Is(err, ErrShort) {
			t.Fatalf("%d bytes of %d: got %v, want %v", n, len(p), err, ErrShort)
		}
	}
}

func TestCheckCRC(t *testing.T) {
	p := seal(t, None, 5)
	b := parse(t, p)
	if err := b.CheckCRC(); err != nil {
		t.Fatal(err)
	}
	for i := 17; i < len(p); i++ {
		p[i] ^= 0x10
		if err := b.CheckCRC(); !errors.Is(err, ErrCRC) {
			t.Fatalf("byte %d is spoilt: got %v, want %v", i, err, ErrCRC)
		}
		p[i] ^= 0x10
	}
}
