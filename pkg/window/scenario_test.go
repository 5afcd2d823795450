package window_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/aggregate"
	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/expression"
	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

var rewrite = flag.Bool("rewrite", false, "write what comes out into testdata/*.txt instead of comparing")

// A story is a file testdata/*.txt: blocks of a command with its input, a line ----, and what comes out, up to an empty
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
type story struct{ blocks []*block }

type block struct {
	before string // comments and empty lines
	line   int
	cmd    string
	input  []string
	want   string

	at       int64
	settings window.Settings
	records  []record.Record
	lanes    []window.Lane
}

func readStory(t *testing.T, path string) *story {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &story{}
	lines := strings.SplitAfter(string(text), "\n")
	for i := 0; i < len(lines); {
		b := &block{}
		for ; i < len(lines) && (strings.TrimSpace(lines[i]) == "" || lines[i][0] == '#'); i++ {
			b.before += lines[i]
		}
		if i == len(lines) {
			s.blocks = append(s.blocks, b)
			break
		}
		b.cmd, b.line = strings.TrimSpace(lines[i]), i+1
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "----"; i++ {
			b.input = append(b.input, strings.TrimSpace(lines[i]))
		}
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != ""; i++ {
			b.want += lines[i]
		}
		b.parse(t, path)
		s.blocks = append(s.blocks, b)
	}
	return s
}

