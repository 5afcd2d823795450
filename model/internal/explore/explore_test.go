package explore

import (
	"fmt"
	"strings"
	"testing"
)

// counter goes up and down between 0 and 9; at 9 it may fall back to 0, at bad it breaks its promise.
type counter struct{ bad int }

type move int

func (m move) String() string { return fmt.Sprint(int(m)) }

func (counter) Initial() int { return 0 }

func (counter) Next(s *int, step func(move, int)) {
	if *s < 9 {
		step(1, *s+1)
	}
	if *s > 0 {
		step(-1, *s-1)
	}
	if *s == 9 {
		step(-9, 0)
	}
}

func (c counter) Check(s *int) string {
	if *s == c.bad {
		return "bad"
	}
	return ""
}

func TestSearchSeesEverything(t *testing.T) {
	r := Search(counter{bad: -1}, Limits{})
	if !r.Complete || r.Violation != "" || r.States != 10 || r.Depth != 9 || r.Steps != 19 {
		t.Errorf("got %+v", r)
	}
}

func TestSearchFindsTheShortestWay(t *testing.T) {
	r := Search(counter{bad: 4}, Limits{})
	if r.Violation != "bad" || fmt.Sprint(r.Trace) != "[1 1 1 1]" {
		t.Errorf("got %+v", r)
	}
	if r := Search(counter{bad: 0}, Limits{}); r.Violation != "bad" || len(r.Trace) != 0 || r.Complete {
		t.Errorf("in the initial state: got %+v", r)
	}
}

func TestSearchSaysThatItGaveUp(t *testing.T) {
	r := Search(counter{bad: -1}, Limits{States: 5})
	if r.Complete || r.States < 5 || r.States > 6 {
		t.Errorf("got %+v", r)
	}
}

func TestLasso(t *testing.T) {
	up := func(m move) bool { return m > 0 }
	fall := func(m move) bool { return m == -9 }
	none := func(move) bool { return false }
	all := FindLasso(counter{}, none, []func(move) bool{up, fall}, 0)
	if !all.Found || !all.Complete || all.States != 10 {
		t.Fatalf("got %+v", all)
	}
	at := 0
	for _, m := range all.Stem {
		at += int(m)
	}
	start, falls := at, 0
	for _, m := range all.Cycle {
		at += int(m)
		if m == -9 {
			falls++
		}
		if at < 0 || at > 9 {
			t.Fatalf("not a walk: %v, then %v", all.Stem, all.Cycle)
		}
	}
	if at != start || falls == 0 {
		t.Errorf("not a cycle with a fall: %v, then %v", all.Stem, all.Cycle)
	}
	if l := FindLasso(counter{}, up, []func(move) bool{fall}, 0); l.Found {
		t.Errorf("without going up there is no cycle, got %v, then %v", l.Stem, l.Cycle)
	}
	if l := FindLasso(counter{}, none, nil, 3); l.Complete {
		t.Error("gave up, and calls it complete")
	}
}

func TestBreak(t *testing.T) {
	var rules struct{ First, Second bool }
	if err := Break(&rules, "Second"); err != nil || rules.First || !rules.Second {
		t.Errorf("got %+v, %v", rules, err)
	}
	err := Break(&rules, "Third")
	if err == nil || !strings.Contains(err.Error(), "First, Second") {
		t.Errorf("got %v", err)
	}
	if n := fmt.Sprint(Names(&rules)); n != "[First Second]" {
		t.Errorf("got %s", n)
	}
}
