package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// texts are what compressors treat differently: nothing, little, much that repeats, and what can't be compressed.
func texts() [][]byte {
	noise := make([]byte, 0, 150000)
	for sum := sha256.Sum256(nil); len(noise) < cap(noise)-32; sum = sha256.Sum256(sum[:]) {
		noise = append(noise, sum[:]...)
	}
	return [][]byte{
		[]byte("a"),
		[]byte("a little"),
		bytes.Repeat([]byte("much that repeats, "), 20000),
		noise,
		slices.Concat(noise, make([]byte, 200000), noise[:1000]),
	}
}

func check[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// xerialFrame is what snappy-java writes.
func xerialFrame(p []byte, block int) []byte {
	dst := append(slices.Clone(xerial), 0, 0, 0, 1, 0, 0, 0, 1)
	for part := range slices.Chunk(p, block) {
		z := snappy.Encode(nil, part)
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(z))), z...)
	}
	return dst
}

// compressedForms are p in all the forms of a codec that producers are known to write.
func compressedForms(t *testing.T, c Codec, p []byte) map[string][]byte {
	forms := map[string][]byte{"our own": check[[]byte](t)(compress([]byte("kept"), c, p))[4:]}
	switch c {
	case Gzip:
		var z bytes.Buffer
		for half := range slices.Chunk(p, len(p)/2+1) {
			w := gzip.NewWriter(&z)
			check[int](t)(w.Write(half))
			check[int](t)(0, w.Close())
		}
		forms["two members"] = z.Bytes()
	case Snappy:
		forms["xerial"] = xerialFrame(p, 32<<10)
		forms["xerial, small blocks"] = xerialFrame(p, 1000)
	case LZ4:
		for name, options := range map[string][]lz4.Option{
			"defaults of pierrec": nil,
			"blocks of 1 MiB":     {lz4.BlockSizeOption(lz4.Block1Mb)},
			"checksums and size":  {lz4.BlockChecksumOption(true), lz4.SizeOption(uint64(len(p))), lz4.BlockSizeOption(lz4.Block64Kb)},
		} {
			var z bytes.Buffer
			w := lz4.NewWriter(&z)
			check[int](t)(0, w.Apply(options...))
			check[int](t)(w.Write(p))
			check[int](t)(0, w.Close())
			forms[name] = z.Bytes()
		}
	case Zstd:
		var z bytes.Buffer
		w := check[*zstd.Encoder](t)(zstd.NewWriter(&z, zstd.WithWindowSize(8<<20)))
		for part := range slices.Chunk(p, len(p)/20+1) {
			check[int](t)(w.Write(part))
			check[int](t)(0, w.Flush())
		}
		check[int](t)(0, w.Close())
		forms["stream of flushed parts"] = z.Bytes()
		e := check[*zstd.Encoder](t)(zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true)))
		skip := []byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'x', 'y', 'z'}
		forms["several frames"] = slices.Concat(e.EncodeAll(p[:len(p)/3], nil), skip, e.EncodeAll(p[len(p)/3:], nil), skip)
	}
	return forms
}

func TestDecompress(t *testing.T) {
	for _, c := range codecs[1:] {
		for _, p := range texts() {
			for name, z := range compressedForms(t, c, p) {
				var d decompressor
				for range 2 {
					got, err := d.decompress(c, z, len(p))
					if err != nil {
						t.Fatalf("%s, %s, %d bytes: %v", c, name, len(p), err)
					}
					if !bytes.Equal(got, p) {
						t.Fatalf("%s, %s: %d bytes come back as %d others", c, name, len(p), len(got))
					}
				}
				if _, err := d.decompress(c, z, len(p)-1); err == nil || !strings.Contains(err.Error(), "or less") {
					t.Fatalf("%s, %s: %d bytes, one more than the limit: %v", c, name, len(p), err)
				}
				for _, n := range []int{0, 1, len(z) / 2, len(z) - 1} {
					if got, err := d.decompress(c, z[:n], len(p)); err == nil && len(got) == len(p) && n < len(z)/2 {
						t.Fatalf("%s, %s: %d bytes of %d are enough", c, name, n, len(z))
					}
				}
			}
		}
	}
	if _, err := new(decompressor).decompress(5, []byte("x"), 100); err == nil {
		t.Error("codec 5 is known")
	}
}

// TestLZ4Linked decompresses a block that refers to the one before, as LZ4F of librdkafka and others may write them.
func TestLZ4Linked(t *testing.T) {
	first := "sixteen letters!"
	frame := slices.Concat(
		[]byte{0x04, 0x22, 0x4d, 0x18, 0x40, 0x40, 0xc0}, // the header: linked blocks of up to 64 KiB
		[]byte{16, 0, 0, 0x80}, []byte(first),            // a stored block
		[]byte{9, 0, 0, 0, 0x07, 16, 0, 0x50, ' ', 'a', 'n', 'd', '.'}, // 11 bytes from 16 before, then 5 literals
		[]byte{0, 0, 0, 0})
	got, err := new(decompressor).decompress(LZ4, frame, 1000)
	if want := first + first[:11] + " and."; err != nil || string(got) != want {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
	frame[4] |= lz4Independent
	if got, err := new(decompressor).decompress(LZ4, frame, 1000); err == nil {
		t.Fatalf("an independent block refers to the one before: %q", got)
	}
}

func TestLZ4FrameIsKafkas(t *testing.T) {
	z := check[[]byte](t)(compress(nil, LZ4, texts()[2]))
	if want := []byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82}; !bytes.HasPrefix(z, want) {
		t.Fatalf("the frame begins %x, want %x: independent blocks of 64 KiB", z[:7], want)
	}
}

