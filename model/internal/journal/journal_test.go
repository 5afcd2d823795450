package journal

import (
	"slices"
	"testing"

	"github.com/windrow-io/windrow/model/internal/explore"
)

func search(m *Journal) explore.Result[Step] { return explore.Search[State, Step](m, explore.Limits{}) }

// Every log of up to six writes, whatever the cleaner does meanwhile and wherever the hint points.
func TestTakerReadsWhatWasWritten(t *testing.T) {
	writes := uint8(6)
	if testing.Short() {
		writes = 4
	}
	r := search(&Journal{Writes: writes})
	if !r.Complete || r.Violation != "" {
		t.Fatalf("%s: %v (%+v)", r.Violation, r.Trace, r)
	}
	t.Logf("%d writes: %d states, complete at depth %d", writes, r.States, r.Depth)
}

func TestEveryRuleIsNeeded(t *testing.T) {
	cases := []struct {
		rule, violation string
		steps           int // of the shortest story
	}{
		{"ChunkNamesCheckpoint", "mixed: a superseded taker has read what never was", 7},
		{"ChunkNamesCount", "mixed: a superseded taker has read what never was", 6},
		{"CompleteBeforeBase", "mixed: a superseded taker has read what never was", 6},
		{"CheckpointIsOneTransaction", "stuck: a taker misses what is not lost", 5},
		{"KeyPerDecision", "stuck: a taker misses what is not lost", 9},
		{"DecisionNamesPlace", "mixed: a superseded taker has read what never was", 6},
		{"HintChecked", "stuck: a taker misses what is not lost", 4},
	}
	var tested []string
	for _, c := range cases {
		tested = append(tested, c.rule)
		t.Run(c.rule, func(t *testing.T) {
			m := &Journal{Writes: 5}
			if err := explore.Break(&m.Broken, c.rule); err != nil {
				t.Fatal(err)
			}
			r := search(m)
			if r.Violation != c.violation || len(r.Trace) != c.steps {
				t.Errorf("found %q in %d steps, want %q in %d: %v", r.Violation, len(r.Trace), c.violation, c.steps, r.Trace)
			}
		})
	}
	if all := explore.Names(&Rules{}); !slices.Equal(all, tested) {
		t.Errorf("the rules are %v, tested are %v", all, tested)
	}
}
