package sinktest

import (
	"bytes"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/window"
)

func testWindows(t *testing.T, b Backend) {
	target, g := open(t, b, sink.OutputWindow)
	windows := []*window.Window{Window(0, Odd()...), Window(1, []byte(`{"n":1}`), []byte(`{"n":2}`)),
		Keyed([]byte("device-7"), 2, []byte(`{"n":3}`)), Keyed([]byte("device-8"), 3, []byte(`4`), nil),
		Aggregated([]byte("device-9"), 4, 1000, `{"count":1000,"avg_v":2.5,"top_v":[{"value":"x","count":3}]}`)}
	write(t, target, g, windows...)
	out, dead := target.Read(t)
	noDead(t, dead)
	got := byID(t, out, len(windows))
	for _, w := range windows {
		it := got[w.ID(0)]
		same(t, fmt.Sprintf("window %d", w.Seq), it.Value, envelope(w))
		checkKey(t, b, it, w)
	}
}

// checkKey compares the key beside a window's output.
func checkKey(t *testing.T, b Backend, it Item, w *window.Window) {
	t.Helper()
	if !b.Keys {
		return
	}
	if (it.Key != nil) != w.Keyed || !bytes.Equal(it.Key, w.Key) {
		t.Errorf("window %d: its key is %.50q, want %.50q", w.Seq, it.Key, w.Key)
	}
}

func testData(t *testing.T, b Backend) {
	target, g := open(t, b, sink.OutputData)
	windows := []*window.Window{Keyed([]byte("a"), 0, Odd()...), Keyed([]byte("a"), 1, []byte(`{"n":1}`), nil), Keyed([]byte("a"), 2), Aggregated([]byte("a"), 3, 7, `{"count":7}`)}
	write(t, target, g, windows...)
	out, dead := target.Read(t)
	noDead(t, dead)
	if len(out) != len(windows) {
		t.Fatalf("%d pieces of output, want %d", len(out), len(windows))
	}
	for i, w := range windows {
		it := out[i]
		if !b.Ordered {
			it = byID(t, out, len(windows))[w.ID(0)]
		}
		same(t, fmt.Sprintf("data of window %d", w.Seq), it.Value, envelope(w)["data"])
		checkKey(t, b, it, w)
	}
}

func testRecords(t *testing.T, b Backend) {
	target, g := open(t, b, sink.OutputRecords)
	w := Keyed([]byte("of the window"), 0, Odd()...)
	for i := range w.Records {
		r := &w.Records[i]
		r.Key = []byte("one key") // keeps them in order where keys do
		switch i % 3 {
		case 1:
			r.SetHeaders(record.Header{Key: "trace", Value: []byte("a")}, record.Header{Key: "trace", Value: []byte("b")}, record.Header{Key: "", Value: nil})
		case 2:
			r.SetHeaders(record.Header{Key: "bin", Value: []byte{0, 0xff}}, record.Header{Key: "empty", Value: []byte{}})
		}
	}
	write(t, target, g, w, Window(1))
	out, dead := target.Read(t)
	noDead(t, dead)
	if len(out) != len(w.Records) {
		t.Fatalf("%d pieces of output, want %d records", len(out), len(w.Records))
	}
	at := map[string]Item{}
	for _, it := range out {
		at[it.ID] = it
	}
	for i := range w.Records {
		r, it := &w.Records[i], out[i]
		if !b.Ordered {
			it = at[fmt.Sprintf("%s/%d", w.ID(0), i)]
		}
		same(t, fmt.Sprintf("value of record %d", i), it.Value, As(r.Value))
		if !bytes.Equal(it.Key, r.Key) {
			t.Errorf("key of record %d is %q, want %q", i, it.Key, r.Key)
		}
		var want []record.Header
		for h := range r.Headers() {
			want = append(want, h)
		}
		if len(it.Headers) != len(want) || len(want) > 0 && !reflect.DeepEqual(it.Headers, want) {
			t.Errorf("headers of record %d are %q, want %q", i, it.Headers, want)
		}
	}
}

func testResults(t *testing.T, b Backend) {
	results := []string{`{"sum":12,"of":{"a":[1]}}`, `[1,2]`, `"text"`, `{}`, `{"":1}`, "no json", "\xff\x00"}
	for _, output := range []sink.Output{sink.OutputWindow, sink.OutputData, sink.OutputRecords} {
		target, g := open(t, b, output)
		var windows []*window.Window
		for i, r := range results {
			w := Keyed([]byte("a"), int64(i), []byte(`{"n":1}`), []byte("x"))
			w.Result = []byte(r)
			windows = append(windows, w)
		}
		write(t, target, g, windows...)
		out, dead := target.Read(t)
		noDead(t, dead)
		if len(out) != len(windows) {
			t.Fatalf("output %s: %d pieces of output, want %d", output, len(out), len(windows))
		}
		for i, w := range windows {
			it := out[i]
			if !b.Ordered {
				it = byID(t, out, len(windows))[w.ID(0)]
			}
			same(t, fmt.Sprintf("result %d", i), it.Value, As(w.Result))
			checkKey(t, b, it, w)
		}
	}
}

