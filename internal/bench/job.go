package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// job is one of the things that are measured.
type job struct {
	name   string
	about  string
	shape  shape
	params Params
	per    int  // of the records asked for, one in so many: they are large
	live   bool // into Kafka alone, whose consumers see when a window is there

	special
	run func(*bench, context.Context, *Series) error
}

// standard are the sizes that most jobs have.
var standard = Params{Partitions: 4, Records: 2_000_000, Bytes: 200, Window: 100, Keys: 1000, Workers: 2}

// special is what a job does differently.
type special struct {
	held    bool     // the windows stay open until all records are in them
	catchUp bool     // workers start when all records are in the buffer
	ingest  []string // settings of ingest
}

func by(keys int, interval time.Duration) Params {
	p := standard
	p.Window, p.Keys, p.Interval = 0, keys, interval
	return p
}

func spread(partitions int) Params {
	p := standard
	p.Partitions = partitions
	return p
}

func large(bytes, window int) Params {
	p := standard
	p.Bytes, p.Window = bytes, window
	return p
}

var jobs = []job{
	{name: "count", about: "windows of 100 records", shape: shapeCount, params: standard, run: (*bench).throughput},
	{name: "keyed", about: "count, sum and avg by key, of 10 s by event time", shape: shapeFold, params: by(1000, 10*time.Second), run: (*bench).throughput},
	{name: "list-10s", about: "the records by key, of 10 s by event time", shape: shapeList, params: by(1000, 10*time.Second), run: (*bench).throughput},
	{name: "latency", about: "windows of 100 at a steady rate, read by a read_committed consumer", shape: shapeCount, params: standard, live: true, run: (*bench).pace},
	{name: "idle", about: "nothing happens, between windows of 100", shape: shapeCount, params: standard, live: true, run: (*bench).rest},
	{name: "many-shards", about: "windows of 100 from 256 partitions", shape: shapeCount, params: spread(256), run: (*bench).throughput},
	{name: "many-keys", about: "count, sum and avg of 1,000,000 keys whose windows are all open at the same time", shape: shapeFold,
		params: by(1_000_000, time.Hour), special: special{held: true}, run: (*bench).throughput},
	{name: "big", about: "windows of 4 records of 1 MiB", shape: shapeCount, params: large(1<<20, 4), per: 4000, run: (*bench).throughput},
	{name: "catch-up", about: "windows of 100 from a buffer that was filled before the workers started", shape: shapeCount, params: standard,
		special: special{catchUp: true, ingest: []string{"BUFFER_MAX_BYTES=1TiB"}}, run: (*bench).throughput},
}

// JobNames are the names of all jobs.
func JobNames() (names []string) {
	for _, j := range jobs {
		names = append(names, j.name)
	}
	return names
}

// JobList says in a line each what the jobs are.
func JobList() string {
	var b strings.Builder
	for _, j := range jobs {
		fmt.Fprintf(&b, "  %-12s %s\n", j.name, j.about)
	}
	return b.String()
}

// sized are the job's sizes with so many records asked for, 0: the job's own, rounded so that no window stays half-filled.
// value is that of the size which varies.
func (j job) sized(o Options, value int) Params {
	p := j.params
	if o.Records > 0 {
		p.Records = o.Records
	}
	if o.Workers > 0 {
		p.Workers = o.Workers
	}
	if o.Vary.Size != "" {
		*p.size(o.Vary.Size) = value
	}
	p.Records /= max(1, j.per)
	p.Bytes = max(p.Bytes, minBytes)
	unit := p.Partitions
	if j.shape == shapeCount {
		unit *= p.Window
	}
	p.Records = max(1, p.Records/unit) * unit
	if p.Keys > p.Records/2 {
		p.Keys = max(1, p.Records/2) // each has two records at least
	}
	return p
}

// Options say what is measured, and on which servers.
type Options struct {
	Jobs         []string
	Compressions []string // of the source's batches
	Sinks        []string // kafka, mongo
	Rounds       int
	Records      int           // 0: each job's own number
	Rate         int           // records a second of latency
	Seconds      int           // of latency and idle
	WarmUp       time.Duration // of latency: records are written, and not measured, for so long
	Workers      int           // 0: 2
	Vary         Vary

	Servers
	Progress func(format string, args ...any)
	Profile  string // a folder for profiles of the programs; empty: none are taken
}

// Servers are where the jobs run.
type Servers struct {
	Kafka    []kgo.Opt // how the cluster is reached
	RedisURL string    // empty: a redis-server is started for each round
	MongoURL string    // empty: nothing is written to MongoDB
	Database string    // of MongoDB
	Environ  []string  // NAME=value: what tells the programs how to reach Kafka
	Programs []string  // the command line that, with ingest, process or loop behind it, is one of the programs
}

// Check says everything that is wrong with the options.
func (o Options) Check() (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for _, name := range o.Jobs {
		if !slices.Contains(JobNames(), name) {
			bad("--jobs: there is no job %q, only %s", name, strings.Join(JobNames(), ", "))
		}
	}
	for _, c := range o.Compressions {
		if !slices.Contains(compressions, c) {
			bad("--compression: %q is none of %s", c, strings.Join(compressions, ", "))
		}
	}
	for _, s := range o.Sinks {
		switch {
		case s != sinkKafka && s != sinkMongo:
			bad("--sinks: %q is neither kafka nor mongo", s)
		case s == sinkMongo && o.MongoURL == "":
			bad("--sinks mongo needs MONGO_URL")
		}
	}
	for _, n := range []struct {
		flag          string
		is, from, to_ int
	}{{"--rounds", o.Rounds, 1, 1000}, {"--records", o.Records, 0, 1_000_000_000}, {"--rate", o.Rate, 1, 1_000_000}, {"--seconds", o.Seconds, 1, 3600}, {"--workers", o.Workers, 0, 1000}} {
		if n.is < n.from || n.is > n.to_ {
			bad("%s %d is not from %d to %d", n.flag, n.is, n.from, n.to_)
		}
	}
	if len(o.Jobs) == 0 || len(o.Compressions) == 0 || len(o.Sinks) == 0 {
		bad("--jobs, --compression and --sinks name one at least")
	}
	return problems
}
