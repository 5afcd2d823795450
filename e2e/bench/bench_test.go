// Package bench runs `windrow bench` on a Kafka of its own: with arguments as a benchmark, which is what `make bench` does,
// and every job with few records as a test.
//
//	go test ./bench -run '^$' -bench . -benchtime 1x -timeout 0 -v -args -- --jobs count --rounds 5
package bench

import (
	"bytes"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/e2e/lab"
	"github.com/windrow-io/windrow/internal/bench"
)

func TestMain(m *testing.M) { lab.Main(m) }

// servers is the environment of a run: a broker that a busy machine does not make lose its leadership.
func servers(t testing.TB) []string {
	t.Helper()
	kafka := lab.Kafka(t, lab.Property("log.segment.bytes", "1073741824"), lab.Property("broker.session.timeout.ms", "18000"))
	return []string{"KAFKA_BROKERS=" + kafka.Addr, "PATH=" + os.Getenv("PATH"), "MONGO_URL=" + os.Getenv("MONGO_URL")}
}

func run(t testing.TB, environ, args []string, stdout, stderr io.Writer) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), lab.Build(t, "windrow"), append([]string{"bench"}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = environ, stdout, stderr
	return cmd.Run()
}

func BenchmarkJobs(b *testing.B) {
	if err := run(b, servers(b), flag.Args(), os.Stdout, os.Stderr); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op")
}

// Every job runs to its end with few records, its output is right, and everything that is to be measured is there.
func TestEveryJob(t *testing.T) {
	environ := servers(t)
	withMongo := append(slices.Clone(environ), "MONGO_URL="+lab.Mongo(t).URL)
	for _, c := range []struct {
		environ     []string
		rounds      int
		jobs        []string
		compression string
		sinks       []string
	}{
		{environ, 1, bench.JobNames(), "none", []string{"kafka"}},
		{withMongo, 1, []string{"count", "keyed", "list-10s"}, "none", []string{"mongo"}},
		{environ, 2, []string{"count"}, "lz4", []string{"kafka"}},
	} {
		report := runSmall(t, c.environ, c.jobs, c.compression, c.sinks, c.rounds)
		var got, want []string
		for _, s := range report.Series {
			got = append(got, s.Job+" "+s.Compression+" "+s.Sink)
			t.Run(got[len(got)-1], func(t *testing.T) { checkSeries(t, s, c.rounds) })
		}
		for _, j := range c.jobs {
			for _, sink := range c.sinks {
				want = append(want, j+" "+c.compression+" "+sink)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("the report has %q, want %q", got, want)
		}
	}
}

// runSmall is the report of a run with few records.
func runSmall(t *testing.T, environ, jobs []string, compression string, sinks []string, rounds int) *bench.Report {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.json")
	var out bytes.Buffer
	args := []string{"--jobs", strings.Join(jobs, ","), "--compression", compression, "--sinks", strings.Join(sinks, ","), "--rounds", strconv.Itoa(rounds),
		"--records", "20000", "--rate", "1000", "--seconds", "2", "--warm-up", "2s", "--json", file}
	if err := run(t, environ, args, &out, os.Stderr); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Logf("\n%s", &out)
	text, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	report, err := bench.ReadReport(text)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func checkSeries(t *testing.T, s *bench.Series, rounds int) {
	sides := []string{bench.Bare, bench.Transactions, bench.Windrow}
	measures := []string{"records/s", "CPU"}
	if s.Sink == "mongo" {
		sides = []string{bench.Bare, bench.Windrow}
	}
	switch s.Job {
	case "latency":
		measures = []string{"CPU at the rate", "p50", "p99"}
	case "idle":
		sides, measures = []string{bench.Windrow}, nil
	}
	var names []string
	for _, side := range s.Sides {
		names = append(names, side.Name)
		if len(side.Rounds) != rounds {
			t.Fatalf("%s has %d rounds, want %d", side.Name, len(side.Rounds), rounds)
		}
		for _, r := range side.Rounds {
			checkRound(t, s, side.Name, r)
		}
	}
	if !slices.Equal(names, sides) {
		t.Errorf("the sides are %q, want %q", names, sides)
	}
	want := map[string]bool{}
	for _, to := range sides[:len(sides)-1] {
		for _, m := range measures {
			want[to+" "+m] = true
		}
	}
	for _, r := range s.Ratios {
		if name := r.To + " " + r.Measure; !want[name] || r.Least <= 0 || r.Least > r.Median || r.Median > r.Most {
			t.Errorf("a ratio that should not be: %+v", r)
		} else {
			delete(want, name)
		}
	}
	if len(want) > 0 {
		t.Errorf("there are no ratios %v", want)
	}
}

func checkRound(t *testing.T, s *bench.Series, side string, r *bench.Round) {
	programs := []string{"loop"}
	if side == bench.Windrow {
		programs = []string{"ingest", "process-1", "process-2", "redis"}
	}
	var names []string
	for _, u := range r.Programs {
		names = append(names, u.Program)
		if u.CPU <= 0 || u.Peak < 100<<10 || u.Core < 0 {
			t.Errorf("%s says of %s: %+v", side, u.Program, u)
		}
		if (u.Allocs > 0) != (u.Program != "redis") {
			t.Errorf("%s has allocations of %s: %+v", side, u.Program, u)
		}
	}
	if !slices.Equal(names, programs) {
		t.Errorf("the programs of %s are %q, want %q", side, names, programs)
	}
	good := r.Start > 0 && r.Rate > 0 && r.CPU > 0
	switch s.Job {
	case "latency":
		l := r.Latency
		good = r.Core > 0 && l != nil && 0 < l.P50 && l.P50 <= l.P90 && l.P90 <= l.P99 && l.P99 <= l.P999 && l.P999 <= l.Max
	case "idle":
		good = r.Core > 0
	case "many-keys": // its first windows are its last
		good = r.Rate > 0 && r.CPU > 0 && (r.PerKey > 0) == (side == bench.Windrow)
	}
	if !good {
		t.Errorf("%s lacks what is to be measured: %v", side, r)
	}
}
