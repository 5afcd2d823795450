package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/internal/bench"
	"github.com/windrow-io/windrow/internal/config"
	"github.com/windrow-io/windrow/internal/program"
	"github.com/windrow-io/windrow/pkg/ingest"
	"github.com/windrow-io/windrow/pkg/process"
)

const benchUsage = `windrow bench - speed, processor time and memory on your servers, next to a bare loop over the same Kafka

It wants KAFKA_BROKERS, with the variables of TLS and SASL if they are needed, and takes REDIS_URL; without it a redis-server
is started for each round. With MONGO_URL jobs are run into MongoDB too, into MONGO_DATABASE or windrow-bench. What it makes there has names that begin with windrow-bench-, and is deleted
again. Every output is checked, record by record. docs/PERFORMANCE.md says how to read what it prints.

`

// benchPart is the first argument of bench where it is one of the programs that are measured: a process of its own.
const benchPart = "part"

func benchmark(args []string, stdout, stderr io.Writer) int {
	if len(args) > 1 && args[0] == benchPart {
		return runPart(args[1], args[2:], stdout, stderr)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := bench.Options{Progress: func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) }}
	flags := flag.NewFlagSet("windrow bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, benchUsage)
		flags.PrintDefaults()
		fmt.Fprintf(stderr, "\nThe jobs:\n%s", bench.JobList())
	}
	jobs := flags.String("jobs", "count,keyed,latency,idle", "jobs to run, comma separated, or all")
	compressions := flags.String("compression", "none,lz4", "compression of the source's records: none, lz4, zstd, gzip, snappy, comma separated")
	sinks := flags.String("sinks", "", "where windows go: kafka, mongo, or both, comma separated (default: kafka, and mongo if there is a MONGO_URL; latency and idle are about kafka alone)")
	flags.IntVar(&o.Rounds, "rounds", 3, "rounds of each side, in turn: 5 or more for figures to rely on")
	flags.IntVar(&o.Records, "records", 0, "records of each job but latency and idle; 0: its own number")
	flags.IntVar(&o.Rate, "rate", 5000, "records a second of latency")
	flags.IntVar(&o.Seconds, "seconds", 10, "how long latency and idle are measured")
	flags.DurationVar(&o.WarmUp, "warm-up", 30*time.Second, "how long records are written at latency's rate before it is measured: shards are taken, and a broker's code is compiled")
	flags.IntVar(&o.Workers, "workers", 2, "workers of each pipeline")
	flags.StringVar(&o.Profile, "profile", "", "a folder for profiles of the first ten seconds of the programs, their heaps and metrics; taking them costs time")
	file := flags.String("json", "", "a file to write the report to, as JSON")
	flags.Func("vary", "a size of the jobs, and values that each is run with in its place: partitions=1,4,16,64; also keys, window, bytes, workers", func(s string) (err error) {
		o.Vary, err = bench.ParseVary(s)
		return err
	})
	table := flags.String("csv", "", "a file to write a line of each side of each series to")
	plot := flags.String("svg", "", "a file to draw processor time and memory over the size that --vary names into")
	base := flags.String("compare", "", "a file that --json wrote: fail if a ratio to a bare loop is worse now")
	tolerance := flags.Float64("tolerance", 0.15, "by how much a ratio may be worse than with --compare: 0.15 is 15 %")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	o.Jobs, o.Compressions = words(*jobs), words(*compressions)
	if *jobs == "all" {
		o.Jobs = bench.JobNames()
	}
	var err error
	if o.Servers, err = benchServers(); err != nil {
		fmt.Fprintln(stderr, err)
	}
	if o.Sinks = words(*sinks); len(o.Sinks) == 0 {
		o.Sinks = []string{"kafka"}
		if o.MongoURL != "" {
			o.Sinks = append(o.Sinks, "mongo")
		}
	}
	problems := o.Check()
	if *plot != "" && o.Vary.Size == "" {
		problems = append(problems, "--svg draws what --vary names, and there is none")
	}
	if *tolerance < 0 {
		problems = append(problems, fmt.Sprintf("--tolerance %g is negative", *tolerance))
	}
	var before *bench.Report
	if *base != "" {
		var rerr error
		if before, rerr = readReport(*base); rerr != nil {
			problems = append(problems, "--compare: "+rerr.Error())
		}
	}
	if flags.NArg() > 0 {
		problems = append(problems, "there are no further arguments")
	}
	for _, p := range problems {
		fmt.Fprintln(stderr, "windrow bench:", p)
	}
	if len(problems) > 0 || err != nil {
		return 2
	}
	report, err := measure(ctx, o, []output{
		{*file, (*bench.Report).WriteJSON},
		{*table, (*bench.Report).WriteCSV},
		{*plot, func(r *bench.Report, w io.Writer) error { return r.Plot(w, o.Vary.Size) }},
	}, stdout)
	if err == nil && before != nil {
		err = compare(before, report, *tolerance, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "windrow bench:", err)
		return 1
	}
	return 0
}

