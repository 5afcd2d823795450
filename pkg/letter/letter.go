// Package letter reads dead letters back and makes of them what is put back: a record of the source that goes the
// pipeline's whole way again.
//
// A record's letter becomes the record as it was, with two headers more. A window's letter becomes a record that *is* the
// window: the owner that reads it makes no part of another window of it, but gives it to the handler and the sink, under
// the id that it had. HeaderTo says which pipeline they are for; all others pass them over.
package letter

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

// Headers of what is put back.
const (
	HeaderTo     = "windrow-replay"        // <stream>/<pipeline>: who it is for
	HeaderID     = "windrow-replay-letter" // the dead letter's id
	HeaderWindow = "windrow-replay-window" // there is one: the record is a window
)

// Letter is a dead letter: a record's, a window's, or a document's that MongoDB refused.
type Letter struct {
	ID       string    `json:"id"`
	Reason   string    `json:"reason"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	First    int64     `json:"first"` // of the attempts, Unix milliseconds; 0: none was made
	Last     int64     `json:"last"`
	Stream   string    `json:"stream"`
	Pipeline string    `json:"pipeline"`
	Shard    string    `json:"shard"`
	Origin   *Origin   `json:"origin,omitempty"` // a record's
	Key      *Text     `json:"key,omitempty"`
	Headers  []Header  `json:"headers,omitempty"`
	Form     string    `json:"form,omitempty"` // of the value: null, json, text, binary
	Omitted  []string  `json:"omitted,omitempty"`
	Value    Raw       `json:"value,omitempty"`
	Window   Raw       `json:"window,omitempty"` // the window's envelope
	Size     int       `json:"-"`                // of the whole letter, in bytes
	Written  time.Time `json:"-"`                // when it was, as far as that is known
	Replayed time.Time `json:"-"`                // when it was put back, as far as the letter itself knows
	Shown    Raw       `json:"-"`                // all of it, for people

	value    []byte // the record's value as it was; nil: absent, or not known
	original bool   // value is what was there
}

// Origin is where a record came from.
type Origin struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Timestamp int64  `json:"timestamp"` // Unix milliseconds
}

// Raw is JSON as it stands in the letter.
type Raw = json.RawMessage

// Text is bytes that are text as a rule: a string, or {"$base64":"…"}.
type Text []byte

// Header is a header of the record: a name may come several times.
type Header struct {
	Key   *Text `json:"key"`
	Value *Text `json:"value"`
}

// UnmarshalJSON takes a string or {"$base64":"…"}.
func (t *Text) UnmarshalJSON(p []byte) error {
	if len(p) > 0 && p[0] == '"' {
		var s string
		err := json.Unmarshal(p, &s)
		*t = []byte(s)
		return err
	}
	b, err := binary(p)
	*t = b
	return err
}

// MarshalJSON writes what UnmarshalJSON takes.
func (t Text) MarshalJSON() ([]byte, error) {
	if s := string(t); strings.ToValidUTF8(s, "") == s {
		return json.Marshal(s)
	}
	return json.Marshal(map[string]string{"$base64": base64.StdEncoding.EncodeToString(t)})
}

func binary(p []byte) ([]byte, error) {
	var b struct {
		Base64 *string `json:"$base64"`
	}
	if err := json.Unmarshal(p, &b); err != nil {
		return nil, err
	}
	if b.Base64 == nil {
		return nil, errors.New(`neither a string nor {"$base64":…}`)
	}
	return base64.StdEncoding.DecodeString(*b.Base64)
}

// Parse reads a letter as the Kafka sink writes it: JSON.
func Parse(p []byte) (*Letter, error) {
	l := &Letter{Size: len(p), Shown: p}
	if err := json.Unmarshal(p, l); err != nil {
		return nil, fmt.Errorf("no dead letter: %w", err)
	}
	if l.ID == "" || l.Origin == nil && l.Window == nil {
		return nil, errors.New("no dead letter: it has no id, or neither an origin nor a window")
	}
	switch {
	case l.Form == "null":
		l.SetValue(nil)
	case l.Value == nil: // omitted
	case l.Form == "json":
		l.SetValue(spaced(p, "value", l.Value))
	case l.Form == "text":
		var s string
		if err := json.Unmarshal(l.Value, &s); err != nil {
			return nil, fmt.Errorf("dead letter %s: its value: %w", l.ID, err)
		}
		l.SetValue([]byte(s))
	case l.Form == "binary":
		b, err := binary(l.Value)
		if err != nil {
			return nil, fmt.Errorf("dead letter %s: its value: %w", l.ID, err)
		}
		l.SetValue(b)
	}
	return l, l.window()
}

// spaced is a member's JSON with the white space around it, which is the value's own: letters are written without any.
func spaced(p []byte, name string, value []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(p))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return value
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return value
		}
		from := d.InputOffset()
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return value
		}
		if key != name {
			continue
		}
		to := d.InputOffset()
		if colon := bytes.IndexByte(p[from:to], ':'); colon >= 0 {
			from += int64(colon) + 1
		}
		for to < int64(len(p)) && strings.IndexByte(" \t\r\n", p[to]) >= 0 {
			to++
		}
		return p[from:to]
	}
	return value
}

// SetValue says what the record's value was; nil: there was none.
func (l *Letter) SetValue(v []byte) { l.value, l.original = v, true }

// window takes what a window's letter says of itself from the window.
func (l *Letter) window() error {
	if l.Window == nil {
		return nil
	}
	var names struct{ Stream, Pipeline, Shard string }
	if err := json.Unmarshal(l.Window, &names); err != nil {
		return fmt.Errorf("dead letter %s: its window: %w", l.ID, err)
	}
	l.Stream, l.Pipeline, l.Shard = names.Stream, names.Pipeline, names.Shard
	return nil
}

// Kind is what died: record, window or document.
func (l *Letter) Kind() string {
	switch {
	case l.Origin != nil:
		return "record"
	case l.Window != nil:
		return "window"
	}
	return "document"
}

// From is where it came from, in words.
func (l *Letter) From() string {
	if l.Origin != nil {
		return fmt.Sprintf("%s/%d@%d", l.Origin.Topic, l.Origin.Partition, l.Origin.Offset)
	}
	return l.Shard
}

// Back is what is put back.
type Back struct {
	Topic      string // empty: the shard does not tell
	Partition  int32
	Key, Value []byte
	Timestamp  int64 // Unix milliseconds; 0: now
	Headers    []record.Header
}

// Back is the record that brings the letter back. The error says why there is none.
func (l *Letter) Back() (*Back, error) {
	if l.Stream == "" || l.Pipeline == "" {
		return nil, errors.New("it does not say which pipeline it is of")
	}
	own := []record.Header{{Key: HeaderTo, Value: []byte(l.Stream + "/" + l.Pipeline)}, {Key: HeaderID, Value: []byte(l.ID)}}
	switch {
	case l.Origin != nil:
		if len(l.Omitted) > 0 || !l.original {
			return nil, errors.New("it does not hold the whole record, which was too large: write that again by other means")
		}
		b := &Back{Topic: l.Origin.Topic, Partition: l.Origin.Partition, Key: l.Key.bytes(), Value: l.value, Timestamp: l.Origin.Timestamp}
		for _, h := range l.Headers {
			if name := string(h.Key.bytes()); name != HeaderTo && name != HeaderID && name != HeaderWindow {
				b.Headers = append(b.Headers, record.Header{Key: name, Value: h.Value.bytes()})
			}
		}
		b.Headers = append(b.Headers, own...)
		return b, nil
	case l.Window != nil:
		if len(l.Omitted) > 0 {
			return nil, errors.New("it does not hold the whole window, which was too large")
		}
		w, err := Window(l.ID, l.Window)
		if err != nil {
			return nil, err
		}
		b := &Back{Value: l.Window, Headers: append(own, record.Header{Key: HeaderWindow, Value: []byte{}})}
		if w.Keyed {
			b.Key = w.Key
		}
		b.Topic, b.Partition = place(l.Shard)
		return b, nil
	}
	return nil, errors.New("it holds a document, not a record or a window")
}

func (t *Text) bytes() []byte {
	if t == nil {
		return nil
	}
	if *t == nil {
		return []byte{}
	}
	return *t
}

// place is the partition that a shard stands for, if it stands for one.
func place(shard string) (topic string, partition int32) {
	i := strings.LastIndexByte(shard, '/')
	if i <= 0 {
		return "", 0
	}
	if _, err := fmt.Sscanf(shard[i+1:], "%d", &partition); err != nil || partition < 0 {
		return "", 0
	}
	return shard[:i], partition
}

// Addressed tells what to do with a record: put back for another pipeline, it is none of ours; put back as a window, id
// is its letter's.
func Addressed(r *record.Record, stream, pipeline string) (foreign bool, id string) {
	to, ok := r.Header(HeaderTo)
	if !ok {
		return false, ""
	}
	if string(to) != stream+"/"+pipeline {
		return true, ""
	}
	if _, ok := r.Header(HeaderWindow); !ok {
		return false, ""
	}
	letter, _ := r.Header(HeaderID)
	return false, string(letter)
}

// Window reads a window back from its envelope. Its records are its data, or what AGGREGATE made of them: their values are JSON as it stands there, and
// of keys, headers and offsets nothing is known any more.
func Window(letterID string, envelope []byte) (*window.Window, error) {
	var e struct {
		ID, Stream, Pipeline, Shard, Emitter, Reason string
		Seq, Start, End, Revision                    int64
		Final                                        *bool
		Key                                          *Text
		Count                                        int
		Data                                         json.RawMessage
	}
	if err := json.Unmarshal(envelope, &e); err != nil {
		return nil, fmt.Errorf("no window: %w", err)
	}
	w := &window.Window{
		Stream: e.Stream, Pipeline: e.Pipeline, Shard: e.Shard, Emitter: e.Emitter, Reason: emit.Reason(e.Reason),
		Keyed: e.Key != nil, Key: e.Key.bytes(), Seq: e.Seq, Start: e.Start, End: e.End, Letter: letterID,
		Updates: e.Final != nil, Revision: e.Revision, Final: e.Final != nil && *e.Final,
	}
	if id, _, _ := strings.Cut(letterID, "#"); id != w.RevisionID(0) || w.ID(0) != e.ID || e.ID == "" {
		return nil, fmt.Errorf("the window %q is not that of letter %q", e.ID, letterID)
	}
	if len(e.Data) > 0 && e.Data[0] == '{' {
		w.Aggregate, w.Folded = true, e.Count
		w.Records = []record.Record{{Value: bytes.Clone(e.Data), Timestamp: e.Start}}
		return w, nil
	}
	var data []json.RawMessage
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return nil, fmt.Errorf("the window %s has no data: %w", e.ID, err)
	}
	if e.Count != len(data) {
		return nil, fmt.Errorf("the window %s says it has %d records, and has %d", e.ID, e.Count, len(data))
	}
	for _, d := range data {
		w.Records = append(w.Records, record.Record{Value: bytes.Clone(d), Timestamp: e.Start})
	}
	return w, nil
}
