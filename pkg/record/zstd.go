package record

import (
	"errors"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdBlock is the most that one compressed block of zstd decompresses to, in bytes.
const zstdBlock = 128 << 10

// zstdDecoder is shared: it serves as many callers at once as there are processors. It never allocates what it
// decompresses to.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true))
})

func (d *decompressor) unzstd(p []byte, limit int) ([]byte, error) {
	decoder, err := zstdDecoder()
	if err != nil {
		return nil, err
	}
	out := d.arena.free()
	for len(p) > 0 {
		frame, most, err := zstdFrame(p)
		if err != nil {
			return nil, err
		}
		p = p[len(frame):]
		if out, err = d.zstdFrame(decoder, out, frame, most, limit); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// zstdFrame appends to out, which is the arena's, a frame that decompresses to at most so many bytes. What the frame says
// of its own size is not trusted, and often missing: room is tried for, first as much as is there or is likely.
func (d *decompressor) zstdFrame(decoder *zstd.Decoder, out, frame []byte, most, limit int) ([]byte, error) {
	for room := max(8*len(frame), cap(out)-len(out)); most > 0; room *= 4 {
		room = min(room, most, limit-len(out))
		out = d.arena.grow(out, room)
		got, err := decoder.DecodeAll(frame, out[len(out):len(out):len(out)+room])
		switch {
		case err == nil:
			return out[:len(out)+len(got)], nil
		case room == most, room-len(got) >= zstdBlock && !errors.Is(err, zstd.ErrDecoderSizeExceeded):
			return nil, err // not for want of room: the next block had enough
		case room == limit-len(out):
			return nil, errLimit(limit)
		}
	}
	return out, nil
}

// zstdFrame cuts the first frame off p, and says to how many bytes it decompresses at most: 0 for one to be skipped.
func zstdFrame(p []byte) (frame []byte, most int, err error) {
	var h zstd.Header
	if err := h.Decode(p); err != nil {
		return nil, 0, err
	}
	n := h.HeaderSize
	if h.Skippable {
		n += int(h.SkippableSize)
	} else {
		for last := false; !last; {
			if n+3 > len(p) {
				return nil, 0, errCut
			}
			head := int(p[n]) | int(p[n+1])<<8 | int(p[n+2])<<16
			last = head&1 != 0
			size := head >> 3
			switch head >> 1 & 3 {
			case 0: // as it is
				most += size
				n += 3 + size
			case 1: // one byte, repeated
				most += size
				n += 3 + 1
			default:
				most += zstdBlock
				n += 3 + size
			}
		}
		if h.HasCheckSum {
			n += 4
		}
		if h.HasFCS && h.FrameContentSize < uint64(most) {
			most = int(h.FrameContentSize)
		}
	}
	if n > len(p) {
		return nil, 0, errCut
	}
	return p[:n], most, nil
}
