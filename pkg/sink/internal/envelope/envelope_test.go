package envelope

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/window"
)

func TestCut(t *testing.T) {
	for _, c := range []struct {
		name        string
		sizes       []int
		base, limit int
		spans       []Span
		left        []int
	}{
		{"all in one", []int{3, 3, 3}, 10, 19, []Span{{0, 3, 3, 9}}, nil},
		{"one byte too much", []int{3, 3, 4}, 10, 19, []Span{{0, 2, 2, 6}, {2, 3, 1, 4}}, nil},
		{"each alone", []int{5, 5}, 0, 5, []Span{{0, 1, 1, 5}, {1, 2, 1, 5}}, nil},
		{"left out in the middle", []int{2, 99, 2}, 1, 9, []Span{{0, 3, 2, 4}}, []int{1}},
		{"left out at the ends", []int{99, 2, 99}, 1, 9, []Span{{0, 2, 1, 2}}, []int{0, 2}},
		{"left out at a cut", []int{5, 99, 5}, 1, 9, []Span{{0, 1, 1, 5}, {1, 3, 1, 5}}, []int{1}},
		{"nothing fits", []int{99, 98}, 1, 9, nil, []int{0, 1}},
		{"empty", nil, 1, 9, []Span{{}}, nil},
		{"empty without room", nil, 10, 9, nil, nil},
	} {
		sizes := append([]int(nil), c.sizes...)
		spans, left := Cut(nil, nil, sizes, c.base, c.limit)
		if !reflect.DeepEqual(spans, c.spans) || !reflect.DeepEqual(left, c.left) {
			t.Errorf("%s: spans %v, left %v; want %v, %v", c.name, spans, left, c.spans, c.left)
		}
		for i, n := range sizes {
			if out := n < 0; out != contains(left, i) {
				t.Errorf("%s: element %d is marked left out: %v", c.name, i, out)
			}
		}
	}
}

func contains(is []int, i int) bool {
	for _, x := range is {
		if x == i {
			return true
		}
	}
	return false
}

func sample(values ...string) *window.Window {
	w := &window.Window{Stream: "s", Pipeline: "p", Shard: "t/0", Emitter: "count", Reason: "count", Seq: 7, Start: 1000, End: 2000}
	for i, v := range values {
		w.Records = append(w.Records, record.Record{Value: []byte(v), Topic: "t", Offset: int64(i), Timestamp: 1000})
	}
	return w
}

// The documented form, byte for byte.
func TestForm(t *testing.T) {
	var e Encoder
	w := sample(`{"a": 1}`, `text`)
	w.Records = append(w.Records, record.Record{})
	parts, _ := e.Plan(w, w.ID(0), sink.OutputWindow, math.MaxInt)
	want := `{"id":"` + w.ID(0) + `","stream":"s","pipeline":"p","shard":"t/0","seq":7,"key":null,"emitter":"count","reason":"count",` +
		`"start":1000,"end":2000,"count":3,"data":[{"a": 1},"text",null]}`
	if got := string(e.Append(nil, &parts[0])); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	w.Updates, w.Revision = true, 3
	parts, _ = e.Plan(w, w.ID(0), sink.OutputWindow, math.MaxInt)
	want = `{"id":"` + w.ID(0) + `","stream":"s","pipeline":"p","shard":"t/0","seq":7,"key":null,"emitter":"count","reason":"count",` +
		`"start":1000,"end":2000,"revision":3,"final":false,"count":3,"data":[{"a": 1},"text",null]}`
	if got := string(e.Append(nil, &parts[0])); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	parts, _ = e.Plan(w, w.ID(0), sink.OutputData, math.MaxInt)
	if got := string(e.Append(nil, &parts[0])); got != `[{"a": 1},"text",null]` {
		t.Errorf("got %s", got)
	}
}