func (b *block) parse(t *testing.T, path string) {
	t.Helper()
	fail := func(what any) { t.Fatalf("%s:%d: %s: %v", path, b.line, b.cmd, what) }
	words := strings.Fields(b.cmd)
	if len(words) == 2 {
		at, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			fail(err)
		}
		b.at = at
	}
	b.cmd = words[0]
	for _, line := range b.input {
		var err error
		switch b.cmd {
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

func (b *block) set(line string) (err error) {
	s := &b.settings
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
func (b *block) know(line string) {
	for _, word := range strings.Fields(line) {
		name, where, _ := strings.Cut(word, "=")
		b.lanes = append(b.lanes, window.Lane{Topic: name, AtEnd: where == "end"})
	}
}

func (b *block) record(line string) (err error) {
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
	b.records = append(b.records, r)
	return nil
}

// tape is an Out that writes down what comes: short for the reader, and every byte of it for comparing.
type tape struct{ short, full []string }

func (o *tape) Window(w *window.Window) {
	var s strings.Builder
	fmt.Fprintf(&s, "window %d", w.Seq)
	if w.Updates {
		fmt.Fprintf(&s, ".%d", w.Revision)
		if w.Final {
			s.WriteString(" final")
		}
	}
	if !w.Updates || !w.Final || w.Reason != emit.Final {
		fmt.Fprintf(&s, " %s", w.Reason)
	}
	if w.Keyed {
		fmt.Fprintf(&s, " key=%s", w.Key)
	}
	fmt.Fprintf(&s, " [%d %d]", w.Start, w.End)
	if w.Aggregate {
		fmt.Fprintf(&s, " of %d: %s", w.Count(), w.Records[0].Value)
	}
	for i := range w.Records {
		if w.Aggregate {
			break
		}
		fmt.Fprintf(&s, " %s@%d", w.Records[i].Topic, w.Records[i].Offset)
	}
	o.short = append(o.short, s.String())
	full := fmt.Appendf(nil, "%s %d %v %s %s %s %q %d %d %d %v %q %q %d|", w.ID(0), w.Revision, w.Final, w.Stream, w.Pipeline, w.Shard, w.Emitter, w.Seq, w.Start, w.End, w.Keyed, w.Key, w.Reason, w.Count())
	for i := range w.Records {
		full = w.Records[i].AppendBinary(full)
	}
	o.full = append(o.full, string(full))
}

func (o *tape) Reject(r *record.Record, reason error) {
	word := reason.Error()
	switch {
	case errors.Is(reason, window.ErrLate):
		word = "late"
	case errors.Is(reason, expression.ErrFailed) && !errors.Is(reason, field.ErrNotJSON):
		word = "fails"
	case errors.Is(reason, aggregate.ErrNotNumber):
		word = "no number"
	case errors.Is(reason, field.ErrNotTime):
		word = "no time"
	case errors.Is(reason, field.ErrMissing):
		word = "no key"
		if !strings.HasPrefix(reason.Error(), "@key") && !strings.HasPrefix(reason.Error(), "id") {
			word = "no field"
		}
	case errors.Is(reason, field.ErrNotJSON):
		word = "not JSON"
	}
	o.short = append(o.short, fmt.Sprintf("reject %s@%d: %s", r.Topic, r.Offset, word))
	o.full = append(o.full, string(r.AppendBinary(fmt.Appendf(nil, "reject %v ", reason))))
}

// play runs one block on m (nil before the settings) and returns the machine after it.
func (b *block) play(m *window.Machine, o *tape) (*window.Machine, error) {
	switch b.cmd {
	case "settings":
		return window.New(b.settings, "t/0")
	case "change":
		return m.Change(b.settings, b.at, o)
	case "flush":
		before := len(o.full)
		if n := m.Flush(o); n != len(o.full)-before {
			return nil, fmt.Errorf("Flush returned %d, but called out %d times", n, len(o.full)-before)
		}
	case "step":
		before := len(o.full)
		// The memory of the records is the caller's: it is overwritten after the Step.
		rs := make([]record.Record, len(b.records))
		for i := range b.records {
			rs[i] = b.records[i].Clone()
		}
		if b.lanes != nil {
			lanes := slices.Clone(b.lanes)
			for i := range lanes {
				lanes[i].Got = slices.ContainsFunc(rs, func(r record.Record) bool { return r.Topic == lanes[i].Topic })
			}
			m.Lanes(lanes)
		}
		n := m.Step(b.at, window.Each(rs), o)
		for i := range rs {
			for _, p := range [][]byte{rs[i].Key, rs[i].Value} {
				for j := range p {
					p[j] = '!'
				}
			}
		}
		if n != len(o.full)-before {
			return nil, fmt.Errorf("Step returned %d, but called out %d times", n, len(o.full)-before)
		}
	}
	return m, nil
}

func state(m *window.Machine) string {
	s := fmt.Sprintf("waiting %d", m.Waiting())
	if k := m.Keys(); k > 0 {
		s += fmt.Sprintf(" keys %d", k)
	}
	if w, ok := m.Watermark(); ok {
		s += fmt.Sprintf(" watermark %d", w)
	}
	if d := m.Deadline(); d > 0 {
		s += fmt.Sprintf(" deadline %d", d)
	}
	return s
}

// counted is what a Step counted.
func counted(now, before window.Counts) (s string) {
	for _, c := range []struct {
		name string
		n    int64
	}{
		{"late", now.Late - before.Late}, {"dropped", now.Dropped - before.Dropped}, {"future", now.Future - before.Future},
		{"skipped", now.Skipped - before.Skipped}, {"nulled", now.Nulled - before.Nulled}, {"filtered", now.Filtered - before.Filtered},
		{"duplicate", now.Duplicate - before.Duplicate}, {"forgotten", now.Forgotten - before.Forgotten}, {"unwanted", now.Unwanted - before.Unwanted},
	} {
		if c.n > 0 {
			s += fmt.Sprintf(" %s %d", c.name, c.n)
		}
	}
	return s
}

// TestScenarios tells the stories in testdata, and each again in other ways that must not matter.
func TestScenarios(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			s := readStory(t, path)
			want := s.tell(t, path)
			if t.Failed() {
				return
			}
			if again := s.replay(t, -1); !slices.Equal(again, want) {
				t.Errorf("told again it comes out otherwise:\n%q\nthan\n%q", again, want)
			}
			for i := range s.blocks {
				if got := s.replay(t, i); !slices.Equal(got, want) {
					t.Errorf("from a snapshot after line %d it comes out otherwise:\n%q\nthan\n%q", s.blocks[i].line, got, want)
				}
			}
			if got := s.merged(t); !slices.Equal(got, want) {
				t.Errorf("with merged steps it comes out otherwise:\n%q\nthan\n%q", got, want)
			}
		})
	}
}

