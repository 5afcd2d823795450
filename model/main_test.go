package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/model/internal/explore"
)

func TestEverySearchStarts(t *testing.T) {
	var seen []string
	for _, s := range searches {
		f, err := s.run(nil, explore.Limits{States: 2000})
		if err != nil || f.violation != "" || f.states < 1000 {
			t.Errorf("%s: %v, %+v", s.name, err, f)
		}
		if slices.Contains(seen, s.name) || s.bounds == "" {
			t.Errorf("%s: bounds %q, or not the only one of its name", s.name, s.bounds)
		}
		seen = append(seen, s.name)
	}
}

func TestBrokenRuleTellsItsStory(t *testing.T) {
	i := slices.IndexFunc(searches, func(s search) bool { return s.name == "ledger-any-pipeline-3" })
	f, err := searches[i].run([]string{"FillGaps"}, explore.Limits{})
	if err != nil || f.violation == "" || len(f.story) == 0 {
		t.Fatalf("%v, %+v", err, f)
	}
	if last := f.story[len(f.story)-1]; !strings.HasSuffix(last, "over a gap") {
		t.Errorf("the story ends with %q", last)
	}
	if !strings.HasPrefix(f.verdict(), "BROKEN") {
		t.Errorf("the verdict is %q", f.verdict())
	}
	if _, err := searches[i].run([]string{"NoSuchRule"}, explore.Limits{}); err == nil {
		t.Error("an unknown rule is no error")
	}
}

// TestGuaranteesNameSearchesThatExist: a promise is worth what its search is. A name that ends in … stands for those that begin so.
func TestGuaranteesNameSearchesThatExist(t *testing.T) {
	text, err := os.ReadFile("../docs/GUARANTEES.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:ledger|journal|replay|lease)-[\\w-]+?)(-?…)?`").FindAllSubmatch(text, -1)
	if len(named) < 10 {
		t.Fatalf("the guarantees name %d searches", len(named))
	}
	for _, m := range named {
		name, all := string(m[1]), len(m[2]) > 0
		if !slices.ContainsFunc(searches, func(s search) bool { return s.name == name || all && strings.HasPrefix(s.name, name) }) {
			t.Errorf("docs/GUARANTEES.md names the search %s, which does not exist", m[0])
		}
	}
}
