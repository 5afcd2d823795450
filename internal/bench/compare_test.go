package bench

import (
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	report := func(change func(*Series)) *Report {
		s := sample()
		change(s)
		s.setRatios()
		return &Report{Series: []*Series{s}}
	}
	faster := func(by float64) func(*Series) {
		return func(s *Series) { // of a whole machine
			for _, side := range s.Sides {
				for _, r := range side.Rounds {
					r.Rate, r.CPU = r.Rate*by, r.CPU/by
				}
			}
		}
	}
	ours := func(rate, cpu float64) func(*Series) {
		return func(s *Series) {
			for _, r := range s.side(Windrow).Rounds {
				r.Rate, r.CPU = r.Rate*rate, r.CPU*cpu
			}
		}
	}
	base := report(func(*Series) {})
	for _, c := range []struct {
		name  string
		now   *Report
		worse string
	}{
		{"the same", base, ""},
		{"another machine", report(faster(3)), ""},
		{"a little worse", report(ours(.95, 1.05)), ""},
		{"slower", report(ours(.85, 1)), "records/s"},
		{"more processor time", report(ours(1, 1.15)), "CPU"},
		{"better", report(ours(2, .5)), ""},
	} {
		changes, err := Compare(base, c.now, .1)
		if err != nil || len(changes) != 2 {
			t.Errorf("%s: %+v, %v; want two changes", c.name, changes, err)
		}
		var worse []string
		for _, x := range changes {
			if x.Worse {
				worse = append(worse, x.Measure)
			}
		}
		if got := strings.Join(worse, " "); got != c.worse {
			t.Errorf("%s: worse is %q, want %q", c.name, got, c.worse)
		}
		var b strings.Builder
		if n := WriteChanges(&b, changes); n != len(worse) || strings.Count(b.String(), "WORSE") != n {
			t.Errorf("%s: %d are worse, of\n%s", c.name, n, &b)
		}
	}
	if _, err := Compare(base, report(func(s *Series) { s.Params.Records = 7 }), .1); err == nil || !strings.Contains(err.Error(), "other sizes") {
		t.Errorf("of other sizes: %v", err)
	}
	if _, err := Compare(base, report(func(s *Series) { s.Job = "keyed" }), .1); err == nil || !strings.Contains(err.Error(), "in common") {
		t.Errorf("of other jobs: %v", err)
	}
}
