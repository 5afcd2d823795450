package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// version is the first byte of every value. A reader refuses those it does not know.
const version = 2

var errFormat = errors.New("a record of the journal can't be read")

// A decisions record holds several decisions, numbers as differences from the decision before, lanes by their index in a
// table at its head.
//
//	version, checkpoint number, index, delivered, lanes, decisions
//	decision: K, Now, positions (lane, position), receipts (lane, offset, ms), lanes (lane, flags), outputs,
//	settings; outputs doubled, plus one for a flush
type decisionsHead struct {
	checkpoint uint64 // the number of the checkpoint that they follow; 0: none
	index      uint64 // of the record, from 0 behind its checkpoint
	delivered  int64
}

// laneTable gives lanes their index, and keeps what the next difference is taken from.
type laneTable struct {
	names  []string
	index  map[string]int
	places []lanePlace
}

type lanePlace struct{ position, offset, ms int64 }

func (t *laneTable) add(lane string) {
	if _, ok := t.index[lane]; ok {
		return
	}
	if t.index == nil {
		t.index = map[string]int{}
	}
	t.index[lane] = len(t.names)
	t.names = append(t.names, lane)
}

func (t *laneTable) reset() {
	clear(t.index)
	t.names, t.places = t.names[:0], t.places[:0]
}

// decisionEncoder encodes decisions records; its memory is used again.
type decisionEncoder struct {
	lanes laneTable
	order []int // of one decision's positions: by lane index, so that equal decisions are equal bytes
}

func (e *decisionEncoder) encode(dst []byte, h decisionsHead, ds []Decision) []byte {
	e.lanes.reset()
	for i := range ds {
		before := len(e.lanes.names)
		for lane := range ds[i].Positions {
			e.lanes.add(lane)
		}
		for _, r := range ds[i].Receipts {
			e.lanes.add(r.Lane)
		}
		for _, l := range ds[i].Lanes {
			e.lanes.add(l.Lane)
		}
		if added := e.lanes.names[before:]; len(added) > 1 { // not in the map's order
			slices.Sort(added)
			for k, lane := range added {
				e.lanes.index[lane] = before + k
			}
		}
	}
	e.lanes.places = append(e.lanes.places[:0], make([]lanePlace, len(e.lanes.names))...)

	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, h.checkpoint)
	dst = binary.AppendUvarint(dst, h.index)
	dst = binary.AppendVarint(dst, h.delivered)
	dst = binary.AppendUvarint(dst, uint64(len(e.lanes.names)))
	for _, lane := range e.lanes.names {
		dst = appendBytes(dst, lane)
	}
	dst = binary.AppendUvarint(dst, uint64(len(ds)))
	var last Decision
	for i := range ds {
		d := &ds[i]
		dst = binary.AppendVarint(dst, d.K-last.K)
		dst = binary.AppendVarint(dst, d.Now-last.Now)
		last.K, last.Now = d.K, d.Now
		e.order = e.order[:0]
		for lane := range d.Positions {
			e.order = append(e.order, e.lanes.index[lane])
		}
		slices.Sort(e.order)
		dst = binary.AppendUvarint(dst, uint64(len(e.order)))
		for _, n := range e.order {
			at, p := d.Positions[e.lanes.names[n]], &e.lanes.places[n]
			dst = binary.AppendUvarint(dst, uint64(n))
			dst = binary.AppendVarint(dst, at-p.position)
			p.position = at
		}
		dst = binary.AppendUvarint(dst, uint64(len(d.Receipts)))
		for _, r := range d.Receipts {
			n := e.lanes.index[r.Lane]
			p := &e.lanes.places[n]
			dst = binary.AppendUvarint(dst, uint64(n))
			dst = binary.AppendVarint(dst, r.Offset-p.offset)
			dst = binary.AppendVarint(dst, r.Ms-p.ms)
			p.offset, p.ms = r.Offset, r.Ms
		}
		dst = binary.AppendUvarint(dst, uint64(len(d.Lanes)))
		for _, l := range d.Lanes {
			dst = binary.AppendUvarint(dst, uint64(e.lanes.index[l.Lane]))
			dst = append(dst, l.flags())
		}
		outputs := uint64(d.Outputs) << 1
		if d.Flush {
			outputs |= 1
		}
		dst = binary.AppendUvarint(dst, outputs)
		dst = appendBytes(dst, string(d.Settings))
	}
	return dst
}

