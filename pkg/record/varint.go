package record

import "math/bits"

// varint reads the zigzag varint at p[i:] and returns the index behind it, or a negative one if p holds none there. It
// may be given the negative index of an earlier failure, which it passes on, so that a sequence needs one check alone.
func varint(p []byte, i int) (int64, int) {
	if i < 0 {
		return 0, -1
	}
	var u uint64
	for shift := uint(0); shift < 70 && i < len(p); shift += 7 {
		b := p[i]
		i++
		if b < 0x80 {
			if shift == 63 && b > 1 {
				break // more than 64 bits
			}
			return unzigzag(u | uint64(b)<<shift), i
		}
		u |= uint64(b&0x7f) << shift
	}
	return 0, -1
}

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// shortest has the bits of a varint of one byte or two.
const shortest = 1<<14 - 1

// short reads the unsigned varint at p[i:], where two bytes must be, if it has no more than these two; a longer one gives
// a number with bits beyond shortest.
func short(p []byte, i int) (u uint, next int) {
	if u = uint(p[i]); u < 0x80 {
		return u, i + 1
	}
	return u&0x7f | uint(p[i+1])<<7, i + 2
}

// sized reads a length and as many bytes at p[i:]; a negative length means nil. The index is as varint's.
func sized(p []byte, i int) ([]byte, int) {
	n, i := varint(p, i)
	if i < 0 || n > int64(len(p)-i) {
		return nil, -1
	}
	if n < 0 {
		return nil, i
	}
	j := i + int(n)
	return p[i:j:j], j
}

// appendVarint appends v as a zigzag varint.
func appendVarint(dst []byte, v int64) []byte {
	u := uint64(v)<<1 ^ uint64(v>>63)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

// varintLen is the length of v as a zigzag varint, in bytes.
func varintLen(v int64) int {
	u := uint64(v)<<1 ^ uint64(v>>63)
	return (bits.Len64(u|1) + 6) / 7
}

// appendSized appends p behind its length, nil as the length -1.
func appendSized(dst, p []byte) []byte {
	if p == nil {
		return append(dst, 1)
	}
	return append(appendVarint(dst, int64(len(p))), p...)
}

// sizedLen is what appendSized appends, in bytes.
func sizedLen(p []byte) int {
	if p == nil {
		return 1
	}
	return varintLen(int64(len(p))) + len(p)
}
