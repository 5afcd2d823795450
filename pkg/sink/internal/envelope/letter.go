package envelope

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/window"
)

// TooLarge is the reason of dead letters for what is over the sink's limit.
const TooLarge = "too-large"

// Names says whose dead letters they are.
type Names struct{ Stream, Pipeline, Shard string }

// RecordID is the identity of a record's dead letter: the same however often the record is met. The timestamp tells the
// record from one at the same offset of a topic that was deleted and made again.
func (n Names) RecordID(r *record.Record) string {
	return fmt.Sprintf("%s/%s/%s/%s/%d/%d@%d", n.Stream, n.Pipeline, n.Shard, r.Topic, r.Partition, r.Offset, r.Timestamp)
}

// OversizeRecord is the dead letter of a record that is over a limit in bytes.
func OversizeRecord(r *record.Record, limit int) *sink.Dead {
	return &sink.Dead{Record: r, Reason: TooLarge, Err: fmt.Errorf(
		"the record has %d bytes of key, value and headers, the sink takes at most %d with what belongs around them", r.Size(), limit)}
}

// OversizeWindow is the dead letter of a window without records, or whose key or result is over a limit in bytes.
func OversizeWindow(w *window.Window, limit int) *sink.Dead {
	return &sink.Dead{Window: w, Reason: TooLarge, Err: fmt.Errorf(
		"the window has a key of %d bytes and a result of %d, the sink takes at most %d with what belongs around them",
		len(w.Key), len(w.Result), limit)}
}

// BadName is the dead letter of a window for which a template made a name that nothing can have.
func BadName(w *window.Window, err error) *sink.Dead {
	return &sink.Dead{Window: w, Reason: "bad-name", Err: err}
}

// Letter is a dead letter as JSON.
type Letter struct {
	ID    string
	Key   []byte // of the record, or of the window; nil if there is none, or if it was left out
	Value []byte // valid during the call
}

// Letters writes d as JSON, the value, id and key of each letter within limit bytes together: what does not fit is left
// out, first a record's value, then its headers, then its key, and named under "omitted". A large window becomes several
// letters, and those of its records that do not fit letters of their own.
func (e *Encoder) Letters(n Names, d *sink.Dead, limit int, emit func(*Letter)) {
	if d.Record != nil {
		e.recordLetter(n, d, limit, emit)
		return
	}
	w, id := d.Window, d.Window.LetterID(0)
	open := func(id string) {
		e.spare = append(appendWhy(e.spare[:0], id, d), `,"window":`...)
	}
	open(id)
	room := limit - len(e.spare) - len(id) - envelopeRoom
	var key []byte
	if w.Keyed {
		key = w.Key
	}
	parts, left := e.Plan(w, w.ID(0), sink.OutputWindow, room-len(key))
	end := "}"
	if len(parts) == 0 && len(left) == 0 { // the key alone is too large
		bare := *w
		bare.Key, bare.Keyed = nil, false
		key, end = nil, `,"omitted":["key"]}`
		parts, _ = e.Plan(&bare, w.ID(0), sink.OutputWindow, max(room, envelopeRoom*8))
	}
	for i := range parts {
		id := w.LetterID(i)
		open(id)
		e.spare = append(e.Append(e.spare, &parts[i]), end...)
		emit(&Letter{ID: id, Key: key, Value: e.spare})
	}
	for _, i := range left {
		r := *d
		r.Window, r.Record = nil, &w.Records[i]
		e.recordLetter(n, &r, limit, emit)
	}
}

// How much of a record a letter holds.
const (
	whole = iota
	noValue
	noHeaders
	noKey
)

