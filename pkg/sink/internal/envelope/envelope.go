// Package envelope gives windows and dead letters their form as JSON.
//
// A window is one object, {"id","stream","pipeline","shard","seq","key","emitter","reason","start","end","count","data"},
// its data the records' values byte for byte as they came, or the object that AGGREGATE made of them. Times are Unix
// milliseconds. Of a window that may be emitted more than once "revision" and "final" follow behind its end. A window over the sink's limit is
// cut into parts: objects of the same form, each with an id and a count of its own, that also say "part" and "parts".
//
// Nothing is copied or reflected on before the final append, and an Encoder's memory is reused: what a window costs
// beyond the check that its values are JSON is close to a copy of its bytes.
package envelope

import (
	"slices"
	"strconv"

	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/window"
)

// Encoder writes windows and dead letters. The zero value is ready. Not safe for concurrent use.
type Encoder struct {
	json  field.Checker
	w     *window.Window
	begin string // of the data
	end   string
	array bool   // the data alone
	head  []byte // what the parts have in common: "stream" to "end"
	opens []byte // what comes before the parts' data
	forms []Form
	sizes []int
	spans []Span
	parts []Part
	left  []int
	spare []byte // of letters
}

// Part is one piece of a window: all of it, unless the window is larger than the limit.
type Part struct {
	ID   string
	Span Span
	Size int // in bytes, as Append appends it

	from, to int // what comes before its data, in Encoder.opens
}

// Plan cuts w into parts of at most limit bytes each, to be written by Append, in the given form: the whole envelope, or
// its data alone. id is w.ID(0), whose length callers may need for their limit. left are the indexes of records that no
// part has room for; no parts and none left means that even an empty window has no room. All it returns is valid until
// the next Plan.
func (e *Encoder) Plan(w *window.Window, id string, form sink.Output, limit int) (parts []Part, left []int) {
	e.w, e.array = w, form == sink.OutputData
	if e.begin, e.end = "[", "]"; w.Aggregate {
		e.begin, e.end = "", "" // the object that the one record is
	}
	n, total := len(w.Records), 0
	e.head = e.head[:0]
	e.forms, e.sizes = slices.Grow(e.forms[:0], n)[:n], slices.Grow(e.sizes[:0], n)[:n]
	for i := range w.Records {
		v := w.Records[i].Value
		form, size := JSON, len(v)
		if v == nil || !e.json.Valid(v) {
			form = formOfOther(v)
			size = sizeAs(v, form)
		}
		e.forms[i], e.sizes[i] = form, size+1
		total += size + 1
	}
	base := len("[]")
	if !e.array {
		e.appendHead()
		base = len(e.head) + sizeOfString(id) + envelopeRoom
	}
	if e.spans, e.left = e.spans[:0], e.left[:0]; base+total <= limit {
		e.spans = append(e.spans, Span{To: n, Count: n, Size: total})
	} else {
		e.spans, e.left = Cut(e.spans, e.left, e.sizes, base, limit)
	}
	e.parts, e.opens = e.parts[:0], e.opens[:0]
	for i, s := range e.spans {
		if i > 0 {
			id = w.ID(i)
		}
		p := Part{ID: id, Span: s, from: len(e.opens)}
		e.open(&p, i)
		p.to = len(e.opens)
		p.Size = p.to - p.from + s.Size + e.closing()
		if s.Count > 0 {
			p.Size-- // the last value has no comma
		}
		e.parts = append(e.parts, p)
	}
	return e.parts, e.left
}

// envelopeRoom bounds what an envelope has besides head, id and data: names, counters, and what a part's id may be
// longer than the first one's.
const envelopeRoom = 160

// appendHead writes "stream" to "end", each with its comma.
func (e *Encoder) appendHead() {
	w := e.w
	d := append(e.head, `,"stream":`...)
	d = AppendString(d, w.Stream)
	d = append(d, `,"pipeline":`...)
	d = AppendString(d, w.Pipeline)
	d = append(d, `,"shard":`...)
	d = AppendString(d, w.Shard)
	d = append(d, `,"seq":`...)
	d = strconv.AppendInt(d, w.Seq, 10)
	d = append(d, `,"key":`...)
	d = appendKey(d, w)
	d = append(d, `,"emitter":`...)
	d = AppendString(d, w.Emitter)
	d = append(d, `,"reason":`...)
	d = AppendString(d, string(w.Reason))
	d = append(d, `,"start":`...)
	d = strconv.AppendInt(d, w.Start, 10)
	d = append(d, `,"end":`...)
	d = strconv.AppendInt(d, w.End, 10)
	if w.Updates {
		d = strconv.AppendInt(append(d, `,"revision":`...), w.Revision, 10)
		d = strconv.AppendBool(append(d, `,"final":`...), w.Final)
	}
	e.head = d
}

func appendKey(dst []byte, w *window.Window) []byte {
	switch {
	case !w.Keyed:
		return append(dst, "null"...)
	case w.Key == nil:
		return append(dst, `""`...)
	}
	return AppendText(dst, w.Key)
}

// open writes what comes before the data of the part of this number.
func (e *Encoder) open(p *Part, seq int) {
	d := e.opens
	if e.array {
		e.opens = append(d, e.begin...)
		return
	}
	d = append(d, `{"id":`...)
	d = AppendString(d, p.ID)
	d = append(d, e.head...)
	if len(e.spans) > 1 {
		d = append(d, `,"part":`...)
		d = strconv.AppendInt(d, int64(seq), 10)
		d = append(d, `,"parts":`...)
		d = strconv.AppendInt(d, int64(len(e.spans)), 10)
	}
	d = append(d, `,"count":`...)
	count := p.Span.Count
	if e.w.Aggregate {
		count = e.w.Folded
	}
	d = strconv.AppendInt(d, int64(count), 10)
	d = append(d, `,"data":`...)
	e.opens = append(d, e.begin...)
}

// closing is the size of what comes after the data.
func (e *Encoder) closing() int {
	if e.array {
		return len(e.end)
	}
	return len(e.end) + len("}")
}

// Append appends a part of the window last planned.
func (e *Encoder) Append(dst []byte, p *Part) []byte {
	dst = append(dst, e.opens[p.from:p.to]...)
	for i := p.Span.From; i < p.Span.To; i++ {
		if e.sizes[i] < 0 {
			continue
		}
		if v := e.w.Records[i].Value; e.forms[i] == JSON {
			dst = append(dst, v...)
		} else {
			dst = AppendAs(dst, v, e.forms[i])
		}
		dst = append(dst, ',')
	}
	if p.Span.Count > 0 {
		dst = dst[:len(dst)-1] // the last comma
	}
	dst = append(dst, e.end...)
	if !e.array {
		dst = append(dst, '}')
	}
	return dst
}
