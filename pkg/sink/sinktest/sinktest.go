// Package sinktest is what every sink must pass: Run puts windows through it, whole, split, odd and broken ones, and
// compares what arrives with what was sent.
package sinktest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/template"
	"github.com/windrow-io/windrow/pkg/window"
)

// Target is a sink under test and its destination.
type Target interface {
	Sink() sink.Sink
	// Write writes the group, as the worker would: in a transaction, or by Deliver.
	Write(t *testing.T, g sink.Group)
	// Read returns all that the destination holds: output and dead letters. With Ordered promised, output of one key
	// must come in the order in which it arrived.
	Read(t *testing.T) (out []Item, dead []map[string]any)
}

// Item is one piece of output: a window, its data, a record, or a result.
type Item struct {
	ID      string          // of the window; empty where the form has none
	Key     []byte          // nil: none
	Value   any             // as encoding/json decodes it, with UseNumber; dates as Unix milliseconds
	Headers []record.Header // of a record
}

// Backend is what a sink is and promises.
type Backend struct {
	// Open makes a sink with an empty destination for one test. Its Check is the suite's to call.
	Open func(t *testing.T, output sink.Output) Target

	Limit   int  // bytes that one piece of output may have at most, about; 0: none
	Ordered bool // output of one key stays in order
	Repeats bool // writing the same again changes nothing
	Keys    bool // OutputData and results come with the window's key
}

// Run runs the suite, as far as the backend promises what it is about.
func Run(t *testing.T, b Backend) {
	for _, c := range []struct {
		name     string
		promised bool
		test     func(*testing.T, Backend)
	}{
		{"Windows", true, testWindows},
		{"Data", true, testData},
		{"Records", true, testRecords},
		{"Results", true, testResults},
		{"EmptyWindow", true, testEmpty},
		{"OddKeys", true, testOddKeys},
		{"HugeKey", b.Limit > 0, testHugeKey},
		{"Order", b.Ordered, testOrder},
		{"Repeat", b.Repeats, testRepeat},
		{"Split", b.Limit > 0, testSplit},
		{"Oversize", b.Limit > 0, testOversize},
		{"DeadRecords", true, testDeadRecords},
		{"DeadWindow", true, testDeadWindow},
		{"Reuse", true, testReuse},
		{"Concurrent", true, testConcurrent},
	} {
		if c.promised {
			t.Run(c.name, func(t *testing.T) { c.test(t, b) })
		}
	}
}

// Now is the time that groups are told.
const Now = 1_790_000_000_000

// The names that windows carry.
const (
	Stream   = "stream"
	Pipeline = "pipeline"
	Shard    = "events/0"
)

// Window makes an unkeyed window of these values.
func Window(seq int64, values ...[]byte) *window.Window {
	w := &window.Window{Stream: Stream, Pipeline: Pipeline, Shard: Shard, Emitter: "count", Reason: "count",
		Seq: seq, Start: Now + 1000*seq, End: Now + 1000*seq + 999}
	for i, v := range values {
		w.Records = append(w.Records, record.Record{Value: v, Topic: "events", Partition: 0,
			Offset: seq*1000 + int64(i), Timestamp: Now + 1000*seq + int64(i)})
	}
	return w
}

// Keyed makes a window of a key.
func Keyed(key []byte, seq int64, values ...[]byte) *window.Window {
	w := Window(seq, values...)
	w.Keyed, w.Key = true, key
	return w
}

