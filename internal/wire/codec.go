package wire

import (
	"encoding/binary"
	"io"
)

// encoder writes Kafka's primitive types. Record sets are not copied into it: they become pieces of their own.
type encoder struct {
	pool   *[]byte
	b      []byte
	pieces []piece
	extra  int // bytes of the pieces
}

// piece is a large value and where in b it belongs.
type piece struct {
	at int
	p  []byte
}

func (w *encoder) i8(v int8)   { w.b = append(w.b, byte(v)) }
func (w *encoder) i16(v int16) { w.b = binary.BigEndian.AppendUint16(w.b, uint16(v)) }
func (w *encoder) i32(v int32) { w.b = binary.BigEndian.AppendUint32(w.b, uint32(v)) }
func (w *encoder) i64(v int64) { w.b = binary.BigEndian.AppendUint64(w.b, uint64(v)) }

func (w *encoder) bool(v bool) {
	if v {
		w.i8(1)
	} else {
		w.i8(0)
	}
}

func (w *encoder) str(s string) {
	w.i16(int16(len(s)))
	w.b = append(w.b, s...)
}

// null is a nullable string that isn't there; strOrNull writes it for an empty string.
func (w *encoder) strOrNull(s string) {
	if s == "" {
		w.i16(-1)
		return
	}
	w.str(s)
}

// bytes writes a value of type BYTES.
func (w *encoder) bytes(p []byte) {
	w.i32(int32(len(p)))
	if len(p) < coalesce {
		w.b = append(w.b, p...)
		return
	}
	w.pieces = append(w.pieces, piece{len(w.b), p})
	w.extra += len(p)
}

// The flexible versions' types.
func (w *encoder) uvarint(v uint64) { w.b = binary.AppendUvarint(w.b, v) }
func (w *encoder) tags()            { w.uvarint(0) }
func (w *encoder) cstr(s string) {
	w.uvarint(uint64(len(s)) + 1)
	w.b = append(w.b, s...)
}

// send fills in the size and writes everything.
func (w *encoder) send(to io.Writer) error {
	binary.BigEndian.PutUint32(w.b, uint32(len(w.b)-4+w.extra))
	at := 0
	for _, x := range w.pieces {
		if _, err := to.Write(w.b[at:x.at]); err != nil {
			return err
		}
		if _, err := to.Write(x.p); err != nil {
			return err
		}
		at = x.at
	}
	if at == len(w.b) {
		return nil
	}
	_, err := to.Write(w.b[at:])
	return err
}

func (w *encoder) free() {
	*w.pool = w.b[:0]
	scratch.Put(w.pool)
	w.b, w.pool, w.pieces = nil, nil, nil
}

// decoder reads them. After a fault it gives zeros and bad is set: to be looked at before the result is used.
type decoder struct {
	p     []byte
	whole []byte
	bad   bool
}

var zeros [16]byte

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.p) {
		d.bad, d.p = true, nil
		if n < 0 || n > len(zeros) {
			n = 0
		}
		return zeros[:n]
	}
	x := d.p[:n:n]
	d.p = d.p[n:]
	return x
}

func (d *decoder) i8() int8   { return int8(d.take(1)[0]) }
func (d *decoder) bool() bool { return d.i8() != 0 }
func (d *decoder) i16() int16 { return int16(binary.BigEndian.Uint16(d.take(2))) }
func (d *decoder) i32() int32 { return int32(binary.BigEndian.Uint32(d.take(4))) }
func (d *decoder) i64() int64 { return int64(binary.BigEndian.Uint64(d.take(8))) }

// str reads a string, empty if it is null.
func (d *decoder) str() string {
	n := d.i16()
	if n < 0 {
		return ""
	}
	return string(d.take(int(n)))
}

// bytes reads a value of type BYTES, nil if it is null.
func (d *decoder) bytes() []byte {
	n := d.i32()
	if n < 0 {
		return nil
	}
	return d.take(int(n))
}

// count reads an array's length. least is what an element takes at least, in bytes: a length that can't be is a fault,
// before memory is taken for it.
func (d *decoder) count(least int) int { return d.plausible(int(d.i32()), least) }

func (d *decoder) plausible(n, least int) int {
	if n < 0 {
		return 0 // null
	}
	if n > len(d.p)/least {
		d.bad, d.p = true, nil
		return 0
	}
	return n
}

// The flexible versions' types.
func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.p)
	if n <= 0 {
		d.bad, d.p = true, nil
		return 0
	}
	d.p = d.p[n:]
	return v
}

func (d *decoder) ccount(least int) int {
	return d.plausible(int(min(d.uvarint(), 1<<31))-1, least)
}

func (d *decoder) cstr() string {
	n := d.ccount(1)
	return string(d.take(n))
}

func (d *decoder) tags() {
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		d.uvarint()
		d.take(int(min(d.uvarint(), 1<<31)))
	}
}

// err is errProtocol if what was read so far made no sense.
func (d *decoder) err() error {
	if d.bad {
		return errProtocol
	}
	return nil
}
