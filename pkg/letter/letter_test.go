package letter

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/internal/fuzztest"
	"github.com/windrow-io/windrow/pkg/record"
)

const (
	recordLetter = `{"id":"s/p/t/0/t/0/1@2","reason":"not-json","error":"e","attempts":0,"first":3,"last":4,"stream":"s","pipeline":"p","shard":"t/0",` +
		`"origin":{"topic":"t","partition":0,"offset":1,"timestamp":2},"key":{"$base64":"/w=="},"form":"text","value":"x","headers":[{"key":"h","value":null}]}`
	windowLetter = `{"id":"0123#2","reason":"handler","error":"e","attempts":5,"first":3,"last":4,"window":` +
		`{"id":"0123","stream":"s","pipeline":"p","shard":"t/7","seq":1,"key":"k","emitter":"count","reason":"count","start":1,"end":2,"count":2,"data":[1,"two"]}}`
)

func TestParse(t *testing.T) {
	l, err := Parse([]byte(recordLetter))
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Back()
	if err != nil {
		t.Fatal(err)
	}
	if b.Topic != "t" || b.Partition != 0 || string(b.Key) != "\xff" || string(b.Value) != "x" || b.Timestamp != 2 || len(b.Headers) != 3 || b.Headers[0].Value != nil {
		t.Errorf("back comes %+v", b)
	}
	if l.Kind() != "record" || l.From() != "t/0@1" {
		t.Errorf("%s from %s", l.Kind(), l.From())
	}
	if l, err = Parse([]byte(windowLetter)); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Back(); err != nil {
		t.Fatal(err)
	}
	if b.Topic != "t" || b.Partition != 7 || string(b.Key) != "k" || !strings.Contains(windowLetter, string(b.Value)) {
		t.Errorf("back comes %+v", b)
	}
	w, err := Window(l.ID, b.Value)
	if err != nil || w.ID(0) != "0123" || w.LetterID(0) != "0123#3" || len(w.Records) != 2 || string(w.Records[1].Value) != `"two"` {
		t.Errorf("the window is %+v, %v", w, err)
	}
}

// A revision of a window has a letter of its own, and comes back as that revision.
func TestRevision(t *testing.T) {
	for _, id := range []string{"0123.3", "0123.3#1"} {
		w, err := Window(id, []byte(`{"id":"0123","start":1,"end":2,"revision":3,"final":true,"count":1,"data":[1]}`))
		if err != nil {
			t.Fatal(err)
		}
		again := map[string]string{"0123.3": "0123.3#1", "0123.3#1": "0123.3#2"}[id]
		if w.ID(0) != "0123" || w.RevisionID(0) != "0123.3" || w.LetterID(0) != again || !w.Updates || w.Revision != 3 || !w.Final {
			t.Errorf("%s brings %+v with the letter %s", id, w, w.LetterID(0))
		}
	}
	if w, err := Window("0123.2", []byte(`{"id":"0123","revision":3,"final":true,"data":[]}`)); err == nil {
		t.Errorf("the letter of another revision brings %+v", w)
	}
}

// What is no letter, and what no longer holds together, is refused.
func TestNoLetters(t *testing.T) {
	for _, p := range []string{
		``, `null`, `[]`, `{"a":1}`, `{"id":"x"}`, `{"id":"x","origin":{},"form":"text","value":1}`,
		`{"id":"x","origin":{},"form":"binary","value":{"$base64":"!"}}`, `{"id":"x","window":1}`, `{"id":"x","origin":{},"key":1}`,
	} {
		if l, err := Parse([]byte(p)); err == nil {
			t.Errorf("%s is taken for %+v", p, l)
		}
	}
	for _, p := range []string{`{"id":"y"}`, `{"id":"x","count":3,"data":[]}`, `{`} {
		if w, err := Window("x", []byte(p)); err == nil {
			t.Errorf("%s is taken for %+v", p, w)
		}
	}
	for _, shard := range []string{"3", "/3", "t/x", "t/-1", "t/4294967296"} {
		if topic, p := place(shard); topic != "" {
			t.Errorf("shard %s is %s/%d", shard, topic, p)
		}
	}
}

func TestAddressed(t *testing.T) {
	var r record.Record
	if foreign, id := Addressed(&r, "s", "p"); foreign || id != "" {
		t.Error("a record like any other is addressed")
	}
	r.SetHeaders(record.Header{Key: HeaderTo, Value: []byte("s/p")}, record.Header{Key: HeaderID, Value: []byte("x")})
	if foreign, id := Addressed(&r, "s", "p"); foreign || id != "" {
		t.Error("a record that was put back is no window")
	}
	if foreign, _ := Addressed(&r, "s", "q"); !foreign {
		t.Error("another pipeline's record is taken")
	}
}

// FuzzParse: nothing panics, memory is bounded, and what is put back is what the letter holds.
func FuzzParse(f *testing.F) {
	f.Add([]byte(recordLetter))
	f.Add([]byte(windowLetter))
	f.Add([]byte(strings.Replace(recordLetter, `"text","value":"x"`, `"json","value": [1] `, 1)))
	f.Add([]byte(strings.Replace(recordLetter, `"text","value":"x"`, `"null","value":null`, 1)))
	f.Add([]byte(strings.Replace(windowLetter, `"k"`, `null`, 1)))
	f.Fuzz(func(t *testing.T, p []byte) {
		fuzztest.Bounded(t, 1<<20+200*len(p), func() {
			l, err := Parse(p)
			if err != nil {
				return
			}
			_, _ = l.Kind(), l.From()
			b, err := l.Back()
			if err != nil {
				return
			}
			switch {
			case l.Window != nil && l.Origin == nil && !bytes.Contains(p, b.Value):
				t.Errorf("the window %s is not in the letter", b.Value)
			case l.Origin != nil && l.Form == "json" && (!json.Valid(b.Value) || !bytes.Contains(p, b.Value)):
				t.Errorf("the value %s is not in the letter", b.Value)
			}
		})
	})
}

// FuzzWindow: an envelope that is taken gives a window of as many records as it says.
func FuzzWindow(f *testing.F) {
	l, err := Parse([]byte(windowLetter))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("0123", []byte(l.Window))
	f.Add("0123#9", []byte(l.Window))
	f.Add("x#", []byte(`{"id":"x","count":0,"data":null}`))
	f.Fuzz(func(t *testing.T, id string, p []byte) {
		fuzztest.Bounded(t, 1<<20+200*len(p), func() {
			w, err := Window(id, p)
			if err != nil {
				return
			}
			if first, _, _ := strings.Cut(id, "#"); w.ID(0) != first || w.LetterID(0) == id {
				t.Errorf("letter %s: its window has the id %s, and its next letter %s", id, w.ID(0), w.LetterID(0))
			}
			for i := range w.Records {
				if !json.Valid(w.Records[i].Value) {
					t.Errorf("record %d is %q", i, w.Records[i].Value)
				}
			}
		})
	})
}
