package chaos

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/windrow-io/windrow/e2e/lab"
)

// Report is what a run of the scenarios showed.
type Report struct {
	Began     time.Time `json:"began"`
	Kafka     string    `json:"kafka"`
	Machine   string    `json:"machine"`
	Scenarios []Result  `json:"scenarios"`
}

// writeReport writes report.json, report.md and report.html to a directory.
func writeReport(dir string, began time.Time, results []Result) error {
	report := Report{
		Began: began, Kafka: lab.KafkaVersion(), Scenarios: results,
		Machine: fmt.Sprintf("%s/%s, %d cores, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()),
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	inJSON, err := json.MarshalIndent(report, "", " ")
	if err != nil {
		return err
	}
	inHTML, err := report.html()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"report.json": inJSON, "report.md": report.markdown(), "report.html": inHTML} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Failed is the number of scenarios that did not end as expected.
func (r Report) Failed() (n int) {
	for _, s := range r.Scenarios {
		if s.Verdict != passed {
			n++
		}
	}
	return n
}

// Passed is the number of the others.
func (r Report) Passed() int { return len(r.Scenarios) - r.Failed() }

// Sum adds up what became of the records.
func (r Report) Sum() (t Tally) {
	for _, s := range r.Scenarios {
		t.In += s.In
		t.Windows += s.Windows
		t.Lost += s.Lost
		t.Due += s.Due
		t.Twice += s.Twice
	}
	return t
}

// Takeover is that scenario's, if it was played.
func (r Report) Takeover() *Takeover {
	for _, s := range r.Scenarios {
		if s.Takeover != nil {
			return s.Takeover
		}
	}
	return nil
}

// LostText is how many records were lost, and why if that was on purpose.
func (t Tally) LostText() string {
	if t.Due > 0 && t.Lost == t.Due {
		return thousands(t.Lost) + ", as expected"
	}
	return thousands(t.Lost)
}

// Unexpected is how many records were lost, but not on purpose.
func (t Tally) Unexpected() int { return t.Lost - t.Due }

// Busy is the mean load of each core, of the scenario where it was the highest.
func (r Report) Busy() (most float64) {
	for _, s := range r.Scenarios {
		most = max(most, s.Busy)
	}
	return most
}

// Strikes is the number of faults injected.
func (r Report) Strikes() (n int) {
	for _, s := range r.Scenarios {
		n += len(s.Faults)
	}
	return n
}

func (r Report) markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Chaos\n\n%d scenarios, %d failed. Kafka %s; %s, with a load of up to %.1f a core; %s.\n\n", len(r.Scenarios), r.Failed(), r.Kafka, r.Machine, r.Busy(), r.Began.UTC().Format(time.RFC3339))
	b.WriteString("| scenario | expects | faults | records in | windows out | lost | twice | recovery, s | verdict |\n|---|---|---:|---:|---:|---:|---:|---:|---|\n")
	for _, s := range r.Scenarios {
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %s | %d | %.1f | %s |\n", s.Name, s.Expects, len(s.Faults), s.In, s.Windows, s.LostText(), s.Twice, s.Recovery, s.Verdict)
	}
	for _, s := range r.Scenarios {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n", s.Name, s.Does)
		for _, f := range s.Faults {
			fmt.Fprintf(&b, "- at %.1f s: %s; output of every shard again after %.1f s\n", f.Seconds, f.What, f.Recovered)
		}
		for _, n := range s.Notes {
			fmt.Fprintf(&b, "- %s\n", n)
		}
		for _, w := range s.Wrong {
			fmt.Fprintf(&b, "- **wrong**: %s\n", w)
		}
	}
	return b.Bytes()
}

//go:embed report.html.tmpl
var page string

func (r Report) html() ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{"chart": chart, "thousands": thousands}).Parse(page)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, r)
	return b.Bytes(), err
}

// thousands writes a number in groups of three digits.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// Chart is what the page draws of curves: SVG paths in a box of chartWidth by chartHeight.
type Chart struct {
	Lines  []Line
	Marks  []Mark
	Ticks  []Tick
	Right  string // the time at the right end
	Bounds []Tick // limits
}

