package replay

import (
	"slices"
	"testing"

	"github.com/windrow-io/windrow/model/internal/explore"
)

func search(r *Replay) explore.Result[Step] { return explore.Search[State, Step](r, explore.Limits{}) }

func TestHistoryGoesWithTheOutput(t *testing.T) {
	cases := []struct {
		name   string
		bounds Bounds
		short  bool
	}{
		{"one lane", Bounds{Lanes: 1, Records: 4, Takeovers: 3, Timeouts: 2}, true},
		{"two lanes of two records", Bounds{Lanes: 2, Records: 2, Takeovers: 3, Timeouts: 1}, true},
		{"two lanes of three records", Bounds{Lanes: 2, Records: 3, Takeovers: 2, Timeouts: 1}, false},
	}
	for _, c := range cases {
		if testing.Short() && !c.short {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			r := search(&Replay{Bounds: c.bounds})
			if !r.Complete || r.Violation != "" {
				t.Fatalf("%s: %v", r.Violation, r.Trace)
			}
			t.Logf("%d states, depth %d, %v", r.States, r.Depth, r.Took)
		})
	}
}

func TestEveryRuleIsNeeded(t *testing.T) {
	cases := []struct {
		rule, violation string
		steps           int // of the shortest story
	}{
		{"EachStepDecided", "twice: a replay makes other windows than were delivered", 4},
		{"LanesInOrder", "twice: a replay makes other windows than were delivered", 4},
		{"ChangeDecided", "twice: a replay makes other windows than were delivered", 5},
		{"ReplayUnderJournaled", "stuck: a replay makes another number of windows than the journal says", 3},
		{"PointBehindCovered", "lost or twice: the replayed state does not go with the output", 4},
		{"LaterBehindPoint", "lost or twice: the replayed state does not go with the output", 7},
	}
	var tested []string
	for _, c := range cases {
		tested = append(tested, c.rule)
		t.Run(c.rule, func(t *testing.T) {
			m := &Replay{Bounds: Bounds{Lanes: 2, Records: 3, Takeovers: 3, Timeouts: 1}}
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
