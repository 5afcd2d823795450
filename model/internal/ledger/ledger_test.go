package ledger

import (
	"slices"
	"testing"
	"time"

	"github.com/windrow-io/windrow/model/internal/explore"
)

func search(m *Ledger, l explore.Limits) explore.Result[Step] {
	return explore.Search[State, Step](m, l)
}

// one is one pipeline, worked on by two workers, any number of takeovers, and of lost replies.
func one(records uint8) Bounds {
	return Bounds{Records: records, Workers: 2, Pipelines: 1, Ingesters: 1, Takeovers: Any, Lost: Any}
}

// TestExactlyOnce goes through everything within its bounds. What is not bounded may happen any number of times.
func TestExactlyOnce(t *testing.T) {
	flushed := func(b Bounds) Bounds { b.Flushes = Any; return b }
	direct := Bounds{Records: 2, Workers: 2, Pipelines: 1, Takeovers: Any, Lost: Any}
	cases := []struct {
		name  string
		model Ledger
		short bool
	}{
		{"any pipeline of two records, Redis loses anything at any time", Ledger{Setup: Setup{Forgetful: true}, Bounds: flushed(one(2))}, true},
		{"any pipeline of three records, Redis loses anything at any time", Ledger{Setup: Setup{Forgetful: true}, Bounds: flushed(one(3))}, false},
		{"trimmed by its own positions", Ledger{Bounds: one(2)}, false},
		{"a latecomer", Ledger{Setup: Setup{Latecomer: true}, Bounds: one(2)}, true},
		{"MongoDB", Ledger{Setup: Setup{Mongo: true}, Bounds: Bounds{Records: 2, Workers: 2, Pipelines: 1, Ingesters: 1, Takeovers: 2, Lost: 1}}, false},
		{"the direct lane", Ledger{Setup: Setup{Direct: true}, Bounds: direct}, true},
		{"two pipelines", Ledger{Bounds: Bounds{Records: 2, Workers: 1, Pipelines: 2, Ingesters: 1, Takeovers: 2}}, false},
		{"two pipelines on the direct lane", Ledger{Setup: Setup{Direct: true}, Bounds: Bounds{Records: 2, Workers: 1, Pipelines: 2, Takeovers: Any, Lost: Any}}, false},
	}
	for _, c := range cases {
		if testing.Short() && !c.short {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := search(&c.model, explore.Limits{Time: 5 * time.Minute})
			if !r.Complete || r.Violation != "" {
				t.Fatalf("%s: %v (complete: %v, %d states)", r.Violation, r.Trace, r.Complete, r.States)
			}
			t.Logf("%d states, depth %d, %v", r.States, r.Depth, r.Took)
		})
	}
}

func TestEveryRuleIsNeeded(t *testing.T) {
	few := Bounds{Records: 2, Workers: 2, Pipelines: 1, Ingesters: 1, Takeovers: 3, Lost: 1}
	with := func(change func(*Ledger)) Ledger {
		m := Ledger{Bounds: few}
		change(&m)
		return m
	}
	plain := with(func(*Ledger) {})
	twoIngesters := with(func(m *Ledger) { m.Bounds.Ingesters = 2 })
	oldBroker := with(func(m *Ledger) { m.Setup.OldBroker = true })
	latecomer := with(func(m *Ledger) { m.Setup.Latecomer = true })
	direct := with(func(m *Ledger) { m.Setup.Direct, m.Bounds.Pipelines = true, 2 })
	mongo := with(func(m *Ledger) { m.Setup.Mongo = true })
	cases := []struct {
		rule      string
		model     Ledger
		violation string
		steps     int // of the shortest story
	}{
		{"NewEpochAfterError", plain, "twice: a record is in two windows", 9},
		{"AbortByNextEpoch", oldBroker, "twice: a record is in two windows", 12},
		{"FenceBeforeRead", plain, "twice: a record is in two windows", 13},
		{"ReadToMark", plain, "twice: a record is in two windows", 13},
		{"ReplayInLogOrder", plain, "twice: a record is in two windows", 15},
		{"FillGaps", plain, "lost: a gap was accepted", 5},
		{"WatchTail", plain, "stuck: an owner waits for records that its group has given to another reader", 8},
		{"CompareTail", twoIngesters, "the lane is not its source", 4},
		{"StartFromJournal", latecomer, "lost: what the journal says is in windows is not what is in the output", 7},
		{"PublishConfirmed", latecomer, "stuck: a shard that never began is taken for one whose journal is lost", 8},
		{"PublishConfirmed", direct, "lost: a taker of pipeline 0 needs records that are gone", 11},
		{"TrimConfirmed", direct, "lost: a taker of pipeline 1 needs records that are gone", 12},
		{"TrimForJournaled", direct, "lost: a taker of pipeline 1 needs records that are gone", 7},
		{"OwnCursor", direct, "lost: a gap was accepted", 9},
		{"WriteAfterCommit", mongo, "twice: MongoDB has a window that the journal does not know", 6},
		{"WriteConfirmed", mongo, "twice: MongoDB has a window that the journal does not know", 7},
		{"DeliveredAcknowledged", mongo, "lost: a window that is said to be delivered is not in MongoDB", 10},
		{"RewriteUndelivered", mongo, "lost: a window that is said to be delivered is not in MongoDB", 13},
	}
	var tested []string
	for _, c := range cases {
		tested = append(tested, c.rule)
		t.Run(c.rule, func(t *testing.T) {
			if err := explore.Break(&c.model.Broken, c.rule); err != nil {
				t.Fatal(err)
			}
			r := search(&c.model, explore.Limits{})
			if r.Violation != c.violation || len(r.Trace) != c.steps {
				t.Errorf("found %q in %d steps, want %q in %d: %v", r.Violation, len(r.Trace), c.violation, c.steps, r.Trace)
			}
		})
	}
	if all := explore.Names(&Rules{}); !slices.Equal(all, slices.Compact(tested)) {
		t.Errorf("the rules are %v, tested are %v", all, tested)
	}
}
