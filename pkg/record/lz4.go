package record

import (
	"encoding/binary"
	"errors"

	"github.com/pierrec/lz4/v4"
)

const (
	lz4Magic = 0x184D2204

	lz4Version         = 1 << 6 // of the flags' two top bits
	lz4Independent     = 1 << 5
	lz4BlockChecksum   = 1 << 4
	lz4ContentSize     = 1 << 3
	lz4Dictionary      = 1 << 0
	lz4Stored          = 1 << 31 // of a block's length: it is not compressed
	lz4Window          = 64 << 10
	lz4MostFromOneByte = 255
)

var errLZ4 = errors.New("malformed lz4 frame")

// unlz4 decompresses an lz4 frame block by block straight into the arena; the library's reader would copy everything once
// more, and allocate. Checksums in the frame are passed over: the batch's own CRC covers all of it.
func (d *decompressor) unlz4(p []byte, limit int) ([]byte, error) {
	if len(p) < 7 {
		return nil, errCut
	}
	flags, blockSize := p[4], p[5]>>4
	if binary.LittleEndian.Uint32(p) != lz4Magic || flags>>6 != lz4Version>>6 || flags&lz4Dictionary != 0 || blockSize < 4 || blockSize > 7 {
		return nil, errLZ4
	}
	most := 1 << (8 + 2*blockSize)
	i := 7
	if flags&lz4ContentSize != 0 {
		i += 8
	}
	out := d.arena.free()
	for {
		if len(p)-i < 4 {
			return nil, errCut
		}
		head := binary.LittleEndian.Uint32(p[i:])
		i += 4
		if head == 0 {
			return out, nil
		}
		n := int(head &^ lz4Stored)
		if n > len(p)-i {
			return nil, errCut
		}
		block := p[i : i+n]
		i += n
		if flags&lz4BlockChecksum != 0 {
			i += 4
		}
		if n > most {
			return nil, errLZ4
		}
		if head&lz4Stored != 0 {
			if n > limit-len(out) {
				return nil, errLimit(limit)
			}
			out = append(d.arena.grow(out, n), block...)
			continue
		}
		var err error
		if out, err = d.lz4Block(out, block, most, limit, flags&lz4Independent == 0); err != nil {
			return nil, err
		}
	}
}

// lz4Block appends to out, which is the arena's, a block of at most so many bytes, linked to what is in out already or
// not. A block doesn't tell its size: room is tried for, first as much as is likely, or there is. A try that fails costs
// about as much as one that succeeds.
func (d *decompressor) lz4Block(out, block []byte, most, limit int, linked bool) ([]byte, error) {
	most = min(most, lz4MostFromOneByte*len(block))
	room := max(8, d.lz4Ratio+d.lz4Ratio/8+1) * len(block)
	for {
		out = d.arena.grow(out, min(room, most, limit-len(out)))
		room = min(cap(out)-len(out), most, limit-len(out))
		var dictionary []byte
		if linked {
			dictionary = out[max(0, len(out)-lz4Window):]
		}
		n, err := lz4.UncompressBlockWithDict(block, out[len(out):len(out)+room], dictionary)
		switch {
		case err == nil:
			d.lz4Ratio = n / len(block)
			return out[:len(out)+n], nil
		case room == most:
			return nil, err
		case room == limit-len(out):
			return nil, errLimit(limit)
		}
		room *= 4
	}
}