// Template reads a template, whose dates are in UTC.
func Template(t *testing.T, text string) *template.Template {
	t.Helper()
	x, err := template.Parse(text, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// Aggregated makes a window of a key that is written as this JSON object, which n records have come to.
func Aggregated(key []byte, seq int64, n int, result string) *window.Window {
	w := Keyed(key, seq, []byte(result))
	w.Aggregate, w.Folded = true, n
	w.Records[0] = record.Record{Key: key, Value: []byte(result), Timestamp: w.End}
	return w
}

// Odd are values of every kind that a topic may hold.
func Odd() [][]byte {
	deep := strings.Repeat(`{"a":[`, 150) + "1" + strings.Repeat(`]}`, 150)
	many := make([]string, 40)
	for i := range many {
		many[i] = fmt.Sprintf(`"m%d":%d`, i, i)
	}
	return [][]byte{
		[]byte(`{"device":{"id":"a-7"},"temperature":21.5,"ok":true,"note":null,"list":[1,2,[3,{"x":"y"}],[]],"none":{}}`),
		[]byte(" { \"spaced\" :\t[ 1 , 2 ]\r\n} "),
		[]byte(`"a string with \"quotes\", \\ \/ \u00e9 \ud83d\ude00 and a\u0000null"`),
		[]byte(`9223372036854775807`), []byte(`-12`), []byte(`0.1`), []byte(`1e3`), []byte(`12345678901234567890123`),
		[]byte(`true`), []byte(`null`), []byte(`[]`), []byte(`{}`), []byte(`""`),
		[]byte(`{"$set":{"$inc":1},"a.b":{"c.d":2},"":3}`), []byte("{\"nul\\u0000l\":1,\"é\":\"ü\"}"),
		[]byte("{" + strings.Join(many, ",") + "}"),
		[]byte(deep),
		[]byte("plain text"), []byte("tab\tline\nquote\"back\\slash\x01\x7f"), []byte("{\"cut\":"), []byte("[1,2]x"), []byte("é ü 😀  "),
		{}, {0xff, 0xfe, 0x00, 'a'}, []byte("\"bad \xff utf-8\""), nil,
	}
}

// As is how a value appears in JSON, by the words of the documentation rather than by the code under test.
func As(v []byte) any {
	switch {
	case v == nil:
		return nil
	case json.Valid(v) && utf8.Valid(v):
		return Decode(v)
	case utf8.Valid(v):
		return string(v)
	}
	return map[string]any{"$base64": base64.StdEncoding.EncodeToString(v)}
}

// Decode decodes JSON for comparison.
func Decode(p []byte) any {
	d := json.NewDecoder(bytes.NewReader(p))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(fmt.Sprintf("%v: %.200q", err, p))
	}
	return v
}

// canonical gives equal numbers one form.
func canonical(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[k] = canonical(x)
		}
		return m
	case []any:
		a := make([]any, len(v))
		for i, x := range v {
			a[i] = canonical(x)
		}
		return a
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return float64(i)
		}
		f, _ := v.Float64()
		return f
	case int:
		return float64(v)
	case int64:
		return float64(v)
	default:
		return v
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := canonical(got), canonical(want); !reflect.DeepEqual(g, w) {
		t.Errorf("%s:\n got %.2000s\nwant %.2000s", what, show(g), show(w))
	}
}

func show(v any) string {
	p, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%#v", v)
	}
	return string(p)
}

// envelope is what a whole window must look like.
func envelope(w *window.Window) map[string]any {
	list := []any{}
	for i := range w.Records {
		list = append(list, As(w.Records[i].Value))
	}
	var data any = list
	if w.Aggregate {
		data = list[0]
	}
	var key any
	if w.Keyed {
		if key = As([]byte{}); len(w.Key) > 0 {
			key = text(w.Key)
		}
	}
	return map[string]any{"id": w.ID(0), "stream": w.Stream, "pipeline": w.Pipeline, "shard": w.Shard, "seq": w.Seq,
		"key": key, "emitter": w.Emitter, "reason": string(w.Reason), "start": w.Start, "end": w.End,
		"count": w.Count(), "data": data}
}

// text is how a key or header appears in JSON: never as the JSON it may look like.
func text(p []byte) any {
	switch {
	case p == nil:
		return nil
	case utf8.Valid(p):
		return string(p)
	}
	return map[string]any{"$base64": base64.StdEncoding.EncodeToString(p)}
}

// open makes a target ready for use, and a group.
func open(t *testing.T, b Backend, output sink.Output) (Target, sink.Group) {
	t.Helper()
	target := b.Open(t, output)
	if err := target.Sink().Check(t.Context()); err != nil {
		t.Fatalf("Check: %v", err)
	}
	return target, target.Sink().Group(Stream, Pipeline, Shard)
}

// write writes windows as one group.
func write(t *testing.T, target Target, g sink.Group, windows ...*window.Window) {
	t.Helper()
	for _, w := range windows {
		g.Add(Now, w)
	}
	if g.Len() != len(windows) {
		t.Errorf("Len is %d after %d windows", g.Len(), len(windows))
	}
	target.Write(t, g)
	g.Reset()
}

// byID finds the output of each window; nothing else may be there.
func byID(t *testing.T, items []Item, n int) map[string]Item {
	t.Helper()
	m := map[string]Item{}
	for _, it := range items {
		if _, twice := m[it.ID]; twice {
			t.Errorf("%s is there twice", it.ID)
		}
		m[it.ID] = it
	}
	if len(items) != n {
		t.Fatalf("%d pieces of output, want %d", len(items), n)
	}
	return m
}

func noDead(t *testing.T, dead []map[string]any) {
	t.Helper()
	if len(dead) > 0 {
		t.Errorf("%d dead letters, want none; the first: %.1000s", len(dead), show(dead[0]))
	}
}
