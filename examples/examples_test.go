// Package examples_test runs the examples: each is a file of variables, .env, what comes in, .in, and what comes out of it,
// .out.
package examples_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/windrow-io/windrow/internal/config"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink/windowjson"
	"github.com/windrow-io/windrow/pkg/window"
)

var rewrite = flag.Bool("rewrite", false, "write what comes out into *.out instead of comparing")

// day is the one on which all examples play.
var day = time.Date(2026, time.January, 31, 0, 0, 0, 0, time.UTC)

// out writes down what comes out.
type out struct{ strings.Builder }

func (o *out) Window(w *window.Window) { fmt.Fprintf(o, "%s\n", windowjson.Append(nil, w)) }

func (o *out) Reject(r *record.Record, reason error) {
	fmt.Fprintf(o, "dead letter: %s: %v\n", r.Value, reason)
}

// line is one of the input: when it was received, and unless it only says what time it is, the record.
type line struct {
	at     int64
	record *record.Record
}

// read reads lines of a time of receipt, a key (-: none) and a value. A time behind an @ is the record's timestamp.
func read(t *testing.T, path string) (lines []line) {
	t.Helper()
	moment := func(text string) int64 {
		at, err := time.Parse(time.TimeOnly, text)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return day.Add(at.Sub(at.Truncate(24 * time.Hour))).UnixMilli()
	}
	for i, text := range strings.Split(strings.TrimSpace(file(t, path)), "\n") {
		words := strings.SplitN(text, " ", 3)
		received, stamp, ok := strings.Cut(words[0], "@")
		if !ok {
			stamp = received
		}
		l := line{at: moment(received)}
		if len(words) == 3 {
			l.record = &record.Record{Topic: "events", Offset: int64(i), Timestamp: moment(stamp), Received: l.at, Value: []byte(words[2])}
			if words[1] != "-" {
				l.record.Key = []byte(words[1])
			}
		}
		lines = append(lines, l)
	}
	return lines
}

func file(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// configure loads a file of variables as a program would find them.
func configure(t *testing.T, path string) *config.Config {
	t.Helper()
	for _, text := range strings.Split("STREAM=example\nSINK=stdout\nREDIS_URL=redis://localhost:6379\nKAFKA_BROKERS=localhost:9092\n"+file(t, path), "\n") {
		if name, value, ok := strings.Cut(text, "="); ok && text[0] != '#' {
			t.Setenv(name, strings.Trim(value, "'"))
		}
	}
	c, err := config.Load(config.ProgramProcess)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return c
}

func TestExamples(t *testing.T) {
	paths, err := filepath.Glob("*.env")
	if err != nil || len(paths) < 10 {
		t.Fatalf("%d examples: %v", len(paths), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(path, ".env")
		t.Run(name, func(t *testing.T) {
			m, err := window.New(configure(t, path).Window(), "events/0")
			if err != nil {
				t.Fatal(err)
			}
			o := &out{}
			lines := read(t, name+".in")
			for len(lines) > 0 {
				n := slices.IndexFunc(lines, func(l line) bool { return l.at != lines[0].at })
				if n < 0 {
					n = len(lines)
				}
				step(m, lines[:n], o)
				lines = lines[n:]
			}
			if *rewrite {
				if err := os.WriteFile(name+".out", []byte(o.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := file(t, name+".out"); o.String() != want {
				t.Errorf("out comes\n%swant\n%s", o, want)
			}
		})
	}
}

// step hands over what was received at one moment.
func step(m *window.Machine, lines []line, o *out) {
	var records []record.Record
	for _, l := range lines {
		if l.record != nil {
			records = append(records, *l.record)
		}
	}
	if m.NeedsLanes() {
		m.Lanes([]window.Lane{{Topic: "events", AtEnd: true, Got: len(records) > 0}})
	}
	m.Step(lines[0].at, window.Each(records), o)
}
