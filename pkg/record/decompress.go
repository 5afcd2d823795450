package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
)

var errCut = errors.New("compressed data is cut short")

func errLimit(limit int) error {
	return fmt.Errorf("does not decompress to %d bytes or less", limit)
}

// decompressor holds what decompressing reuses from batch to batch: the memory it decompresses to, and gzip's state.
type decompressor struct {
	arena  arena
	gzip   *gzip.Reader // nil until the first batch in gzip
	source bytes.Reader // what gzip reads

	lz4Ratio int // by which the last block grew
}

// decompress returns p decompressed, in memory that lasts until the arena's reset. More than limit bytes are an error,
// and never allocated; less is allocated only as far as p really gives it, or so many bytes of p could give it.
func (d *decompressor) decompress(c Codec, p []byte, limit int) ([]byte, error) {
	var out []byte
	var err error
	switch c {
	case Gzip:
		out, err = d.gunzip(p, limit)
	case Snappy:
		out, err = d.unsnappy(p, limit)
	case LZ4:
		out, err = d.unlz4(p, limit)
	case Zstd:
		out, err = d.unzstd(p, limit)
	default:
		err = errors.New("no such codec is known")
	}
	if err != nil {
		return nil, err
	}
	d.arena.keep(len(out))
	return out[:len(out):len(out)], nil
}

func (d *decompressor) gunzip(p []byte, limit int) ([]byte, error) {
	d.source.Reset(p)
	defer d.source.Reset(nil)
	if d.gzip == nil {
		d.gzip = new(gzip.Reader)
	}
	if err := d.gzip.Reset(&d.source); err != nil {
		return nil, err
	}
	out := d.arena.grow(d.arena.free(), min(2*len(p), limit+1))
	for {
		if len(out) == cap(out) {
			out = d.arena.grow(out, min(len(out), limit+1-len(out)))
		}
		n, err := d.gzip.Read(out[len(out):min(cap(out), limit+1)])
		out = out[:len(out)+n]
		switch {
		case len(out) > limit:
			return nil, errLimit(limit)
		case err == io.EOF:
			return out, nil
		case err != nil:
			return nil, err
		}
	}
}

// xerial is what snappy-java writes first: its magic. Two version numbers follow, then blocks, each behind its length.
var xerial = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

// unsnappy decompresses both forms that producers write: one raw block, or snappy-java's frame of blocks.
func (d *decompressor) unsnappy(p []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(p, xerial) {
		return d.snappyBlock(d.arena.free(), p, limit)
	}
	if len(p) < len(xerial)+8 {
		return nil, errCut
	}
	out := d.arena.free()
	for p = p[len(xerial)+8:]; len(p) > 0; {
		if len(p) < 4 {
			return nil, errCut
		}
		n := binary.BigEndian.Uint32(p)
		if uint64(n) > uint64(len(p)-4) {
			return nil, errCut
		}
		var err error
		if out, err = d.snappyBlock(out, p[4:4+n], limit); err != nil {
			return nil, err
		}
		p = p[4+n:]
	}
	return out, nil
}

// snappyBlock appends the decompressed block to out, which is the arena's.
func (d *decompressor) snappyBlock(out, block []byte, limit int) ([]byte, error) {
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return nil, err
	}
	if n > limit-len(out) {
		return nil, errLimit(limit)
	}
	// Three bytes give 64 at best: a block that claims more than it can give must not get the memory for it.
	if n > 22*len(block) {
		return nil, snappy.ErrCorrupt
	}
	out = d.arena.grow(out, n)
	if _, err := snappy.Decode(out[len(out):len(out)+n], block); err != nil {
		return nil, err
	}
	return out[:len(out)+n], nil
}
