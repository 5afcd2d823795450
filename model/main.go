// Command model searches the models of Windrow's protocol: completely, within bounds that it names.
//
//	go run ./model                       every search, with its progress, and a table at the end
//	go run ./model -list                 what there is
//	go run ./model -only two-pipelines   those whose name matches a regular expression
//	go run ./model -only mongo -break WriteAfterCommit   with a rule broken: the shortest story of what happens then
//	go run ./model -rules                the rules, by model; their comments explain them
//
// It exits 1 if a promise is found broken, or a search ends at -time or -states before it has seen everything.
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/windrow-io/windrow/model/internal/explore"
)

func main() {
	var (
		list   = flag.Bool("list", false, "list the searches and exit")
		rules  = flag.Bool("rules", false, "list the rules and exit")
		only   = flag.String("only", "", "regular expression: the searches to run")
		broken = flag.String("break", "", "comma-separated rules to break")
		limit  = flag.Duration("time", 0, "end each search after this time; 0: when it is complete")
		states = flag.Int("states", 60_000_000, "end each search at so many states; each takes about 60 bytes, and those of a frontier some 200")
	)
	flag.Parse()
	want, err := regexp.Compile(*only)
	if err != nil || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "model:", cmpError(err, flag.Args()))
		os.Exit(2)
	}
	chosen := slices.DeleteFunc(slices.Clone(searches), func(s search) bool { return !want.MatchString(s.name) })
	switch {
	case len(chosen) == 0:
		fmt.Fprintf(os.Stderr, "model: no search is called %s; -list shows them\n", *only)
		os.Exit(2)
	case *list:
		for _, s := range chosen {
			fmt.Printf("%-32s %s\n", s.name, s.bounds)
		}
	case *rules:
		for _, m := range models {
			fmt.Printf("%s: %s\n", m.name, strings.Join(m.rules, ", "))
		}
	default:
		if !runAll(chosen, names(*broken), explore.Limits{Time: *limit, States: *states}) {
			os.Exit(1)
		}
	}
}

func cmpError(err error, rest []string) error {
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	return fmt.Errorf("unexpected argument %s", rest[0])
}

func names(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

// runAll runs searches one after the other and prints the table; false: not all of them are complete and clean.
func runAll(chosen []search, broken []string, l explore.Limits) bool {
	good := true
	type row struct {
		search
		found
	}
	var rows []row
	for _, s := range chosen {
		fmt.Printf("== %s: %s\n", s.name, s.bounds)
		l.Progress = progress
		f, err := s.run(broken, l)
		if err != nil {
			fmt.Fprintln(os.Stderr, "model:", err)
			os.Exit(2)
		}
		if f.violation != "" {
			fmt.Printf("   %s\n", f.violation)
			for i, step := range f.story {
				fmt.Printf("   %3d  %s\n", i+1, step)
			}
		}
		good = good && f.complete && f.violation == ""
		rows = append(rows, row{s, f})
	}
	fmt.Printf("\n%-32s %12s %6s %10s  %s\n", "search", "states", "depth", "time", "result")
	for _, r := range rows {
		fmt.Printf("%-32s %12d %6d %10s  %s\n", r.name, r.states, r.depth, r.took.Round(100*time.Millisecond), r.verdict())
	}
	return good
}

func progress(p explore.Progress) {
	fmt.Printf("   %9d states, depth %d, %d states/s, %s\n", p.States, p.Depth, int(float64(p.States)/p.Took.Seconds()), p.Took.Round(time.Second))
}

// found is a search's result, of whatever model.
type found struct {
	states, depth int
	took          time.Duration
	complete      bool
	violation     string
	story         []string
}

func (f found) verdict() string {
	switch {
	case f.violation != "":
		return fmt.Sprintf("BROKEN in %d steps: %s", len(f.story), f.violation)
	case !f.complete:
		return "not complete; nothing found so far"
	}
	return "complete: nothing found"
}
