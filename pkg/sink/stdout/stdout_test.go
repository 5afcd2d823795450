package stdout

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/sinktest"
)

type target struct {
	sink   *Sink
	output sink.Output
	out    *bytes.Buffer
}

func (x *target) Sink() sink.Sink { return x.sink }

func (x *target) Write(t *testing.T, g sink.Group) {
	t.Helper()
	if err := g.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (x *target) Read(t *testing.T) (out []sinktest.Item, dead []map[string]any) {
	t.Helper()
	for line := range strings.Lines(x.out.String()) {
		if !strings.HasSuffix(line, "\n") || !json.Valid([]byte(line)) {
			t.Fatalf("not a line of JSON: %.300q", line)
		}
		v := sinktest.Decode([]byte(line))
		m, _ := v.(map[string]any)
		if d, ok := m["dead"].(map[string]any); ok {
			dead = append(dead, d)
			continue
		}
		it := sinktest.Item{Value: v}
		switch id, _ := m["id"].(string); {
		case id != "":
			it.ID = id
		case x.output == sink.OutputRecords && m["origin"] == nil && m["topic"] != nil:
			it.Value, it.Key = m["value"], raw(m["key"])
			for _, h := range m["headers"].([]any) {
				h := h.(map[string]any)
				it.Headers = append(it.Headers, record.Header{Key: h["key"].(string), Value: raw(h["value"])})
			}
		}
		out = append(out, it)
	}
	return out, dead
}

// raw turns text back into the bytes it stands for.
func raw(v any) []byte {
	switch v := v.(type) {
	case string:
		return []byte(v)
	case map[string]any:
		p, err := base64.StdEncoding.DecodeString(v["$base64"].(string))
		if err != nil {
			panic(err)
		}
		return p
	}
	return nil
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Backend{Ordered: true, Open: func(_ *testing.T, output sink.Output) sinktest.Target {
		var out bytes.Buffer
		return &target{sink: New(&out, output), output: output, out: &out}
	}})
}

// writer fails after some bytes.
type writer struct {
	mu    sync.Mutex
	out   bytes.Buffer
	calls int
	fail  func(call int, p []byte) (int, error)
}

func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if w.fail != nil {
		if n, err := w.fail(w.calls, p); err != nil {
			w.out.Write(p[:n])
			return n, err
		}
	}
	return w.out.Write(p)
}

func TestOneWritePerGroup(t *testing.T) {
	var w writer
	g := New(&w, "").Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	for i := range int64(5) {
		g.Add(sinktest.Now, sinktest.Window(i, []byte("{\n\"n\":\r\n1}")))
	}
	if err := g.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(w.out.String(), "\n"); w.calls != 1 || n != 5 {
		t.Errorf("%d lines in %d writes, want 5 in 1", n, w.calls)
	}
}

func TestGoesOnAfterAnError(t *testing.T) {
	w := writer{fail: func(call int, p []byte) (int, error) {
		if call == 1 {
			return 30, syscall.EAGAIN
		}
		return 0, nil
	}}
	g := New(&w, "").Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	g.Add(sinktest.Now, sinktest.Window(0, []byte("1")))
	want := g.Size()
	if err := g.Deliver(t.Context()); err == nil || errors.Is(err, sink.ErrPermanent) {
		t.Fatalf("got %v, want a passing error", err)
	}
	if err := g.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.out.Len() != want || !json.Valid(w.out.Bytes()) {
		t.Errorf("got %q", w.out.String())
	}
}

func TestClosedPipeIsPermanent(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	g := New(w, "").Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	g.Add(sinktest.Now, sinktest.Window(0, []byte("1")))
	if err := g.Deliver(t.Context()); !errors.Is(err, sink.ErrPermanent) {
		t.Errorf("got %v, want a permanent error", err)
	}
}