// decodeDecisions reads a decisions record. What it returns aliases nothing.
func decodeDecisions(p []byte) (h decisionsHead, ds []Decision, err error) {
	d := decoder{p: p}
	d.version()
	h = decisionsHead{checkpoint: d.uvarint(), index: d.uvarint(), delivered: d.varint()}
	lanes := make([]string, 0, d.count(1))
	for range cap(lanes) {
		lanes = append(lanes, string(d.bytes()))
	}
	places := make([]lanePlace, len(lanes))
	lane := func() int {
		n := d.uvarint()
		if n >= uint64(len(lanes)) {
			d.fail("a lane that is not in its table")
			return -1
		}
		return int(n)
	}
	n := d.count(7)
	ds = make([]Decision, 0, min(n, 1<<12))
	var last Decision
	for range n {
		var x Decision
		x.K, x.Now = last.K+d.varint(), last.Now+d.varint()
		last.K, last.Now = x.K, x.Now
		if n := d.count(2); n > 0 {
			x.Positions = make(map[string]int64, n)
			for range n {
				i, diff := lane(), d.varint()
				if d.err != nil {
					break
				}
				places[i].position += diff
				if _, twice := x.Positions[lanes[i]]; twice {
					d.fail("a lane twice")
				}
				x.Positions[lanes[i]] = places[i].position
			}
		}
		if n := d.count(3); n > 0 {
			x.Receipts = make([]Receipt, 0, n)
			for range n {
				i, offset, ms := lane(), d.varint(), d.varint()
				if d.err != nil {
					break
				}
				places[i].offset += offset
				places[i].ms += ms
				x.Receipts = append(x.Receipts, Receipt{Lane: lanes[i], Offset: places[i].offset, Ms: places[i].ms})
			}
		}
		if n := d.count(2); n > 0 {
			x.Lanes = make([]Lane, 0, n)
			for range n {
				i, flags := lane(), d.uvarint()
				if flags >= laneFlags {
					d.fail("flags of a lane that can't be")
				}
				if d.err != nil {
					break
				}
				x.Lanes = append(x.Lanes, Lane{Lane: lanes[i], AtEnd: flags&laneAtEnd != 0, Got: flags&laneGot != 0})
			}
		}
		outputs := d.uvarint()
		if outputs>>1 > math.MaxInt32 {
			d.fail("a number of outputs that can't be")
		}
		x.Outputs, x.Flush = int(outputs>>1), outputs&1 != 0
		x.Settings = clone(d.bytes())
		if d.err != nil {
			break
		}
		ds = append(ds, x)
	}
	return h, ds, d.end()
}

// Flags of a lane in a decision.
const (
	laneAtEnd = 1 << iota
	laneGot
	laneFlags // beyond them
)

func (l *Lane) flags() (f byte) {
	if l.AtEnd {
		f |= laneAtEnd
	}
	if l.Got {
		f |= laneGot
	}
	return f
}

// size is about how many bytes d takes in a decisions record, and nearly always at most that.
func (d *Decision) size() int {
	return 7 + 6*len(d.Positions) + 7*len(d.Receipts) + 2*len(d.Lanes) + len(d.Settings)
}

// Pending is the size in bytes, about, that decisions would have in the journal: they are to be journaled alone before
// they outgrow 64 KiB.
func Pending(decisions []Decision) int {
	n := 0
	for i := range decisions {
		n += decisions[i].size()
	}
	return n
}

// A chunk is a piece of a checkpoint.
//
//	version, checkpoint number, index, count, piece of the compressed checkpoint
type chunk struct {
	checkpoint   uint64 // number of the checkpoint, from 1
	index, count uint64
	piece        []byte
}

// maxChunks bounds the chunks of a checkpoint: 32 GiB.
const maxChunks = 1 << 16

func (c *chunk) append(dst []byte) []byte {
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, c.checkpoint)
	dst = binary.AppendUvarint(dst, c.index)
	dst = binary.AppendUvarint(dst, c.count)
	return append(dst, c.piece...)
}

