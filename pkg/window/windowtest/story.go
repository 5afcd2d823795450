// Package windowtest reads the stories that the tests of package window tell, for tests that tell them elsewhere.
package windowtest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

// Story is a file testdata/*.txt: blocks of a command with its input, a line ----, and what comes out, up to an empty
// line. Lines that begin with # are for the reader.
//
//	settings               the settings, name=value, in one or more lines, or an expression, name: text; once, first
//	step <now>             a Step; input: a record a line, <lane>@<offset> <value> [key=] [ts=] [received=] [size=]
//	                       lanes <lane>=<end or behind> …: what is known of the lanes, for event time
//	flush                  a Flush
//	change <now>           new settings, as in settings; what isn't named is as if never set
//
// Records of a turn are written in the order in which they are read. ts is the offset if it is not given. Out comes a
// line for each window and each reject, and the state that is left.
type Story struct{ Blocks []*Block }

// Block is a command of a story; a last one without may have the end of the text.
type Block struct {
	Before string   // comments and empty lines
	Line   int      // where it begins
	Cmd    string   // its first word; empty: there is none
	Input  []string // its lines
	Want   string   // what comes out

	At       int64 // Unix milliseconds
	Settings window.Settings
	Records  []record.Record
	Lanes    []window.Lane
}

// Read reads the story at this path.
func Read(t testing.TB, path string) *Story {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &Story{}
	lines := strings.SplitAfter(string(text), "\n")
	for i := 0; i < len(lines); {
		b := &Block{}
		for ; i < len(lines) && (strings.TrimSpace(lines[i]) == "" || lines[i][0] == '#'); i++ {
			b.Before += lines[i]
		}
		if i == len(lines) {
			s.Blocks = append(s.Blocks, b)
			break
		}
		b.Cmd, b.Line = strings.TrimSpace(lines[i]), i+1
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "----"; i++ {
			b.Input = append(b.Input, strings.TrimSpace(lines[i]))
		}
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != ""; i++ {
			b.Want += lines[i]
		}
		b.parse(t, path)
		s.Blocks = append(s.Blocks, b)
	}
	return s
}

func (b *Block) parse(t testing.TB, path string) {
	t.Helper()
	fail := func(what any) { t.Fatalf("%s:%d: %s: %v", path, b.Line, b.Cmd, what) }
	words := strings.Fields(b.Cmd)
	if len(words) == 2 {
		at, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			fail(err)
		}
		b.At = at
	}
	b.Cmd = words[0]
	for _, line := range b.Input {
		var err error
		switch b.Cmd {
		case "settings", "change":
			err = b.set(line)
		case "step":
			if rest, ok := strings.CutPrefix(line, "lanes "); ok {
				b.know(rest)
			} else {
				err = b.record(line)
			}
		default:
			err = fmt.Errorf("no such command")
		}
		if err != nil {
			fail(err)
		}
	}
}

func (b *Block) set(line string) (err error) {
	s := &b.Settings
	s.Stream, s.Pipeline = "s", "p"
	duration := func(d *time.Duration, value string) (err error) { *d, err = time.ParseDuration(value); return err }
	if name, value, ok := strings.Cut(line, ": "); ok { // may have spaces in it
		switch name {
		case "aggregate":
			s.Aggregate = value
		case "filter":
			s.Filter = value
		case "map":
			s.Map = value
		case "query":
			s.Query = value
		case "ready":
			s.Ready = value
		case "open":
			s.Open = value
		case "when":
			s.When = value
		case "order":
			s.OrderBy = value
		default:
			err = fmt.Errorf("no expression %q", name)
		}
		return err
	}
	for _, word := range strings.Fields(line) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "emitter":
			s.Emitter = value
		case "size":
			s.Size, err = strconv.Atoi(value)
		case "interval":
			s.Interval, err = time.ParseDuration(value)
		case "timeout":
			s.Timeout, err = time.ParseDuration(value)
		case "bytes":
			s.Bytes, err = strconv.ParseInt(value, 10, 64)
		case "slide":
			if s.SlideSize, err = strconv.Atoi(value); err != nil {
				err = duration(&s.Slide, value)
			}
		case "lateness":
			err = duration(&s.AllowedLateness, value)
		case "early":
			err = duration(&s.EmitEarly, value)
		case "gap":
			err = duration(&s.Gap, value)
		case "longest":
			err = duration(&s.MaxLength, value)
		case "offset":
			err = duration(&s.Offset, value)
		case "calendar":
			s.Calendar = emit.Calendar(value)
		case "zone":
			s.Zone = value
		case "event":
			s.EventTime = value
		case "format":
			s.EventTimeFormat = value
		case "delay":
			err = duration(&s.WatermarkDelay, value)
		case "idle":
			err = duration(&s.WatermarkIdle, value)
		case "future":
			err = duration(&s.MaxFuture, value)
		case "late":
			s.Late = value
		case "bad":
			s.BadField = value
		case "key":
			s.Key = value
		case "keys":
			s.MaxKeys, err = strconv.Atoi(value)
		case "idle-key":
			err = duration(&s.KeyTimeout, value)
		case "dedupe":
			s.Dedupe = value
			s.DedupeMax = 100
		case "within":
			err = duration(&s.DedupeWithin, value)
		case "remember":
			s.DedupeMax, err = strconv.Atoi(value)
		case "empty":
			s.EmitEmpty, err = strconv.ParseBool(value)
		case "catch-up":
			s.CatchUp = value
		case "max":
			s.StateMaxBytes, err = strconv.ParseInt(value, 10, 64)
		default:
			err = fmt.Errorf("no setting %q", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// know takes in what is known of the lanes.
func (b *Block) know(line string) {
	for _, word := range strings.Fields(line) {
		name, where, _ := strings.Cut(word, "=")
		b.Lanes = append(b.Lanes, window.Lane{Topic: name, AtEnd: where == "end"})
	}
}

func (b *Block) record(line string) (err error) {
	words := strings.Fields(line)
	if len(words) < 2 {
		return fmt.Errorf("a record needs a place and a value: %q", line)
	}
	lane, offset, _ := strings.Cut(words[0], "@")
	r := record.Record{Topic: lane, Value: []byte(words[1])}
	if r.Offset, err = strconv.ParseInt(offset, 10, 64); err != nil {
		return err
	}
	r.Timestamp = r.Offset
	for _, word := range words[2:] {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "key":
			r.Key = []byte(value)
		case "ts":
			r.Timestamp, err = strconv.ParseInt(value, 10, 64)
		case "received":
			r.Received, err = strconv.ParseInt(value, 10, 64)
		case "size":
			var n int
			n, err = strconv.Atoi(value)
			r.Value = append(r.Value, strings.Repeat("x", max(0, n-len(r.Value)))...)
		default:
			err = fmt.Errorf("no field %q", name)
		}
		if err != nil {
			return err
		}
	}
	b.Records = append(b.Records, r)
	return nil
}
