package mongo

import (
	"math"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/internal/envelope"
	"github.com/windrow-io/windrow/pkg/window"
)

// MaxDocumentBytes bounds what a document holds: MongoDB's 16 MiB, less what a dead letter may put around a document.
const MaxDocumentBytes = 16<<20 - 64<<10

// around bounds what a document has beside ids, names, key and data, in bytes.
const around = 512

// documents makes the documents of windows, records and dead letters, without _id.
type documents struct {
	limit  int // of a document, in bytes
	conv   converter
	bytes  []byte // the values of the window at hand, in BSON
	values []value
	sizes  []int
	spans  []envelope.Span
	left   []int
}

// value is a record's value in documents.bytes.
type value struct {
	t        bson.Type
	from, to int
}

// plan converts the records of w and cuts it into parts that with base bytes around their data stay within the limit. What
// it returns is valid until the next plan.
func (d *documents) plan(w *window.Window, base int) (spans []envelope.Span, left []int) {
	d.bytes, d.values, d.sizes = d.bytes[:0], d.values[:0], d.sizes[:0]
	for i := range w.Records {
		v := value{from: len(d.bytes)}
		d.bytes, v.t = d.conv.appendValue(d.bytes, w.Records[i].Value)
		v.to = len(d.bytes)
		d.values = append(d.values, v)
		d.sizes = append(d.sizes, v.to-v.from+len("\x00\x00")+digits(i))
	}
	d.spans, d.left = envelope.Cut(d.spans[:0], d.left[:0], d.sizes, base, d.limit)
	return d.spans, d.left
}

func digits(i int) int {
	n := 1
	for ; i >= 10; i /= 10 {
		n++
	}
	return n
}

// base is what a window's document holds beside its data, in bytes, at most.
func base(w *window.Window, id string) int {
	return around + len(w.Stream) + len(w.Pipeline) + 2*len(w.Shard) + len(w.Emitter) + len(w.Reason) + len(w.Key) + len(id)
}

// fields appends the fields of a part of the window last planned: all but its id.
func (d *documents) fields(dst []byte, w *window.Window, form sink.Output, part int) []byte {
	s := d.spans[part]
	if form == sink.OutputData {
		return d.data(dst, w, s)
	}
	dst = stringField(dst, "stream", w.Stream)
	dst = stringField(dst, "pipeline", w.Pipeline)
	dst = stringField(dst, "shard", w.Shard)
	dst = intField(dst, "seq", w.Seq)
	switch {
	case !w.Keyed:
		dst = textField(dst, "key", nil)
	case w.Key == nil:
		dst = stringField(dst, "key", "")
	default:
		dst = textField(dst, "key", w.Key)
	}
	dst = stringField(dst, "emitter", w.Emitter)
	dst = stringField(dst, "reason", string(w.Reason))
	dst = dateField(dst, "start", w.Start)
	dst = dateField(dst, "end", w.End)
	if w.Updates {
		dst = intField(dst, "revision", w.Revision)
		dst = boolField(dst, "final", w.Final)
	}
	if len(d.spans) > 1 {
		dst = intField(dst, "part", int64(part))
		dst = intField(dst, "parts", int64(len(d.spans)))
	}
	if w.Aggregate {
		s.Count = w.Folded
	}
	dst = intField(dst, "count", int64(s.Count))
	return d.data(dst, w, d.spans[part])
}

// data appends the field of that name: the values of a part, or the one that is the aggregate of the window.
func (d *documents) data(dst []byte, w *window.Window, s envelope.Span) []byte {
	if w.Aggregate {
		v := d.values[0]
		return append(open(dst, v.t, "data"), d.bytes[v.from:v.to]...)
	}
	dst, at := begin(open(dst, bson.TypeArray, "data"))
	n := 0
	for i := s.From; i < s.To; i++ {
		if d.sizes[i] < 0 {
			continue
		}
		dst = index(dst, d.values[i].t, n)
		dst = append(dst, d.bytes[d.values[i].from:d.values[i].to]...)
		n++
	}
	return end(dst, at)
}

