package sinktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/window"
)

// filler is a JSON string of about n bytes that tells i.
func filler(i, n int) []byte {
	return []byte(fmt.Sprintf(`"%d-%s"`, i, strings.Repeat("x", n)))
}

func testSplit(t *testing.T, b Backend) {
	target, g := open(t, b, sink.OutputWindow)
	var values [][]byte
	for i := range 11 {
		values = append(values, filler(i, b.Limit/4))
	}
	w := Keyed([]byte("k"), 0, values...)
	small := Keyed([]byte("k"), 1, []byte("1"))
	write(t, target, g, w, small)
	out, dead := target.Read(t)
	noDead(t, dead)
	const parts = 4 // three records fit, and what is around them
	got := byID(t, out, parts+1)
	same(t, "the window after it", got[small.ID(0)].Value, envelope(small))
	want := envelope(w)
	at := 0
	for p := range parts {
		it, ok := got[w.ID(p)]
		if !ok {
			t.Fatalf("part %d is missing", p)
		}
		m := it.Value.(map[string]any)
		data := m["data"].([]any)
		part := without(want)
		part["id"], part["part"], part["parts"], part["count"] = w.ID(p), p, parts, len(data)
		part["data"] = want["data"].([]any)[at:min(at+len(data), len(values))]
		same(t, fmt.Sprintf("part %d", p), m, part)
		checkKey(t, b, it, w)
		at += len(data)
	}
	if at != len(values) {
		t.Errorf("the parts hold %d records, want %d", at, len(values))
	}
}

func testOversize(t *testing.T, b Backend) {
	for _, output := range []sink.Output{sink.OutputWindow, sink.OutputData, sink.OutputRecords} {
		target, g := open(t, b, output)
		w := Keyed([]byte("k"), 0, []byte("1"), filler(1, b.Limit), []byte("3"))
		for i := range w.Records {
			w.Records[i].Key = []byte("k")
		}
		w.Records[1].SetHeaders(record.Header{Key: "h", Value: []byte("v")})
		alone := Keyed([]byte("k"), 1, filler(0, b.Limit)) // nothing of it is left: no window
		write(t, target, g, w, alone)
		out, dead := target.Read(t)
		if len(dead) != 2 {
			t.Fatalf("output %s: %d dead letters, want 2", output, len(dead))
		}
		for i, r := range []*record.Record{&w.Records[1], &alone.Records[0]} {
			letter := dead[i]
			if letter["origin"].(map[string]any)["offset"] != Decode(fmt.Appendf(nil, "%d", r.Offset)) {
				letter = dead[1-i]
			}
			want := deadRecord(r, "too-large")
			delete(want, "value")
			delete(want, "form")
			want["size"], want["omitted"], want["error"] = r.Size(), []any{"value"}, letter["error"]
			same(t, "dead letter", without(letter, "id"), want)
			if e, _ := letter["error"].(string); !strings.Contains(e, fmt.Sprint(r.Size())) {
				t.Errorf("the error does not tell the size %d: %s", r.Size(), e)
			}
		}
		switch output {
		case sink.OutputRecords:
			if len(out) != 2 {
				t.Fatalf("%d records, want 2", len(out))
			}
		default:
			if len(out) != 1 {
				t.Fatalf("output %s: %d windows, want 1", output, len(out))
			}
			data := out[0].Value
			if m, ok := data.(map[string]any); ok {
				data = m["data"]
				same(t, "count", m["count"], 2)
			}
			same(t, "data", data, []any{1, 3})
		}
	}
	t.Run("Result", func(t *testing.T) {
		target, g := open(t, b, sink.OutputWindow)
		w := Window(0, []byte("1"))
		w.Result = filler(0, b.Limit)
		write(t, target, g, w)
		out, dead := target.Read(t)
		if len(out) != 0 || len(dead) != 1 {
			t.Fatalf("%d windows and %d dead letters, want 0 and 1", len(out), len(dead))
		}
		same(t, "reason", dead[0]["reason"], "too-large")
		same(t, "window", dead[0]["window"], envelope(w))
	})
	t.Run("Headers", func(t *testing.T) {
		target, g := open(t, b, sink.OutputWindow)
		r := record.Record{Key: filler(0, b.Limit), Value: []byte("1"), Topic: "events", Offset: 3}
		r.SetHeaders(record.Header{Key: "h", Value: filler(0, b.Limit)})
		g.Dead(Now, &sink.Dead{Record: &r, Reason: "not-json"})
		target.Write(t, g)
		_, dead := target.Read(t)
		if len(dead) != 1 {
			t.Fatalf("%d dead letters, want 1", len(dead))
		}
		same(t, "omitted", dead[0]["omitted"], []any{"value", "headers", "key"})
		same(t, "origin", dead[0]["origin"], deadRecord(&r, "")["origin"])
	})
}

func testHugeKey(t *testing.T, b Backend) {
	key := bytes.Repeat([]byte("k"), b.Limit+1)
	target, g := open(t, b, sink.OutputWindow)
	w, empty := Keyed(key, 0, []byte("1"), []byte("2")), Keyed(key, 1)
	w.Records[0].Key = key
	write(t, target, g, w, empty)
	g.Dead(Now, &sink.Dead{Window: empty, Reason: "handler", Err: errors.New("refused"), Attempts: 1})
	target.Write(t, g)
	g.Reset()
	write(t, target, g, Window(2, []byte("3"))) // it goes on
	out, dead := target.Read(t)
	byID(t, out, 1)
	if b.Repeats && len(dead) == 3 { // the two letters of the empty window have one id
		return
	}
	if len(dead) != 4 {
		t.Errorf("%d dead letters, want 4: two records, and the empty window twice", len(dead))
	}
}

