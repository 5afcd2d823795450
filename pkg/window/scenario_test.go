package window_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
	"github.com/windrow-io/windrow/pkg/window/windowtest"
)

var rewrite = flag.Bool("rewrite", false, "write what comes out into testdata/*.txt instead of comparing")

type (
	story struct{ *windowtest.Story }
	block = windowtest.Block
	tape  = windowtest.Tape
)

func readStory(t *testing.T, path string) story { return story{windowtest.Read(t, path)} }

// perform runs one block on m (nil before the settings) and returns the machine after it.
func perform(b *block, m *window.Machine, o *tape) (*window.Machine, error) {
	switch b.Cmd {
	case "settings":
		return window.New(b.Settings, "t/0")
	case "change":
		return m.Change(b.Settings, b.At, o)
	case "flush":
		before := len(o.Full)
		if n := m.Flush(o); n != len(o.Full)-before {
			return nil, fmt.Errorf("Flush returned %d, but called out %d times", n, len(o.Full)-before)
		}
	case "step":
		before := len(o.Full)
		// The memory of the records is the caller's: it is overwritten after the Step.
		rs := make([]record.Record, len(b.Records))
		for i := range b.Records {
			rs[i] = b.Records[i].Clone()
		}
		if b.Lanes != nil {
			lanes := slices.Clone(b.Lanes)
			for i := range lanes {
				lanes[i].Got = slices.ContainsFunc(rs, func(r record.Record) bool { return r.Topic == lanes[i].Topic })
			}
			m.Lanes(lanes)
		}
		n := m.Step(b.At, window.Each(rs), o)
		for i := range rs {
			for _, p := range [][]byte{rs[i].Key, rs[i].Value} {
				for j := range p {
					p[j] = '!'
				}
			}
		}
		if n != len(o.Full)-before {
			return nil, fmt.Errorf("Step returned %d, but called out %d times", n, len(o.Full)-before)
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
			for i := range s.Blocks {
				if got := s.replay(t, i); !slices.Equal(got, want) {
					t.Errorf("from a snapshot after line %d it comes out otherwise:\n%q\nthan\n%q", s.Blocks[i].Line, got, want)
				}
			}
			if got := s.merged(t); !slices.Equal(got, want) {
				t.Errorf("with merged steps it comes out otherwise:\n%q\nthan\n%q", got, want)
			}
		})
	}
}

// tell plays the story and compares what comes out with what is written, or writes it.
func (s story) tell(t *testing.T, path string) []string {
	var m *window.Machine
	o := &tape{}
	var text strings.Builder
	for _, b := range s.Blocks {
		text.WriteString(b.Before)
		if b.Cmd == "" {
			continue
		}
		from := len(o.Short)
		var before window.Counts
		if m != nil {
			before = m.Counts()
		}
		next, err := perform(b, m, o)
		var got strings.Builder
		for _, line := range o.Short[from:] {
			got.WriteString(line + "\n")
		}
		if err != nil {
			got.WriteString(err.Error() + "\n")
		} else {
			m = next
			got.WriteString(state(m) + counted(m.Counts(), before) + "\n")
		}
		if b.At != 0 {
			fmt.Fprintf(&text, "%s %d\n", b.Cmd, b.At)
		} else {
			text.WriteString(b.Cmd + "\n")
		}
		for _, line := range b.Input {
			text.WriteString(line + "\n")
		}
		text.WriteString("----\n" + got.String())
		if got.String() != b.Want && !*rewrite {
			t.Errorf("%s:%d: %s: got\n%swant\n%s", path, b.Line, b.Cmd, got.String(), b.Want)
		}
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return o.Full
}

// replay plays the story once more; after block cut the machine is replaced by one made from its snapshot.
func (s story) replay(t *testing.T, cut int) []string {
	t.Helper()
	var m *window.Machine
	var settings window.Settings
	o := &tape{}
	for i, b := range s.Blocks {
		next, err := perform(b, m, o)
		if err == nil {
			m = next
			if b.Cmd == "settings" || b.Cmd == "change" {
				settings = b.Settings
			}
		}
		if i == cut && m != nil {
			m = restored(t, settings, m)
		}
	}
	return o.Full
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
func (s story) merged(t *testing.T) []string {
	t.Helper()
	var m *window.Machine
	o := &tape{}
	var held []record.Record
	for i, b := range s.Blocks {
		if m != nil && b.Cmd == "step" && !m.NeedsTurns() {
			probe := &tape{}
			alone := *b
			alone.Records = append(slices.Clone(held), b.Records...)
			trial := restored(t, s.settingsAt(i), m)
			if _, err := perform(&alone, trial, probe); err != nil {
				t.Fatal(err)
			}
			last := i+1 == len(s.Blocks) || s.Blocks[i+1].Cmd != "step"
			if len(probe.Full) == 0 && !last {
				held = alone.Records
				continue
			}
			b, held = &alone, nil
		}
		if next, err := perform(b, m, o); err == nil {
			m = next
		}
	}
	return o.Full
}

// settingsAt are the settings in force at block i.
func (s story) settingsAt(i int) (settings window.Settings) {
	for _, b := range s.Blocks[:i] {
		if (b.Cmd == "settings" || b.Cmd == "change") && b.Settings.Validate() == nil {
			settings = b.Settings
		}
	}
	return settings
}
