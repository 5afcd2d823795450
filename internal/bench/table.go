package bench

import (
	"fmt"
	"io"
	"strings"
)

// Write writes a series as a table: of each side the round whose processor time is the median, and the ratios.
func (s *Series) Write(w io.Writer) {
	fmt.Fprintf(w, "%s\n", s.title())
	steady := s.Seconds > 0
	if steady {
		row(w, "", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "% of a core", "peak MiB")
	} else {
		row(w, "", "start s", "records/s", "CPU-s/million", "peak MiB", "allocs/record", "bytes/record")
	}
	for _, side := range s.Sides {
		r := side.typical()
		if steady {
			l := r.Latency.get()
			row(w, side.Name, number(l.P50, 1), number(l.P90, 1), number(l.P99, 1), number(l.P999, 1), number(r.Core, 2), mebi(r.Programs))
		} else {
			row(w, side.Name, number(r.Start, 1), number(r.Rate, 0), number(r.CPU, 3), mebi(r.Programs), number(sumOf(r.Programs).Allocs, 2), number(sumOf(r.Programs).AllocBytes, 0))
		}
		if len(r.Programs) == 1 {
			continue
		}
		for _, u := range r.Programs {
			if steady {
				row(w, "  "+u.Program, "", "", "", "", number(u.Core, 2), mebi([]Use{u}))
			} else {
				row(w, "  "+u.Program, "", "", number(u.CPU, 3), mebi([]Use{u}), number(u.Allocs, 2), number(u.AllocBytes, 0))
			}
		}
	}
	if r := s.side(Windrow); r != nil && r.typical().PerKey > 0 {
		fmt.Fprintf(w, "the workers' memory grew by %.0f bytes per key\n", r.typical().PerKey)
	}
	for _, r := range s.Ratios {
		fmt.Fprintf(w, "%-26s %s %.2f × (%.2f–%.2f)\n", "to "+r.To, r.Measure, r.Median, r.Least, r.Most)
	}
	fmt.Fprintln(w)
}

func (s *Series) title() string {
	what := []string{s.name() + ":"}
	say := func(format string, args ...any) { what = append(what, fmt.Sprintf(format, args...)) }
	if s.Params.Records > 0 {
		say("%d records", s.Params.Records)
	}
	if s.Rate > 0 {
		say("%d records/s", s.Rate)
	}
	if s.Seconds > 0 {
		say("for %d s", s.Seconds)
	}
	say("of %d bytes, %d partitions,", s.Bytes, s.Partitions)
	if s.Interval > 0 {
		say("%d keys, windows of %v,", s.Keys, s.Interval)
	} else {
		say("windows of %d,", s.Window)
	}
	say("%d workers; rounds: %d", s.Workers, len(s.Sides[0].Rounds))
	return strings.Join(what, " ")
}

func row(w io.Writer, name string, cells ...string) {
	fmt.Fprintf(w, "%-20s", name)
	for _, c := range cells {
		fmt.Fprintf(w, " %14s", c)
	}
	fmt.Fprintln(w)
}

// number leaves what was not measured empty.
func number(x float64, digits int) string {
	if x == 0 {
		return ""
	}
	return fmt.Sprintf("%.*f", digits, x)
}

func mebi(uses []Use) string { return fmt.Sprintf("%.0f", float64(sumOf(uses).Peak)/(1<<20)) }

func sumOf(uses []Use) (all Use) {
	for _, u := range uses {
		all.CPU += u.CPU
		all.Core += u.Core
		all.Peak += u.Peak
		all.Allocs += u.Allocs
		all.AllocBytes += u.AllocBytes
	}
	return all
}