// decodeChunk reads a chunk; its piece aliases p.
func decodeChunk(p []byte) (c chunk, err error) {
	d := decoder{p: p}
	d.version()
	c = chunk{checkpoint: d.uvarint(), index: d.uvarint(), count: d.uvarint()}
	if c.checkpoint == 0 || c.index >= c.count || c.count > maxChunks {
		d.fail("a chunk %d of %d of checkpoint %d", c.index, c.count, c.checkpoint)
	}
	c.piece, d.p = d.p, nil
	return c, d.end()
}

// The checkpoint itself, compressed with zstd, whose checksum guards it.
//
//	version, K, Now, Delivered, positions (lane, position), Settings, State; receipts (lane, ms), if there are any
func encodeCheckpoint(c *Checkpoint) ([]byte, error) {
	p := make([]byte, 0, 256+len(c.Settings)+len(c.State)+32*len(c.Positions))
	p = append(p, version)
	p = binary.AppendVarint(p, c.K)
	p = binary.AppendVarint(p, c.Now)
	p = binary.AppendVarint(p, c.Delivered)
	p = appendPlaces(p, c.Positions)
	p = appendBytes(p, string(c.Settings))
	p = binary.AppendUvarint(p, uint64(len(c.State)))
	p = append(p, c.State...)
	if len(c.Receipts) > 0 {
		p = appendPlaces(p, c.Receipts)
	}
	w, err := compressor()
	if err != nil {
		return nil, err
	}
	return w.EncodeAll(p, make([]byte, 0, len(p)/3+64)), nil
}

func decodeCheckpoint(z []byte) (*Checkpoint, error) {
	r, err := decompressor()
	if err != nil {
		return nil, err
	}
	p, err := r.DecodeAll(z, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: a checkpoint: %w", errFormat, err)
	}
	d := decoder{p: p}
	d.version()
	c := &Checkpoint{K: d.varint(), Now: d.varint(), Delivered: d.varint()}
	c.Positions = d.places()
	c.Settings = clone(d.bytes())
	c.State = d.bytes() // p is ours alone
	if len(d.p) > 0 {
		c.Receipts = d.places()
	}
	return c, d.end()
}

// appendPlaces appends a number for each lane, in the lanes' order.
func appendPlaces(dst []byte, m map[string]int64) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(m)))
	for _, lane := range slices.Sorted(maps.Keys(m)) {
		dst = appendBytes(dst, lane)
		dst = binary.AppendVarint(dst, m[lane])
	}
	return dst
}

// places reads what appendPlaces wrote.
func (d *decoder) places() map[string]int64 {
	n := d.count(2)
	m := make(map[string]int64, n)
	for range n {
		lane := string(d.bytes())
		if _, twice := m[lane]; twice {
			d.fail("a lane twice")
		}
		m[lane] = d.varint()
	}
	return m
}

// Checkpoints are rare: one coder of little memory each serves all shards.
var (
	compressor = sync.OnceValues(func() (*zstd.Encoder, error) {
		return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
	})
	decompressor = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(maxCheckpoint))
	})
)

// maxCheckpoint bounds a decompressed checkpoint, in bytes.
const maxCheckpoint = 4 << 30

func appendBytes(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func clone(p []byte) []byte {
	if len(p) == 0 {
		return nil
	}
	return append([]byte(nil), p...)
}

// decoder reads a value; the first fault is kept, and everything after it is zero.
type decoder struct {
	p   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{errFormat}, args...)...)
	}
	d.p = nil
}

func (d *decoder) version() {
	if len(d.p) == 0 {
		d.fail("it is empty")
		return
	}
	if v := d.p[0]; v != version {
		d.fail("its format is version %d, this program knows %d: run the version of Windrow that wrote it, or a newer one", v, version)
		return
	}
	d.p = d.p[1:]
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.p)
	if n <= 0 {
		d.fail("it is cut short")
		return 0
	}
	d.p = d.p[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.p)
	if n <= 0 {
		d.fail("it is cut short")
		return 0
	}
	d.p = d.p[n:]
	return v
}

// count reads how many elements of at least least bytes follow.
func (d *decoder) count(least int) int {
	n := d.uvarint()
	if n > uint64(len(d.p)/least) {
		d.fail("it is cut short")
		n = 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte {
	n := d.count(1)
	p := d.p[:n:n]
	d.p = d.p[n:]
	return p
}

func (d *decoder) end() error {
	if d.err == nil && len(d.p) > 0 {
		d.fail("%d bytes too many", len(d.p))
	}
	return d.err
}
