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
	if name, value, ok := strings.Cut(line, ": "); ok { // may have spaces in it
		expressions := map[string]*string{
			"aggregate": &s.Aggregate, "filter": &s.Filter, "map": &s.Map, "query": &s.Query, "ready": &s.Ready, "open": &s.Open,
			"when": &s.When, "order": &s.OrderBy,
		}
		to := expressions[name]
		if to == nil {
			return fmt.Errorf("no expression %q", name)
		}
		*to = value
		return nil
	}
	settings := map[string]any{
		"emitter": &s.Emitter, "size": &s.Size, "interval": &s.Interval, "timeout": &s.Timeout, "bytes": &s.Bytes,
		"lateness": &s.AllowedLateness, "early": &s.EmitEarly, "gap": &s.Gap, "longest": &s.MaxLength, "offset": &s.Offset,
		"calendar": &s.Calendar, "zone": &s.Zone, "event": &s.EventTime, "format": &s.EventTimeFormat, "delay": &s.WatermarkDelay,
		"idle": &s.WatermarkIdle, "future": &s.MaxFuture, "late": &s.Late, "bad": &s.BadField, "key": &s.Key, "keys": &s.MaxKeys,
		"idle-key": &s.KeyTimeout, "dedupe": &s.Dedupe, "within": &s.DedupeWithin, "remember": &s.DedupeMax, "empty": &s.EmitEmpty,
		"catch-up": &s.CatchUp, "max": &s.StateMaxBytes,
	}
	for _, word := range strings.Fields(line) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "dedupe":
			s.DedupeMax = 100
		case "slide": // of records, or of time
			if settings[name] = &s.SlideSize; strings.ContainsAny(value, "hms") {
				settings[name] = &s.Slide
			}
		}
		switch to := settings[name].(type) {
		case *string:
			*to = value
		case *emit.Calendar:
			*to = emit.Calendar(value)
		case *bool:
			*to, err = strconv.ParseBool(value)
		case *int:
			*to, err = strconv.Atoi(value)
		case *int64:
			*to, err = strconv.ParseInt(value, 10, 64)
		case *time.Duration:
			*to, err = time.ParseDuration(value)
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
