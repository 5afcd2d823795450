package tee

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/stdout"
	"github.com/windrow-io/windrow/pkg/window"
)

// inside is a transactional sink that notes what is added; its batches are as many as windows and letters.
type inside struct {
	name  string
	check error
}

func (s inside) Transactional() bool { return true }
func (s inside) Group(_, _, shard string) sink.Group {
	return &insideGroup{topic: s.name + " " + shard}
}
func (s inside) Check(context.Context) error { return s.check }
func (s inside) Close(context.Context) error { return nil }

type insideGroup struct {
	topic string
	n     int
}

func (g *insideGroup) Add(int64, *window.Window)     { g.n++ }
func (g *insideGroup) Dead(int64, *sink.Dead)        { g.n++ }
func (g *insideGroup) Len() int                      { return g.n }
func (g *insideGroup) Size() int                     { return 1000 * g.n }
func (g *insideGroup) Deliver(context.Context) error { return errors.New("is not to be delivered") }
func (g *insideGroup) Reset()                        { g.n = 0 }
func (g *insideGroup) Batches() []wire.Batch {
	var b []wire.Batch
	for range g.n {
		b = append(b, wire.Batch{Topic: g.topic})
	}
	return b
}

// writer fails as often as it is told to.
type writer struct {
	bytes.Buffer
	fails int
}

func (w *writer) Write(p []byte) (int, error) {
	if w.fails > 0 {
		w.fails--
		return 0, errors.New("not now")
	}
	return w.Buffer.Write(p)
}

func (w *writer) lines() int { return strings.Count(w.String(), "\n") }

func win(seq int64) *window.Window {
	return &window.Window{Stream: "s", Pipeline: "p", Shard: "in/0", Seq: seq, Reason: "count"}
}

func letter() *sink.Dead { return &sink.Dead{Window: win(9), Reason: "handler", Err: errors.New("no")} }

func TestWindowsGoToAll(t *testing.T) {
	var a, b writer
	s := New(0, inside{name: "k"}, stdout.New(&a, ""), stdout.New(&b, ""))
	if s.Transactional() {
		t.Error("two of three are outside the transaction")
	}
	g := s.Group("s", "p", "in/0")
	g.Add(1, win(0))
	g.Add(2, win(1))
	g.Dead(3, letter()) // to the first alone
	if g.Len() != 3 || g.Size() <= 3000 {
		t.Errorf("%d added, %d bytes", g.Len(), g.Size())
	}
	if batches := g.Batches(); len(batches) != 3 || batches[0].Topic != "k in/0" {
		t.Errorf("batches %v", batches)
	}
	b.fails = 2
	for range 2 {
		if err := g.Deliver(t.Context()); err == nil {
			t.Error("delivered, though the last sink failed")
		}
	}
	if err := g.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a.lines() != 2 || b.lines() != 2 {
		t.Errorf("%d and %d lines, want 2 each", a.lines(), b.lines())
	}
	g.Reset()
	if g.Len() != 0 || g.Size() != 0 || len(g.Batches()) != 0 {
		t.Error("not empty after Reset")
	}
	g.Add(4, win(2))
	if err := g.Deliver(t.Context()); err != nil || a.lines() != 3 || b.lines() != 3 {
		t.Errorf("after Reset: %v, %d and %d lines", err, a.lines(), b.lines())
	}
}

// What was committed before a takeover is written again outside the transaction, and not in it.
func TestOutside(t *testing.T) {
	for dead, want := range map[int][2]int{0: {0, 1}, 1: {0, 2}} {
		t.Run(fmt.Sprint("dead letters to ", dead), func(t *testing.T) {
			var a writer
			g := New(dead, inside{name: "k"}, stdout.New(&a, "")).Group("s", "p", "in/0")
			again := sink.Outside(g)
			again.Add(1, win(0))
			again.Dead(2, letter())
			if err := g.Deliver(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(g.Batches()) != want[0] || a.lines() != want[1] {
				t.Errorf("%d batches, %d lines, want %v", len(g.Batches()), a.lines(), want)
			}
			g.Add(3, win(1)) // a new one beside them
			if len(g.Batches()) != 1 {
				t.Errorf("%d batches with a new window", len(g.Batches()))
			}
		})
	}
	g := stdout.New(&writer{}, "").Group("s", "p", "x")
	if sink.Outside(g) != g {
		t.Error("a single sink's group is not all of it")
	}
}

func TestCheckTellsAll(t *testing.T) {
	s := New(0, inside{name: "a", check: errors.New("one")}, inside{name: "b", check: errors.New("two")})
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "one") || !strings.Contains(err.Error(), "two") {
		t.Errorf("got %v", err)
	}
	if !s.Transactional() {
		t.Error("both are transactional")
	}
}
