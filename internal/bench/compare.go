package bench

import (
	"fmt"
	"io"
)

// Change is how a ratio has changed from one run to another.
type Change struct {
	Series    string // its name
	To        string // the side that Windrow is compared with
	Measure   string
	Base, Now float64
	Worse     bool // by more than the tolerance
}

// Compare compares the ratios of two runs – never times or rates, which are those of a machine at a moment. A ratio is worse
// if what Windrow takes, or lacks in speed, has grown by more than the tolerance, 0.1 for a tenth. p99 is not compared: it
// is another one in every run. Series that only one run has are left out; an error says that none are in both, or that one
// is of other sizes.
func Compare(base, now *Report, tolerance float64) (changes []Change, err error) {
	before := map[string]*Series{}
	for _, s := range base.Series {
		before[s.name()] = s
	}
	for _, s := range now.Series {
		b := before[s.name()]
		if b == nil {
			continue
		}
		if b.Params != s.Params || b.Rate != s.Rate {
			return nil, fmt.Errorf("%s was measured with other sizes, %+v, not %+v: there is nothing to compare", s.name(), b.Params, s.Params)
		}
		for _, m := range measures {
			if m.fair {
				changes = append(changes, b.changes(s, m.name, m.more, tolerance)...)
			}
		}
	}
	if len(changes) == 0 {
		return nil, fmt.Errorf("the two runs have no ratio in common: there is nothing to compare")
	}
	return changes, nil
}

// changes are those of one measure's ratios.
func (s *Series) changes(now *Series, measure string, more bool, tolerance float64) (changes []Change) {
	for _, old := range s.Ratios {
		for _, r := range now.Ratios {
			if old.Measure != measure || r.Measure != measure || old.To != r.To {
				continue
			}
			worse := r.Median / old.Median
			if more {
				worse = 1 / worse
			}
			changes = append(changes, Change{now.name(), r.To, measure, old.Median, r.Median, worse > 1+tolerance})
		}
	}
	return changes
}

// WriteChanges writes a line for each, and returns how many are worse.
func WriteChanges(w io.Writer, changes []Change) (worse int) {
	for _, c := range changes {
		mark := ""
		if c.Worse {
			mark = "  WORSE"
			worse++
		}
		fmt.Fprintf(w, "%-28s %-16s to %-20s %6.2f → %6.2f%s\n", c.Series, c.Measure, c.To, c.Base, c.Now, mark)
	}
	return worse
}