// Line is a curve.
type Line struct {
	Name  string
	Path  string
	Color int    // 1…6
	Peak  string // the most it was, and what it may be
}

// Mark is a fault.
type Mark struct {
	Number   int // in the list
	X, Until float64
	What     string
}

// Width is how long it lasted, and took to recover from.
func (m Mark) Width() float64 { return round(m.Until - m.X) }

// Tick is a value of the axis.
type Tick struct {
	Y    float64
	Text string
}

const (
	chartWidth  = 460
	chartHeight = 130
	colors      = 6
)

// chart lays curves out; unit is what their values count: bytes or records.
func chart(curves []Curve, faults []Fault, unit string) Chart {
	value := func(v float64) string { return thousands(int(math.Round(v))) }
	if unit == "bytes" {
		value = func(v float64) string { return fmt.Sprintf("%.0f MiB", v/(1<<20)) }
	}
	var right, top float64
	for _, c := range curves {
		for _, p := range c.Points {
			right, top = max(right, p.Seconds), max(top, p.Value)
		}
	}
	most := top
	near := func(limit float64) bool { return limit > 0 && limit < 2*most } // one far away would flatten the curves
	for _, c := range curves {
		if near(c.Limit) {
			top = max(top, c.Limit)
		}
	}
	if right == 0 || top == 0 {
		return Chart{}
	}
	step := niceStep(top, unit)
	top = math.Ceil(top/step) * step
	x := func(s float64) float64 { return round(s / right * chartWidth) }
	y := func(v float64) float64 { return round(chartHeight - v/top*chartHeight) }
	c := Chart{Right: fmt.Sprintf("%.0f s", right)}
	for v := 0.0; v <= top+step/2; v += step {
		c.Ticks = append(c.Ticks, Tick{y(v), value(v)})
	}
	for i, f := range faults {
		c.Marks = append(c.Marks, Mark{i + 1, x(f.Seconds), x(min(right, f.Seconds+f.Lasted+f.Recovered)), f.What})
	}
	bounds := map[float64]string{} // by what they are; the names that share one
	for i, curve := range curves {
		var path strings.Builder
		before := math.Inf(-1)
		for _, p := range curve.Points {
			command := "L"
			if math.IsInf(before, -1) || seenBetween(curves, before, p.Seconds) > 1 { // it was away
				command = "M"
			}
			before = p.Seconds
			fmt.Fprintf(&path, "%s%g %g", command, x(p.Seconds), y(p.Value))
		}
		peak := 0.0
		for _, p := range curve.Points {
			peak = max(peak, p.Value)
		}
		of := value(peak)
		if curve.Limit > 0 {
			of += " of " + value(curve.Limit)
		}
		c.Lines = append(c.Lines, Line{curve.Name, path.String(), i%colors + 1, of})
		if near(curve.Limit) {
			if bounds[curve.Limit] != "" {
				bounds[curve.Limit] += ", "
			}
			bounds[curve.Limit] += curve.Name
		}
	}
	for _, limit := range slices.Sorted(maps.Keys(bounds)) {
		c.Bounds = append(c.Bounds, Tick{y(limit), "limit of " + bounds[limit]})
	}
	return c
}

// seenBetween is how many points a curve has within such a time, the one that has the most.
func seenBetween(curves []Curve, from, to float64) (most int) {
	for _, c := range curves {
		n := 0
		for _, p := range c.Points {
			if p.Seconds > from && p.Seconds < to {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

func round(v float64) float64 { return math.Round(v*10) / 10 }

// niceStep is a distance of at most four ticks up to top.
func niceStep(top float64, unit string) float64 {
	scale := 1.0
	if unit == "bytes" {
		scale = 1 << 20
	}
	for power := 1.0; ; power *= 10 {
		for _, f := range []float64{1, 2, 5} {
			if step := f * power * scale; top/step <= 4 {
				return step
			}
		}
	}
}
