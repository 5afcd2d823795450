package chaos

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// window makes one of these records of partition 0.
func window(seq int64, records ...int) lab.Window {
	w := lab.Window{Shard: "t/0", Seq: seq, Count: len(records)}
	for _, i := range records {
		text, err := json.Marshal(job.Input{I: i})
		if err != nil {
			panic(err) // plain fields
		}
		w.Data = append(w.Data, text)
	}
	return w
}

func TestTally(t *testing.T) {
	const sent = 4
	for name, c := range map[string]struct {
		windows     []lab.Window
		lost, twice int
		others      string
	}{
		"exact":               {windows: []lab.Window{window(1, 2, 3), window(0, 0, 1)}},
		"lost":                {windows: []lab.Window{window(0, 0, 1), window(1, 3)}, lost: 1},
		"lost at the end":     {windows: []lab.Window{window(0, 0, 1)}, lost: 2},
		"twice":               {windows: []lab.Window{window(0, 0, 1), window(1, 1, 2, 3)}, twice: 1, others: "comes after"},
		"another order":       {windows: []lab.Window{window(0, 0, 2), window(1, 1, 3)}, others: "comes after"},
		"a window is missing": {windows: []lab.Window{window(0, 0, 1), window(2, 2, 3)}, others: "is number 2"},
		"never sent":          {windows: []lab.Window{window(0, 0, 1), window(1, 2, 3, 4)}, others: "was never sent"},
	} {
		got := count(c.windows, sent, false, func(in job.Input) bool { return in.P == 0 && in.I < sent })
		if got.In != sent || got.Windows != len(c.windows) || got.Lost != c.lost || got.Twice != c.twice {
			t.Errorf("%s: %+v", name, got)
		}
		if others := strings.Join(got.Others, "; "); !strings.Contains(others, c.others) || c.others == "" && others != "" {
			t.Errorf("%s: what else is wrong: %q, want %q", name, others, c.others)
		}
		if exact := len(got.exactlyOnce()) == 0; exact != (name == "exact") {
			t.Errorf("%s: exactly once: %v", name, exact)
		}
	}
}

func TestReportShowsEverything(t *testing.T) {
	dir := t.TempDir()
	results := []Result{
		{
			Name: "a story", Does: "something is done", Expects: exactlyOnce, Verdict: passed, Recovery: 1.5,
			Faults:     []Fault{{Seconds: 2, What: "<a fault>", Lasted: 0.5, Recovered: 1.5}},
			Tally:      Tally{In: 12345, Windows: 246},
			Memory:     []Curve{{Name: "redis", Limit: 8 << 20, Points: []Point{{0, 1 << 20}, {1, 4 << 20}}}},
			Throughput: []Curve{{Name: throughput, Points: []Point{{0, 0}, {1, 4000}}}},
		},
		{Name: "another", Verdict: failed, Wrong: []string{"a record is lost"}, Tally: Tally{In: 5, Lost: 1}},
	}
	if err := writeReport(dir, time.Now(), results); err != nil {
		t.Fatal(err)
	}
	for file, wants := range map[string][]string{
		"report.json": {`"name": "a story"`, `"lost": 1`, `"recovered": 1.5`, `"lasted": 0.5`},
		"report.md":   {"2 scenarios, 1 failed", "| a story | exactly once | 1 | 12345 | 246 | 0 | 0 | 1.5 | passed |", "**wrong**: a record is lost"},
		"report.html": {"a story", "&lt;a fault&gt;", "limit of redis", "1 of 2", `d="M0 130L460 `, "a record is lost", "12\u202f345"},
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q", file, want)
			}
		}
	}
}

// docs/GUARANTEES.md names scenarios like this: chaos, *one*, *another*.
func TestGuaranteesNameScenarios(t *testing.T) {
	text, err := os.ReadFile("../../docs/GUARANTEES.md")
	if err != nil {
		t.Fatal(err)
	}
	exist := map[string]bool{}
	for _, s := range scenarios {
		exist[s.name] = true
	}
	named := 0
	for _, list := range regexp.MustCompile(`chaos((?:, \*[^*]+\*)+)`).FindAllStringSubmatch(string(text), -1) {
		for _, m := range regexp.MustCompile(`\*([^*]+)\*`).FindAllStringSubmatch(list[1], -1) {
			named++
			if !exist[m[1]] {
				t.Errorf("docs/GUARANTEES.md names the scenario %q, which does not exist", m[1])
			}
		}
	}
	if named < 10 {
		t.Errorf("docs/GUARANTEES.md names %d scenarios", named)
	}
}

func TestWindowInADeadLetter(t *testing.T) {
	const window = `{"id":"b","shard":"s","seq":3,"count":1,"data":[{"p":0,"i":1}]}`
	for _, text := range []string{window, `{"id":"a","reason":"handler","window":` + window + `}`} {
		if w, err := windowIn([]byte(text)); err != nil || w.ID != "b" || w.Seq != 3 || len(w.Data) != 1 {
			t.Errorf("%s: %+v, %v", text, w, err)
		}
	}
}
