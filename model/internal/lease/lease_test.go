package lease

import (
	"slices"
	"testing"

	"github.com/windrow-io/windrow/model/internal/explore"
)

func lasso(m *Lease) explore.Lasso[Step] {
	return explore.FindLasso[State, Step](m, Progress, []func(Step) bool{TimePasses}, 0)
}

// Though every renewal may be lost and a takeover lasts longer than a lease, somebody commits again and again: so long as
// the longest wait is longer than the takeovers of all workers, one after the other.
func TestSomebodyCommitsAgainAndAgain(t *testing.T) {
	for _, b := range []Bounds{
		{Workers: 2, TTL: 2, Takeover: 1, MaxWait: 2},
		{Workers: 2, TTL: 2, Takeover: 5, MaxWait: 8},
		{Workers: 3, TTL: 2, Takeover: 5, MaxWait: 12},
	} {
		if testing.Short() && b.Workers > 2 {
			continue
		}
		l := lasso(&Lease{Bounds: b})
		if l.Found || !l.Complete {
			t.Errorf("%+v: after %v, for ever %v", b, l.Stem, l.Cycle)
		}
		t.Logf("%+v: %d states", b, l.States)
	}
}

// The bound is a real one: with shorter waits workers can fence each other for ever.
func TestTheLongestWaitMustOutlastTheTakeovers(t *testing.T) {
	for _, b := range []Bounds{
		{Workers: 2, TTL: 2, Takeover: 5, MaxWait: 5},
		{Workers: 3, TTL: 2, Takeover: 5, MaxWait: 8},
	} {
		l := lasso(&Lease{Bounds: b})
		if !l.Found || slices.ContainsFunc(l.Cycle, Progress) || !slices.ContainsFunc(l.Cycle, TimePasses) {
			t.Errorf("%+v: found %v, a cycle of %v", b, l.Found, l.Cycle)
		}
	}
}

func TestEveryRuleIsNeeded(t *testing.T) {
	var tested []string
	for _, c := range []struct {
		rule        string
		stem, cycle int // steps
	}{
		{"AskLease", 8, 4}, {"StepBack", 17, 8}, {"DoubleWait", 3, 9},
	} {
		tested = append(tested, c.rule)
		m := &Lease{Bounds: Bounds{Workers: 2, TTL: 2, Takeover: 5, MaxWait: 8}}
		if err := explore.Break(&m.Broken, c.rule); err != nil {
			t.Fatal(err)
		}
		l := lasso(m)
		if !l.Found || len(l.Stem) != c.stem || len(l.Cycle) != c.cycle {
			t.Errorf("%s: found %v, %d steps into a cycle of %d, want %d and %d: %v, for ever %v",
				c.rule, l.Found, len(l.Stem), len(l.Cycle), c.stem, c.cycle, l.Stem, l.Cycle)
		}
	}
	if all := explore.Names(&Rules{}); !slices.Equal(all, tested) {
		t.Errorf("the rules are %v, tested are %v", all, tested)
	}
}

func settles(m *Standby) explore.Lasso[Round] {
	return explore.FindLasso[StandbyState, Round](m, Settled, []func(Round) bool{LookOf(0), LookOf(1)}, 0)
}

func TestTheNewestSettingsHoldInTheEnd(t *testing.T) {
	if l := settles(&Standby{}); l.Found || !l.Complete {
		t.Errorf("after %v, for ever %v", l.Stem, l.Cycle)
	}
	var tested []string
	for _, rule := range []string{"NewestHolds", "TieBroken"} {
		tested = append(tested, rule)
		m := &Standby{}
		if err := explore.Break(&m.Broken, rule); err != nil {
			t.Fatal(err)
		}
		l := settles(m)
		if !l.Found {
			t.Errorf("with %s broken the settings settle all the same", rule)
		}
		t.Logf("%s: after %v, for ever %v", rule, l.Stem, l.Cycle)
	}
	if all := explore.Names(&StandbyRules{}); !slices.Equal(all, tested) {
		t.Errorf("the rules are %v, tested are %v", all, tested)
	}
}