// shrink gives the memory of an unusually large window back.
func (d *documents) shrink() {
	if cap(d.bytes) > keepBytes {
		d.bytes = nil
	}
}

// record appends the document of one record of a window.
func (d *documents) record(dst []byte, windowID string, r *record.Record) []byte {
	dst, at := begin(dst)
	dst = stringField(dst, "window", windowID)
	dst = d.content(origin(dst, r), r, whole)
	return end(dst, at)
}

// result appends the document of a window that a handler made something else of: the members of a JSON object, anything
// else, also an object with members that can't be fields, as "result".
func (d *documents) result(dst []byte, result []byte) []byte {
	start := len(dst)
	if envelope.FormOf(result) == envelope.JSON {
		out, t, _ := d.conv.value(dst, result, skipSpace(result, 0), 0)
		if t == bson.TypeEmbeddedDocument && updatable(out[start:]) {
			return out
		}
		dst = out[:start]
	}
	dst, at := begin(dst)
	if result == nil {
		result = []byte{}
	}
	dst = d.conv.valueField(dst, "result", result)
	return end(dst, at)
}

// updatable reports whether the members of a document can be set one by one beside an _id.
func updatable(doc bson.Raw) bool {
	es, err := doc.Elements()
	for _, e := range es {
		if k := e.Key(); k == "" || k == "_id" || k == versionField {
			return false
		}
	}
	return err == nil && len(es) > 0
}

func origin(dst []byte, r *record.Record) []byte {
	dst = stringField(dst, "topic", r.Topic)
	dst = intField(dst, "partition", int64(r.Partition))
	dst = intField(dst, "offset", r.Offset)
	return dateField(dst, "timestamp", r.Timestamp)
}

// How much of a record a dead letter holds.
const (
	whole = iota
	noValue
	noHeaders
	noKey
)

// content appends a record's key, value and headers, as far as they are not to be omitted.
func (d *documents) content(dst []byte, r *record.Record, omit int) []byte {
	if omit < noKey {
		dst = textField(dst, "key", r.Key)
	}
	if omit < noValue {
		dst = d.conv.valueField(dst, "value", r.Value)
	}
	if omit < noHeaders {
		var list, at int
		dst, list = begin(open(dst, bson.TypeArray, "headers"))
		n := 0
		for h := range r.Headers() {
			dst, at = begin(index(dst, bson.TypeEmbeddedDocument, n))
			dst = textField(dst, "key", []byte(h.Key))
			dst = textField(dst, "value", h.Value)
			dst = end(dst, at)
			n++
		}
		dst = end(dst, list)
	}
	if omit > whole {
		dst = intField(dst, "size", int64(r.Size()))
		var at int
		dst, at = begin(open(dst, bson.TypeArray, "omitted"))
		for i, name := range []string{"value", "headers", "key"}[:omit] {
			dst = stringField(dst, strconv.Itoa(i), name)
		}
		dst = end(dst, at)
	}
	return dst
}

// why appends what all dead letters say.
func why(dst []byte, l *sink.Dead) []byte {
	dst = stringField(dst, "reason", l.Reason)
	dst = stringField(dst, "error", envelope.ErrorText(l.Err))
	dst = intField(dst, "attempts", int64(l.Attempts))
	if l.First != 0 {
		dst = dateField(dst, "first", l.First)
		dst = dateField(dst, "last", l.Last)
	}
	return dst
}

