package chaos

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

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

// part makes a part of a window.
func part(seq int64, part, parts, record int) lab.Window {
	w := window(seq, record)
	w.Part, w.Parts = part, parts
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
		"exact, in parts":     {windows: []lab.Window{part(0, 1, 3, 1), part(0, 0, 3, 0), part(0, 2, 3, 2), window(1, 3)}},
		"a part is missing":   {windows: []lab.Window{part(0, 0, 2, 0), window(1, 1, 2, 3)}, others: "not 0, part 1"},
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
		if exact := len(got.exactlyOnce()) == 0; exact != strings.HasPrefix(name, "exact") {
			t.Errorf("%s: exactly once: %v", name, exact)
		}
	}
}

// A curve ends while what it is of is away, not when all samples come late.
func TestCurvesBreak(t *testing.T) {
	gone := Curve{Points: []Point{{0, 1}, {1, 1}, {5, 1}, {9, 1}}}
	there := Curve{Points: []Point{{0, 2}, {1, 2}, {2, 2}, {3, 2}, {4, 2}, {5, 2}, {9, 2}}}
	lines := chart([]Curve{gone, there}, nil, "records").Lines
	if n, m := strings.Count(lines[0].Path, "M"), strings.Count(lines[1].Path, "M"); n != 2 || m != 1 {
		t.Errorf("the curves have %d and %d pieces: %s and %s", n, m, lines[0].Path, lines[1].Path)
	}
}

func TestOnce(t *testing.T) {
	sent := []int{2, 1}
	exact := []poison{{0, 0}, {1, 0}, {0, 1}}
	if err := once(exact, sent); err != nil {
		t.Error(err)
	}
	for name, letters := range map[string][]poison{
		"lost":       exact[1:],
		"twice":      append(exact[:3:3], poison{0, 1}),
		"never sent": append(exact[:3:3], poison{1, 1}),
	} {
		if once(letters, sent) == nil {
			t.Errorf("%s: nothing is wrong", name)
		}
	}
}

func TestReportShowsEverything(t *testing.T) {
	dir := t.TempDir()
	results := []Result{
		{
			Name: "a story", Does: "something is done", Expects: exactlyOnce, Verdict: passed, Recovery: 1.5, Busy: 1.3,
			Faults:     []Fault{{Seconds: 2, What: "<a fault>", Lasted: 0.5, Recovered: 1.5}},
			Tally:      Tally{In: 12345, Windows: 246},
			Memory:     []Curve{{Name: "redis", Limit: 6 << 20, Points: []Point{{0, 1 << 20}, {1, 4 << 20}}}, {Name: "far", Limit: 99 << 20, Points: []Point{{0, 1 << 20}}}},
			Throughput: []Curve{{Name: throughput, Points: []Point{{0, 0}, {1, 4000}}}},
		},
		{Name: "a loss", Verdict: passed, Tally: Tally{In: 9000, Lost: 2000, Due: 2000}, Takeover: &Takeover{Kills: 20, Median: 3.2, Worst: 4.8}},
		{Name: "another", Verdict: failed, Wrong: []string{"a record is lost"}, Tally: Tally{In: 5, Lost: 1}},
	}
	if err := writeReport(dir, time.Now(), results); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "limit of far") {
		t.Error("a limit is drawn that is far from its curve")
	}
	for file, wants := range map[string][]string{
		"report.json": {`"name": "a story"`, `"lost": 1`, `"recovered": 1.5`, `"lasted": 0.5`},
		"report.md":   {"3 scenarios, 1 failed", "| a story | exactly once | 1 | 12345 | 246 | 0 | 0 | 1.5 | passed |", "**wrong**: a record is lost"},
		"report.html": {"a story", "&lt;a fault&gt;", "limit of redis", "2 of 3", `d="M0 130L460 `, "a record is lost", "12\u202f345", "2\u202f000, as expected", "and 2\u202f000 on purpose", "worst 4.8 s", "4 MiB of 6 MiB", "up to 1.3 a core", "1 MiB of 99 MiB"},
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

func TestWhatDeadLettersHold(t *testing.T) {
	const record = `{"id":"r","reason":"not-json","key":"poison 2 5","value":"x"}`
	windows, records := deadWindows(t, []*kgo.Record{{Value: []byte(record)}, {Value: []byte(`{"id":"a","window":{"id":"b","count":1,"data":[{"p":0,"i":1}]}}`)}})
	if len(windows) != 1 || windows[0].ID != "b" || !slices.Equal(records, []poison{{2, 5}}) {
		t.Errorf("dead letters hold %v and %v", windows, records)
	}
	const window = `{"id":"b","shard":"s","seq":3,"count":1,"data":[{"p":0,"i":1}]}`
	for _, text := range []string{window, `{"id":"a","reason":"handler","window":` + window + `}`} {
		if w, err := windowIn([]byte(text)); err != nil || w.ID != "b" || w.Seq != 3 || len(w.Data) != 1 {
			t.Errorf("%s: %+v, %v", text, w, err)
		}
	}
}