// held is the arena's memory, in bytes.
func (a *arena) held() (n int) {
	for _, c := range a.chunks {
		n += cap(*c)
	}
	if a.own != nil {
		n += cap(*a.own)
	}
	return n
}

func TestBombs(t *testing.T) {
	const limit = 1 << 20
	zeros := make([]byte, 8<<20)
	for _, c := range codecs[1:] {
		for name, z := range compressedForms(t, c, zeros) {
			if c == Snappy && name != "our own" {
				continue // a bomb of many blocks is refused at the block that exceeds the limit
			}
			d := Decoder{MaxSize: limit}
			b := parse(t, framed(seal(t, None, 1), z, c, 1))
			if _, err := decode(&d, &b, 0); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "1048576 bytes or less") {
				t.Errorf("%s, %s: got %v", c, name, err)
			}
			if got := d.decompressor.arena.held(); got > 4*limit {
				t.Errorf("%s, %s: %d bytes were allocated", c, name, got)
			}
		}
	}
}

// TestFalseClaims has batches of a few bytes that claim to decompress to very much.
func TestFalseClaims(t *testing.T) {
	lz4Head := []byte{0x04, 0x22, 0x4d, 0x18, 0x68, 0x70, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0} // blocks of 4 MiB, size 256 MiB
	for _, c := range []struct {
		name  string
		codec Codec
		p     []byte
	}{
		{"snappy", Snappy, append(binary.AppendUvarint(nil, 200<<20), 0, 'x')},
		{"snappy, negative", Snappy, append(binary.AppendUvarint(nil, 1<<63), 0, 'x')},
		{"xerial", Snappy, append(xerialFrame([]byte("x"), 1), 0x7f, 0xff, 0xff, 0xff, 1)},
		{"xerial, block", Snappy, append(append(xerialFrame([]byte("x"), 1), 0, 0, 0, 5), append(binary.AppendUvarint(nil, 200<<20), 0)...)},
		{"lz4, size", LZ4, append(lz4Head, 0x01, 0, 0, 0, 0)},
		{"lz4, block", LZ4, append(lz4Head, 0xff, 0xff, 0xff, 0x7f, 0)},
		{"lz4, stored block", LZ4, append(lz4Head, 0xff, 0xff, 0xff, 0xff, 0)},
		{"lz4, block larger than allowed", LZ4, append(append(slices.Clone(lz4Head), 1, 0, 0x40, 0x80), make([]byte, 4<<20+1)...)},
		{"lz4, checksum missing", LZ4, []byte{0x04, 0x22, 0x4d, 0x18, 0x70, 0x40, 0, 1, 0, 0, 0x80, 'x', 0}},
		{"lz4, no end", LZ4, append(slices.Clone(lz4Head), 1, 0, 0, 0x80, 'x')},
		{"lz4, dictionary", LZ4, append([]byte{0x04, 0x22, 0x4d, 0x18, 0x61, 0x40}, make([]byte, 20)...)},
		{"lz4, block size 0", LZ4, append([]byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x00}, make([]byte, 20)...)},
		{"zstd", Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x0c, 0x01, 0, 0}},
		{"zstd, one block", Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x0c, 0x0b, 0, 0, 'x'}},
		{"zstd, window", Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x0b, 0, 0, 'x'}},
		{"zstd, block beyond the end", Zstd, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0xfd, 0xff, 0xff, 'x'}},
		{"zstd, frame to skip", Zstd, []byte{0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff, 0}},
		{"gzip", Gzip, []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}},
	} {
		d := Decoder{}
		b := parse(t, framed(seal(t, None, 1), c.p, c.codec, 1))
		if _, err := decode(&d, &b, 0); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: got %v, want %v", c.name, err, ErrCorrupt)
		}
		if got := d.decompressor.arena.held(); got > 1<<20 {
			t.Errorf("%s: %d bytes are allocated for %d", c.name, got, len(c.p))
		}
	}
}

func TestArenaGivesLargeMemoryBack(t *testing.T) {
	var a arena
	round := func(n int) {
		a.grow(a.free(), n)
		a.keep(n)
		a.reset()
	}
	round(100 << 20)
	if a.held() < 100<<20 {
		t.Fatal("memory that was all in use is not kept for the next round")
	}
	round(1000)
	if got := a.held(); got != smallChunk {
		t.Fatalf("%d bytes are held for a round of 1,000", got)
	}
	for _, n := range []int{mediumChunk / 2, mediumChunk, largeChunk} {
		round(n)
		if got := a.held(); got > smallChunk {
			t.Fatalf("%d bytes are held after a round of %d", got, n)
		}
	}
}

// What an arena gives out stays as it is until reset, whatever other arenas do.
func TestArenasShareMemory(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	type piece struct {
		p []byte
		c byte
	}
	var arenas [3]arena
	var given [3][]piece
	for i := range 2000 {
		n := rnd.IntN(len(arenas))
		a := &arenas[n]
		if rnd.IntN(10) == 0 {
			for _, g := range given[n] {
				if bytes.Count(g.p, []byte{g.c}) != len(g.p) {
					t.Fatalf("a piece of %d bytes was overwritten", len(g.p))
				}
			}
			a.reset()
			given[n] = given[n][:0]
		}
		b, c := a.free(), byte(i)
		for range rnd.IntN(4) {
			more := rnd.IntN(1 << (8 + rnd.IntN(13)))
			b = a.grow(b, more)
			b = append(b, bytes.Repeat([]byte{c}, more)...)
		}
		a.keep(len(b))
		given[n] = append(given[n], piece{b, c})
	}
}