// letters makes the documents of a dead letter, each handed to emit with its id, valid during the call. What does not fit
// is left out: a record's value, then its headers, then its key. A large window becomes several letters.
func (d *documents) letters(n envelope.Names, l *sink.Dead, emit func(id string, doc []byte)) {
	if l.Record != nil {
		d.recordLetter(n, l, emit)
		return
	}
	w, id := l.Window, l.Window.LetterID(0)
	room := 2*(base(w, id)+around) + len(l.Reason) + len(envelope.ErrorText(l.Err))
	spans, left := d.planTwice(w, room)
	if len(spans) == 0 && len(left) == 0 { // the key alone is too large
		bare := *w
		bare.Key, bare.Keyed = nil, false
		w = &bare
		spans, _ = d.plan(w, 0)
	}
	for i := range spans {
		doc, at := begin(nil)
		doc = why(doc, l)
		var inner int
		doc, inner = begin(open(doc, bson.TypeEmbeddedDocument, "window"))
		doc = stringField(doc, "id", w.ID(i))
		doc = end(d.fields(doc, w, sink.OutputWindow, i), inner)
		if raw := d.text(w, i); len(doc)+len(raw)+around <= d.limit {
			doc = appendBinary(open(doc, bson.TypeBinary, "raw"), raw)
		}
		emit(w.LetterID(i), end(doc, at))
	}
	for _, i := range left {
		r := *l
		r.Window, r.Record = nil, &w.Records[i]
		d.recordLetter(n, &r, emit)
	}
}

// planTwice is plan for documents that hold the window's JSON as well (see text).
func (d *documents) planTwice(w *window.Window, base int) ([]envelope.Span, []int) {
	d.plan(w, 0)
	for i := range w.Records {
		if d.sizes[i] < 0 {
			d.sizes[i] = -d.sizes[i]
		}
		d.sizes[i] += envelope.SizeOf(w.Records[i].Value)
	}
	d.spans, d.left = envelope.Cut(d.spans[:0], d.left[:0], d.sizes, base, d.limit)
	return d.spans, d.left
}

// text is the JSON of a part of the window last planned: BSON does not keep how a number or a name was written, and what
// is replayed is what was there.
func (d *documents) text(w *window.Window, part int) []byte {
	some := *w
	some.Records = nil
	s := d.spans[part]
	for i := s.From; i < s.To; i++ {
		if d.sizes[i] >= 0 {
			some.Records = append(some.Records, w.Records[i])
		}
	}
	var e envelope.Encoder
	parts, _ := e.Plan(&some, w.ID(part), sink.OutputWindow, math.MaxInt)
	return e.Append(make([]byte, 0, parts[0].Size), &parts[0])
}

func (d *documents) recordLetter(n envelope.Names, l *sink.Dead, emit func(id string, doc []byte)) {
	r, id := l.Record, n.RecordID(l.Record)
	least := whole
	if l.Reason == envelope.TooLarge {
		least = noValue
	}
	var doc []byte
	for omit := least; omit <= noKey; omit++ {
		var at, inner int
		doc, at = begin(doc[:0])
		doc = why(doc, l)
		doc = stringField(doc, "stream", n.Stream)
		doc = stringField(doc, "pipeline", n.Pipeline)
		doc = stringField(doc, "shard", n.Shard)
		doc, inner = begin(open(doc, bson.TypeEmbeddedDocument, "origin"))
		doc = end(origin(doc, r), inner)
		doc = d.content(doc, r, omit)
		if omit < noValue {
			doc = stringField(doc, "form", envelope.FormOf(r.Value).String())
			if r.Value != nil && len(doc)+len(r.Value)+around+len(id) <= d.limit {
				doc = appendBinary(open(doc, bson.TypeBinary, "raw"), r.Value)
			}
		}
		doc = end(doc, at)
		if len(doc)+len(id) <= d.limit {
			break
		}
	}
	emit(id, doc)
}

// refused appends the dead letter of a document that the server will never take.
func refused(dst []byte, doc []byte, reason string, err error, now int64) []byte {
	dst, at := begin(dst)
	dst = why(dst, &sink.Dead{Reason: reason, Err: err, First: now, Last: now})
	dst = open(dst, bson.TypeEmbeddedDocument, "document")
	dst = append(dst, doc...)
	return end(dst, at)
}