// Whatever the limit: parts stay within it, announce their size, and hold each record once unless it is left out.
func TestEveryLimit(t *testing.T) {
	var values []string
	for i := range 30 {
		values = append(values, fmt.Sprintf(`"%d%s"`, i, strings.Repeat("x", i*i)))
	}
	w := sample(values...)
	w.Keyed, w.Key = true, []byte("a \"key\"")
	var e Encoder
	for _, form := range []sink.Output{sink.OutputWindow, sink.OutputData} {
		for limit := 0; limit < 20_000; limit += 173 {
			parts, left := e.Plan(w, w.ID(0), form, limit)
			seen := map[string]bool{}
			for i := range parts {
				out := e.Append(nil, &parts[i])
				if len(out) > limit || len(out) != parts[i].Size {
					t.Fatalf("limit %d: part %d of %d announces %d bytes and has %d", limit, i, len(parts), parts[i].Size, len(out))
				}
				var data []string
				if form == sink.OutputData {
					must(t, json.Unmarshal(out, &data))
				} else {
					var x struct {
						ID                 string
						Part, Parts, Count int
						Data               []string
					}
					must(t, json.Unmarshal(out, &x))
					if x.ID != w.ID(i) || x.Count != len(x.Data) || x.Part != i || x.Parts != len(parts) && len(parts) > 1 {
						t.Fatalf("limit %d: part %d is %s", limit, i, out)
					}
					data = x.Data
				}
				for _, v := range data {
					if seen[v] {
						t.Fatalf("limit %d: %q is there twice", limit, v)
					}
					seen[v] = true
				}
			}
			if len(seen)+len(left) != len(values) {
				t.Fatalf("limit %d: %d records written, %d left out, want %d in all", limit, len(seen), len(left), len(values))
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Letters stay within their limit as long as there is one that can be kept, and are JSON in any case.
func TestLettersStayWithinTheLimit(t *testing.T) {
	r := record.Record{Key: []byte(strings.Repeat("k", 2000)), Value: []byte(strings.Repeat("v", 5000)), Topic: "t", Offset: 4, Timestamp: 9}
	r.SetHeaders(record.Header{Key: "h", Value: []byte(strings.Repeat("h", 1000))})
	w := sample(strings.Repeat("1", 900), strings.Repeat("2", 900), strings.Repeat("3", 3000))
	w.Keyed, w.Key = true, []byte(strings.Repeat("k", 300))
	n := Names{Stream: "s", Pipeline: "p", Shard: "t/0"}
	for _, d := range []*sink.Dead{
		{Record: &r, Reason: "not-json", Err: errors.New("x")},
		{Window: w, Reason: "handler", Err: errors.New("x"), Attempts: 2, First: 1, Last: 2},
	} {
		for limit := 1500; limit < 20_000; limit += 250 {
			var e Encoder
			letters := 0
			e.Letters(n, d, limit, func(l *Letter) {
				letters++
				if !json.Valid(l.Value) {
					t.Fatalf("limit %d: %s", limit, l.Value)
				}
				if size := len(l.Value) + len(l.Key) + len(l.ID); size > limit {
					t.Errorf("limit %d: a letter has %d bytes", limit, size)
				}
			})
			if letters == 0 {
				t.Errorf("limit %d: no letter", limit)
			}
		}
	}
}

func TestRecordID(t *testing.T) {
	n := Names{Stream: "s", Pipeline: "p", Shard: "t/3"}
	r := record.Record{Topic: "t", Partition: 3, Offset: 17, Timestamp: 99}
	if got := n.RecordID(&r); got != "s/p/t/3/t/3/17@99" {
		t.Errorf("got %s", got)
	}
}

func TestErrorText(t *testing.T) {
	if got := ErrorText(nil); got != "" {
		t.Errorf("got %q", got)
	}
	for i := range 4 {
		got := ErrorText(errors.New(strings.Repeat("x", i) + strings.Repeat("é", maxError)))
		if len(got) > maxError+len("…") || !utf8.ValidString(got) || strings.ContainsRune(got, utf8.RuneError) {
			t.Errorf("%d bytes, valid %v", len(got), utf8.ValidString(got))
		}
	}
	if got := ErrorText(errors.New("a\xffb")); got != "a\uFFFDb" {
		t.Errorf("got %q", got)
	}
}