// deadRecord is what a record's dead letter says, but for its id.
func deadRecord(r *record.Record, reason string) map[string]any {
	return map[string]any{"reason": reason, "error": "", "attempts": 0,
		"stream": Stream, "pipeline": Pipeline, "shard": Shard,
		"origin": map[string]any{"topic": r.Topic, "partition": int64(r.Partition), "offset": r.Offset, "timestamp": r.Timestamp},
		"key":    text(r.Key), "form": form(r.Value), "value": As(r.Value), "headers": headers(r)}
}

// form is how a value was before it became JSON.
func form(v []byte) string {
	switch {
	case v == nil:
		return "null"
	case json.Valid(v) && utf8.Valid(v):
		return "json"
	case utf8.Valid(v):
		return "text"
	}
	return "binary"
}

func headers(r *record.Record) []any {
	hs := []any{}
	for h := range r.Headers() {
		hs = append(hs, map[string]any{"key": text([]byte(h.Key)), "value": text(h.Value)})
	}
	return hs
}

func without(m map[string]any, names ...string) map[string]any {
	c := map[string]any{}
	for k, v := range m {
		c[k] = v
	}
	for _, n := range names {
		delete(c, n)
	}
	return c
}

func testDeadRecords(t *testing.T, b Backend) {
	target, g := open(t, b, sink.OutputWindow)
	w := Window(0, Odd()...)
	want := map[string]map[string]any{}
	for i := range w.Records {
		r := &w.Records[i]
		switch i % 3 {
		case 0:
			r.Key = []byte("key \xff")
		case 1:
			r.Key = []byte("key")
			r.SetHeaders(record.Header{Key: "a", Value: []byte("1")}, record.Header{Key: "a", Value: nil})
		}
		d := &sink.Dead{Record: r, Reason: "missing-field", Err: errors.New("no field \"device.id\"\nin the value"), First: Now, Last: Now + 5}
		l := deadRecord(r, d.Reason)
		l["error"], l["first"], l["last"] = d.Err.Error(), d.First, d.Last
		if i == 0 {
			d.Attempts, l["attempts"] = 3, 3
			d.Err, l["error"] = errors.New("bad \xff text"), "bad \uFFFD text"
		}
		want[fmt.Sprint(r.Offset)] = l
		g.Dead(Now, d)
	}
	if g.Len() != len(want) {
		t.Errorf("Len is %d after %d dead letters", g.Len(), len(want))
	}
	target.Write(t, g)
	out, dead := target.Read(t)
	if len(out) != 0 || len(dead) != len(want) {
		t.Fatalf("%d windows and %d dead letters, want 0 and %d", len(out), len(dead), len(want))
	}
	ids := map[any]bool{}
	for _, l := range dead {
		offset := fmt.Sprint(l["origin"].(map[string]any)["offset"])
		same(t, "dead letter of "+offset, without(l, "id", "raw"), want[offset])
		if id, _ := l["id"].(string); id == "" || ids[id] {
			t.Errorf("dead letter of %s: its id %q is not its own", offset, id)
		}
		ids[l["id"]] = true
	}
}

func testDeadWindow(t *testing.T, b Backend) {
	target, g := open(t, b, sink.OutputWindow)
	ok, bad := Window(0, []byte("1")), Keyed([]byte("k"), 1, Odd()...)
	g.Add(Now, ok)
	g.Dead(Now, &sink.Dead{Window: bad, Reason: "handler", Err: errors.New("handler answered 500"), Attempts: 5, First: Now - 9000, Last: Now})
	target.Write(t, g)
	out, dead := target.Read(t)
	same(t, "window", byID(t, out, 1)[ok.ID(0)].Value, envelope(ok))
	if len(dead) != 1 {
		t.Fatalf("%d dead letters, want 1", len(dead))
	}
	same(t, "dead letter", without(dead[0], "raw"), map[string]any{"id": bad.ID(0), "reason": "handler", "error": "handler answered 500",
		"attempts": 5, "first": Now - 9000, "last": Now, "window": envelope(bad)})

	if b.Limit == 0 {
		return
	}
	target, g = open(t, b, sink.OutputWindow)
	large := Window(2, filler(0, b.Limit/3), filler(1, b.Limit/3), filler(2, b.Limit/3), filler(3, b.Limit), []byte("last"))
	g.Dead(Now, &sink.Dead{Window: large, Reason: "handler", Err: errors.New("x"), Attempts: 1})
	target.Write(t, g)
	_, dead = target.Read(t)
	parts := len(dead) - 1
	if parts < 2 || parts > 4 {
		t.Fatalf("%d dead letters of a large window, want a record of its own, and two to four parts", len(dead))
	}
	var data []any
	for p := range parts {
		for _, l := range dead {
			if w, ok := l["window"].(map[string]any); ok && l["id"] == large.ID(p) {
				data = append(data, w["data"].([]any)...)
			}
		}
	}
	want := []*window.Window{Window(2, large.Records[0].Value, large.Records[1].Value, large.Records[2].Value, large.Records[4].Value)}
	same(t, "data of the parts", data, envelope(want[0])["data"])
}