// tell plays the story and compares what comes out with what is written, or writes it.
func (s *story) tell(t *testing.T, path string) []string {
	var m *window.Machine
	o := &tape{}
	var text strings.Builder
	for _, b := range s.blocks {
		text.WriteString(b.before)
		if b.cmd == "" {
			continue
		}
		from := len(o.short)
		var before window.Counts
		if m != nil {
			before = m.Counts()
		}
		next, err := b.play(m, o)
		var got strings.Builder
		for _, line := range o.short[from:] {
			got.WriteString(line + "\n")
		}
		if err != nil {
			got.WriteString(err.Error() + "\n")
		} else {
			m = next
			got.WriteString(state(m) + counted(m.Counts(), before) + "\n")
		}
		if b.at != 0 {
			fmt.Fprintf(&text, "%s %d\n", b.cmd, b.at)
		} else {
			text.WriteString(b.cmd + "\n")
		}
		for _, line := range b.input {
			text.WriteString(line + "\n")
		}
		text.WriteString("----\n" + got.String())
		if got.String() != b.want && !*rewrite {
			t.Errorf("%s:%d: %s: got\n%swant\n%s", path, b.line, b.cmd, got.String(), b.want)
		}
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return o.full
}

// replay plays the story once more; after block cut the machine is replaced by one made from its snapshot.
func (s *story) replay(t *testing.T, cut int) []string {
	t.Helper()
	var m *window.Machine
	var settings window.Settings
	o := &tape{}
	for i, b := range s.blocks {
		next, err := b.play(m, o)
		if err == nil {
			m = next
			if b.cmd == "settings" || b.cmd == "change" {
				settings = b.settings
			}
		}
		if i == cut && m != nil {
			m = restored(t, settings, m)
		}
	}
	return o.full
}

// restored is m after a snapshot and its restoration, with everything that can be seen from outside compared.
func restored(t *testing.T, s window.Settings, m *window.Machine) *window.Machine {
	t.Helper()
	snapshot := m.Snapshot(nil)
	r, err := window.Restore(s, "t/0", snapshot)
	if err != nil {
		t.Fatalf("restore: %v", err)
	}
	if again := r.Snapshot([]byte("before")); string(again) != "before"+string(snapshot) {
		t.Errorf("the snapshot of what was restored is another one:\n%x\n%x", again[6:], snapshot)
	}
	if got, want := state(r), state(m); got != want {
		t.Errorf("restored: %s, want %s", got, want)
	}
	if r.Bytes() != m.Bytes() {
		t.Errorf("restored: %d bytes wait, want %d", r.Bytes(), m.Bytes())
	}
	for i := range snapshot {
		snapshot[i] = '!' // it is the caller's
	}
	return r
}

// merged plays the story with every Step that gives nothing put together with the next one, where that must not matter.
func (s *story) merged(t *testing.T) []string {
	t.Helper()
	var m *window.Machine
	o := &tape{}
	var held []record.Record
	for i, b := range s.blocks {
		if m != nil && b.cmd == "step" && !m.NeedsTurns() {
			probe := &tape{}
			alone := *b
			alone.records = append(slices.Clone(held), b.records...)
			trial := restored(t, s.settingsAt(i), m)
			if _, err := alone.play(trial, probe); err != nil {
				t.Fatal(err)
			}
			last := i+1 == len(s.blocks) || s.blocks[i+1].cmd != "step"
			if len(probe.full) == 0 && !last {
				held = alone.records
				continue
			}
			b, held = &alone, nil
		}
		if next, err := b.play(m, o); err == nil {
			m = next
		}
	}
	return o.full
}

// settingsAt are the settings in force at block i.
func (s *story) settingsAt(i int) (settings window.Settings) {
	for _, b := range s.blocks[:i] {
		if (b.cmd == "settings" || b.cmd == "change") && b.settings.Validate() == nil {
			settings = b.settings
		}
	}
	return settings
}