func (e *Encoder) recordLetter(n Names, d *sink.Dead, limit int, emit func(*Letter)) {
	id := n.RecordID(d.Record)
	l := Letter{ID: id, Key: d.Record.Key}
	least := whole
	if d.Reason == TooLarge {
		least = noValue
	}
	for omit := least; omit <= noKey; omit++ {
		if omit < noValue && d.Record.Size() > limit {
			continue
		}
		e.spare = appendRecord(appendWhy(e.spare[:0], id, d), n, d.Record, omit)
		if omit == noKey {
			l.Key = nil
		}
		if len(e.spare)+len(l.Key)+len(id) <= limit {
			break
		}
	}
	l.Value = e.spare
	emit(&l)
}

// maxError bounds the error text of a letter, in bytes.
const maxError = 4096

// appendWhy opens the letter's object: which, why, and how often it was tried.
func appendWhy(dst []byte, id string, d *sink.Dead) []byte {
	dst = append(dst, `{"id":`...)
	dst = AppendString(dst, id)
	dst = append(dst, `,"reason":`...)
	dst = AppendString(dst, d.Reason)
	dst = append(dst, `,"error":`...)
	dst = AppendString(dst, ErrorText(d.Err))
	dst = append(dst, `,"attempts":`...)
	dst = strconv.AppendInt(dst, int64(d.Attempts), 10)
	if d.First != 0 {
		dst = append(dst, `,"first":`...)
		dst = strconv.AppendInt(dst, d.First, 10)
		dst = append(dst, `,"last":`...)
		dst = strconv.AppendInt(dst, d.Last, 10)
	}
	return dst
}

// ErrorText is an error's text as letters hold it: valid UTF-8 of bounded length, empty for nil.
func ErrorText(err error) string {
	if err == nil {
		return ""
	}
	s := err.Error()
	if len(s) > maxError {
		n := maxError
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// appendRecord closes the object with the record and where it came from.
func appendRecord(dst []byte, n Names, r *record.Record, omit int) []byte {
	dst = append(dst, `,"stream":`...)
	dst = AppendString(dst, n.Stream)
	dst = append(dst, `,"pipeline":`...)
	dst = AppendString(dst, n.Pipeline)
	dst = append(dst, `,"shard":`...)
	dst = AppendString(dst, n.Shard)
	dst = append(dst, `,"origin":`...)
	dst = append(AppendOrigin(append(dst, '{'), r), '}')
	if omit < noKey {
		dst = append(dst, `,"key":`...)
		dst = AppendText(dst, r.Key)
	}
	if omit < noValue {
		form := FormOf(r.Value)
		dst = append(dst, `,"form":"`...)
		dst = append(append(dst, form.String()...), `","value":`...)
		dst = AppendAs(dst, r.Value, form)
	}
	if omit < noHeaders {
		dst = append(dst, `,"headers":`...)
		dst = AppendHeaders(dst, r)
	}
	if omit > whole {
		dst = append(dst, `,"size":`...)
		dst = strconv.AppendInt(dst, int64(r.Size()), 10)
		dst = append(dst, `,"omitted":["value"`...)
		if omit >= noHeaders {
			dst = append(dst, `,"headers"`...)
		}
		if omit >= noKey {
			dst = append(dst, `,"key"`...)
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// AppendOrigin appends the members that say where a record came from.
func AppendOrigin(dst []byte, r *record.Record) []byte {
	dst = append(dst, `"topic":`...)
	dst = AppendString(dst, r.Topic)
	dst = append(dst, `,"partition":`...)
	dst = strconv.AppendInt(dst, int64(r.Partition), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, r.Offset, 10)
	dst = append(dst, `,"timestamp":`...)
	return strconv.AppendInt(dst, r.Timestamp, 10)
}

// AppendHeaders appends a record's headers as an array of {"key","value"}: a name may come several times.
func AppendHeaders(dst []byte, r *record.Record) []byte {
	dst = append(dst, '[')
	first := true
	for h := range r.Headers() {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, `{"key":`...)
		dst = AppendText(dst, []byte(h.Key))
		dst = append(dst, `,"value":`...)
		dst = AppendText(dst, h.Value)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