func testEmpty(t *testing.T, b Backend) {
	target, g := open(t, b, sink.OutputWindow)
	w := Window(0)
	w.Reason = "interval"
	write(t, target, g, w)
	out, dead := target.Read(t)
	noDead(t, dead)
	same(t, "empty window", byID(t, out, 1)[w.ID(0)].Value, envelope(w))
}

func testOddKeys(t *testing.T, b Backend) {
	target, g := open(t, b, sink.OutputWindow)
	var windows []*window.Window
	for i, key := range [][]byte{{}, []byte(`"quoted"`), []byte("{}"), {0xff, 0, 1}, []byte("line\nbreak"), []byte("é")} {
		windows = append(windows, Keyed(key, int64(i), []byte(`1`)))
	}
	write(t, target, g, windows...)
	out, dead := target.Read(t)
	noDead(t, dead)
	got := byID(t, out, len(windows))
	for _, w := range windows {
		same(t, fmt.Sprintf("window of key %q", w.Key), got[w.ID(0)].Value, envelope(w))
		checkKey(t, b, got[w.ID(0)], w)
	}
}

func testOrder(t *testing.T, b Backend) {
	target, g := open(t, b, sink.OutputWindow)
	const n = 60
	seq := int64(0)
	for range 3 {
		var windows []*window.Window
		for range n / 3 {
			windows = append(windows, Keyed(fmt.Appendf(nil, "k%d", seq%7), seq, bytes.Repeat([]byte("7"), 3000)))
			seq++
		}
		write(t, target, g, windows...)
	}
	out, dead := target.Read(t)
	noDead(t, dead)
	byID(t, out, n)
	last := map[string]int64{}
	for _, it := range out {
		m := it.Value.(map[string]any)
		key, seq := m["key"].(string), int64(canonical(m["seq"]).(float64))
		if before, ok := last[key]; ok && seq < before {
			t.Errorf("key %s: window %d comes after window %d", key, seq, before)
		}
		last[key] = seq
	}
}

func testRepeat(t *testing.T, b Backend) {
	target, g := open(t, b, sink.OutputWindow)
	fill := func(g sink.Group) {
		for i := range int64(5) {
			g.Add(Now, Window(i, []byte(`{"n":1}`)))
		}
		g.Dead(Now, &sink.Dead{Record: &Window(9, []byte("x")).Records[0], Reason: "not-json"})
	}
	fill(g)
	target.Write(t, g)
	target.Write(t, g)
	g.Reset()
	fill(g) // by whoever takes the shard over
	target.Write(t, g)
	out, dead := target.Read(t)
	byID(t, out, 5)
	if len(dead) != 1 {
		t.Errorf("%d dead letters, want 1", len(dead))
	}
}

func testReuse(t *testing.T, b Backend) {
	target, g := open(t, b, sink.OutputWindow)
	for i := range int64(3) {
		g.Add(Now, Window(100+i, Odd()...))
		g.Dead(Now, &sink.Dead{Record: &Window(200+i, []byte("x")).Records[0], Reason: "not-json"})
		if g.Len() != 2 || g.Size() <= 0 {
			t.Errorf("Len is %d and Size %d after a window and a dead letter", g.Len(), g.Size())
		}
		g.Reset()
		if g.Len() != 0 || g.Size() != 0 || len(g.Batches()) != 0 {
			t.Errorf("Len is %d, Size %d, and there are %d batches after Reset", g.Len(), g.Size(), len(g.Batches()))
		}
	}
	// What is added is copied: the caller's memory may change at once.
	value := []byte(`{"n":1}`)
	w := Keyed([]byte("abc"), 0, value)
	want := envelope(w)
	g.Add(Now, w)
	copy(value, `{"n":9}`)
	copy(w.Key, "xyz")
	target.Write(t, g)
	g.Reset()
	write(t, target, g, Window(1, []byte(`{"n":2}`)))
	target.Write(t, g) // an empty group
	out, dead := target.Read(t)
	noDead(t, dead)
	got := byID(t, out, 2)
	same(t, "first window", got[want["id"].(string)].Value, want)
	same(t, "second window", got[Window(1, []byte(`{"n":2}`)).ID(0)].Value, envelope(Window(1, []byte(`{"n":2}`))))
}

func testConcurrent(t *testing.T, b Backend) {
	target, _ := open(t, b, sink.OutputWindow)
	const shards, each = 4, 10
	var wg sync.WaitGroup
	for s := range shards {
		wg.Go(func() {
			name := fmt.Sprintf("events/%d", s)
			g := target.Sink().Group(Stream, Pipeline, name)
			for i := range int64(each) {
				w := Window(i, fmt.Appendf(nil, `{"shard":%d,"n":%d}`, s, i))
				w.Shard = name
				for j := range w.Records {
					w.Records[j].Partition = int32(s)
				}
				write(t, target, g, w)
			}
		})
	}
	wg.Wait()
	out, dead := target.Read(t)
	noDead(t, dead)
	byID(t, out, shards*each)
}
