package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// Report is a whole run.
type Report struct {
	Version string    `json:"version"` // of Windrow
	Time    time.Time `json:"time"`
	System  string    `json:"system"` // operating system and architecture
	Go      string    `json:"go"`
	CPUs    int       `json:"cpus"`
	Redis   string    `json:"redis"` // its version
	Series  []*Series `json:"series"`
}

// Series is one job under one compression into one sink: rounds of every side, in turn.
type Series struct {
	Job         string `json:"job"`
	Compression string `json:"compression"`
	Sink        string `json:"sink"`           // kafka or mongo
	Vary        string `json:"vary,omitempty"` // which size is another one than in the job's other series
	Params
	Rate    int     `json:"rate,omitempty"`    // of latency: records a second
	Seconds int     `json:"seconds,omitempty"` // of latency and idle
	Sides   []*Side `json:"sides"`
	Ratios  []Ratio `json:"ratios"`

	shape shape
	special
}

// Names of sides.
const (
	Bare         = "bare"
	Transactions = "bare, transactions"
	Windrow      = "windrow"
)

// Side is who does the job: Windrow, or a bare loop.
type Side struct {
	Name   string   `json:"name"`
	Rounds []*Round `json:"rounds"`
}

// Round is what one side took for the job once. What was not measured is 0.
type Round struct {
	Start    float64  `json:"start_seconds,omitempty"`      // until the first window was out
	Rate     float64  `json:"records_per_second,omitempty"` // from then until all were
	CPU      float64  `json:"cpu_seconds,omitempty"`        // per million records
	Core     float64  `json:"core_percent,omitempty"`       // of one processor, at a steady rate or idle
	PerKey   float64  `json:"bytes_per_key,omitempty"`      // that the workers' memory has grown by, when all windows were open
	Latency  *Latency `json:"latency,omitempty"`
	Programs []Use    `json:"programs"`
}

// Use is what one program took.
type Use struct {
	Program    string  `json:"program"`
	CPU        float64 `json:"cpu_seconds"`                      // per million records
	Core       float64 `json:"core_percent,omitempty"`           // as in Round
	Peak       int64   `json:"peak_bytes"`                       // of memory: resident; of Redis: as it counts it
	Allocs     float64 `json:"allocs_per_record,omitempty"`      // of a Go program, start and end included
	AllocBytes float64 `json:"alloc_bytes_per_record,omitempty"` // likewise
}

// Latency are percentiles of the milliseconds from when a window's last record was due to be written until a consumer had
// the window.
type Latency struct {
	P50  float64 `json:"p50_ms"`
	P90  float64 `json:"p90_ms"`
	P99  float64 `json:"p99_ms"`
	P999 float64 `json:"p999_ms"`
	Max  float64 `json:"max_ms"`
}

// percentiles sorts ds.
func percentiles(ds []time.Duration) *Latency {
	slices.Sort(ds)
	of := func(share float64) float64 {
		i := int(math.Ceil(share*float64(len(ds)))) - 1
		return float64(ds[max(0, i)].Microseconds()) / 1000
	}
	return &Latency{of(.5), of(.9), of(.99), of(.999), of(1)}
}

// Ratio is a measure of Windrow over that of a bare loop: the median of the rounds' ratios, and their range.
type Ratio struct {
	To      string  `json:"to"`
	Measure string  `json:"measure"`
	Median  float64 `json:"median"`
	Least   float64 `json:"least"`
	Most    float64 `json:"most"`
}

// measures are what ratios are made of, in the order in which they are shown.
var measures = []struct {
	name string
	of   func(*Round) float64
	more bool // the more the better
	fair bool // steady enough to be compared between runs
}{
	{"records/s", func(r *Round) float64 { return r.Rate }, true, true},
	{"CPU", func(r *Round) float64 { return r.CPU }, false, true},
	{"CPU at the rate", func(r *Round) float64 { return r.Core }, false, true},
	{"p50", func(r *Round) float64 { return r.Latency.get().P50 }, false, true},
	{"p99", func(r *Round) float64 { return r.Latency.get().P99 }, false, false},
}

func (l *Latency) get() Latency {
	if l == nil {
		return Latency{}
	}
	return *l
}

// name tells the series from others.
func (s *Series) name() string {
	name := s.Job + ", " + s.Compression + ", " + s.Sink
	if s.Vary != "" {
		name += fmt.Sprintf(", %s %d", s.Vary, *s.size(s.Vary))
	}
	return name
}

func (s *Series) side(name string) *Side {
	for _, side := range s.Sides {
		if side.Name == name {
			return side
		}
	}
	return nil
}

// setRatios works out the ratios, round by round: the rounds of one number ran next to each other.
func (s *Series) setRatios() {
	s.Ratios = nil
	our := s.side(Windrow)
	for _, side := range s.Sides {
		if side == our || our == nil {
			continue
		}
		for _, m := range measures {
			var ratios []float64
			for i := range min(len(side.Rounds), len(our.Rounds)) {
				if a, b := m.of(our.Rounds[i]), m.of(side.Rounds[i]); a > 0 && b > 0 {
					ratios = append(ratios, a/b)
				}
			}
			if len(ratios) > 0 {
				slices.Sort(ratios)
				s.Ratios = append(s.Ratios, Ratio{side.Name, m.name, median(ratios), ratios[0], ratios[len(ratios)-1]})
			}
		}
	}
}

// median of sorted numbers.
func median(xs []float64) float64 {
	n := len(xs)
	return (xs[(n-1)/2] + xs[n/2]) / 2
}

// typical is the side's round whose processor time is the median.
func (s *Side) typical() *Round {
	rounds := slices.Clone(s.Rounds)
	slices.SortFunc(rounds, func(a, b *Round) int {
		switch x, y := a.CPU+a.Core, b.CPU+b.Core; {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return rounds[(len(rounds)-1)/2]
}

// WriteJSON writes the report.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// ReadReport reads what WriteJSON has written.
func ReadReport(r io.Reader) (*Report, error) {
	report := new(Report)
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(report); err != nil {
		return nil, fmt.Errorf("not a report of windrow bench: %w", err)
	}
	return report, nil
}
