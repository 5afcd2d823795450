// Package chaos plays scenarios on real servers: programs and servers are killed, paused, cut off, filled up and restarted
// under load, and the output is checked record by record. It writes a report.
package chaos

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/windrow-io/windrow/e2e/lab"
)

var (
	full   = flag.Bool("full", false, "all scenarios at full length, not only the short form")
	report = flag.String("report", "", "directory to write the report to")
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The scenarios mostly wait: for leases to expire, for servers to come back.
	parallel := "5"
	if *full {
		parallel = "2" // the times are to tell of Windrow, not of the machine
	}
	if err := flag.Set("test.parallel", parallel); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	results.began = time.Now()
	lab.Main(m)
}

// results are what the report shows, in the order of the scenarios.
var results resultList

type resultList struct {
	mu    sync.Mutex
	began time.Time
	list  []Result
}

// add adds a result and writes the report anew: who breaks off a long run has what was played.
func (l *resultList) add(r Result) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, r)
	place := func(r Result) int {
		return slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == r.Name })
	}
	slices.SortFunc(l.list, func(a, b Result) int { return place(a) - place(b) })
	if *report == "" {
		return nil
	}
	return writeReport(*report, l.began, l.list)
}

func TestScenarios(t *testing.T) {
	for _, s := range scenarios {
		if !s.short && !*full {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			play(t, s)
		})
	}
}

// play plays a scenario and keeps its result, however it ends.
func play(t *testing.T, s scenario) {
	r := &run{
		t: t, full: *full, program: "process", workerBytes: workerBytes, settings: []string{"EMITTER=count", fmt.Sprintf("WINDOW_SIZE=%d", countSize)},
		watch: newWatch(), sent: make([]int, partitions), programs: map[string]*lab.Program{}, limits: map[string]float64{},
		result: Result{Name: s.name, Does: s.does, Expects: s.expects},
	}
	begin := time.Now()
	defer func() {
		r.result.Seconds = time.Since(begin).Seconds()
		if r.meters != nil {
			r.result.Memory, r.result.Throughput = r.meters.curves()
			r.result.Busy = r.meters.busy()
		}
		r.result.Verdict = passed
		if t.Failed() {
			r.result.Verdict = failed
		}
		if err := results.add(r.result); err != nil {
			t.Errorf("writing the report: %v", err)
		}
	}()
	s.play(r)
	r.checkMemory()
}

// checkMemory requires what has a limit to have kept it.
func (r *run) checkMemory() {
	memory, _ := r.meters.curves()
	for _, c := range memory {
		for _, p := range c.Points {
			if c.Limit > 0 && p.Value > c.Limit {
				r.wrong(fmt.Sprintf("%s used %.0f MiB after %.1f s, its limit is %.0f MiB", c.Name, p.Value/(1<<20), p.Seconds, c.Limit/(1<<20)))
				break
			}
		}
	}
}