func readReport(file string) (*bench.Report, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return bench.ReadReport(f)
}

func compare(before, now *bench.Report, tolerance float64, stdout io.Writer) error {
	changes, err := bench.Compare(before, now, tolerance)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "ratios of %s, of %s, and now:\n", before.Version, before.Time.Format("2006-01-02 15:04"))
	if worse := bench.WriteChanges(stdout, changes); worse > 0 {
		return fmt.Errorf("%d ratios are worse by more than %g %%", worse, 100*tolerance)
	}
	return nil
}

func words(list string) (words []string) {
	for w := range strings.SplitSeq(list, ",") {
		if w = strings.TrimSpace(w); w != "" {
			words = append(words, w)
		}
	}
	return words
}

// benchServers are those of the environment.
func benchServers() (s bench.Servers, err error) {
	c, err := config.LoadServers()
	if err != nil {
		return s, err
	}
	s.RedisURL, s.MongoURL, s.Database, s.Environ = string(c.RedisURL), string(c.MongoURL), cmp.Or(c.MongoDatabase, "windrow-bench"), c.Environ
	if s.Kafka, err = benchKafka(c); err != nil {
		return s, err
	}
	self, err := os.Executable()
	s.Programs = []string{self, "bench", benchPart}
	return s, err
}

func benchKafka(c *config.Servers) ([]kgo.Opt, error) {
	options, err := kafkaOptions(&c.Common)
	return append(options, kgo.SeedBrokers(c.Brokers...), kgo.ClientID("windrow-bench")), err
}

// output is a file that a report is written to.
type output struct {
	file  string // empty: none
	write func(*bench.Report, io.Writer) error
}

// measure runs the jobs and writes the report to the files.
func measure(ctx context.Context, o bench.Options, outputs []output, stdout io.Writer) (*bench.Report, error) {
	outputs = slices.DeleteFunc(outputs, func(out output) bool { return out.file == "" })
	var files []*os.File
	for _, out := range outputs { // before the work, not after it, shows whether they can be written
		f, err := os.Create(out.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		files = append(files, f)
	}
	report, err := bench.Run(ctx, o, func(s *bench.Series) { s.Write(stdout) })
	if err != nil {
		return nil, err
	}
	for i, out := range outputs {
		err = errors.Join(err, out.write(report, files[i]), files[i].Close())
	}
	return report, err
}

// runPart is one of the programs that are measured.
func runPart(name string, args []string, stdout, stderr io.Writer) int {
	switch name {
	case "ingest":
		return program.Run(config.ProgramIngest, args, stderr, ingest.RunProgram)
	case "process":
		return program.Run(config.ProgramProcess, args, stderr, func(hard, work context.Context, e program.Env) error {
			return process.RunProgram(hard, work, e, nil)
		})
	case "loop":
		if err := runLoop(args, stdout); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		return 0
	}
	fmt.Fprintf(stderr, "windrow bench %s: there is no %q\n", benchPart, name)
	return 2
}

func runLoop(args []string, stdout io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := config.LoadServers()
	if err != nil {
		return err
	}
	kafka, err := benchKafka(c)
	if err != nil {
		return err
	}
	return bench.RunLoop(ctx, kafka, string(c.MongoURL), strings.Join(args, " "), stdout)
}
