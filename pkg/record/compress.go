package record

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Compressors are large (up to a megabyte) and needed for moments only, so that builders share them.
var (
	gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
	lz4Writers  = sync.Pool{New: func() any {
		w := lz4.NewWriter(nil)
		// As Kafka's own producer does: it can't read linked blocks. The batch's CRC covers what a checksum would.
		if err := w.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.ConcurrencyOption(1)); err != nil {
			panic(err) // the options are constant: no input leads here
		}
		return w
	}}
	zstdEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true))
	})
)

// compress appends p, compressed, to dst.
func compress(dst []byte, c Codec, p []byte) ([]byte, error) {
	switch c {
	case Gzip:
		w := gzipWriters.Get().(*gzip.Writer)
		defer gzipWriters.Put(w)
		return compressTo(dst, w, p)
	case Snappy:
		n := snappy.MaxEncodedLen(len(p))
		if n < 0 {
			return nil, fmt.Errorf("snappy can't hold %d bytes", len(p))
		}
		at := len(dst)
		dst = append(dst, make([]byte, n)...)
		return dst[:at+len(snappy.Encode(dst[at:], p))], nil
	case LZ4:
		w := lz4Writers.Get().(*lz4.Writer)
		defer lz4Writers.Put(w)
		return compressTo(dst, w, p)
	case Zstd:
		w, err := zstdEncoder()
		if err != nil {
			return nil, err
		}
		return w.EncodeAll(p, dst), nil
	}
	return nil, fmt.Errorf("no such codec is known: %s", c)
}

func compressTo(dst []byte, w interface {
	io.WriteCloser
	Reset(io.Writer)
}, p []byte) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	w.Reset(b)
	defer w.Reset(nil) // keeps no batch alive
	if _, err := w.Write(p); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
