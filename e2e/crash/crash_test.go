package crash

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
	"github.com/windrow-io/windrow/pkg/emit"
)

var full = flag.Bool("full", false, "every point with every emitter and every sink, not only with each of them once")

func TestMain(m *testing.M) {
	flag.Parse()
	lab.BuildTags = "faults"
	// The cases mostly wait: for leases to expire, for groups to notice who is gone.
	if err := flag.Set("test.parallel", "10"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	lab.Main(m)
}

const (
	partitions = 2
	perRound   = 10 // records of a partition
	size       = 5
	interval   = 200 // milliseconds
	slide      = interval / 2
	bytes      = 700
	gap        = interval / 4
)

// strategy is an emitter and its settings.
type strategy struct {
	name     string
	settings []string
	check    func(testing.TB, []lab.Window) // one shard's windows
	copies   int                            // windows that a record may be in; 0: one
}

var emitters = []strategy{
	{name: emit.NameCount, settings: []string{fmt.Sprintf("WINDOW_SIZE=%d", size)}, check: requireSize},
	{name: emit.NameBytes, settings: []string{fmt.Sprintf("WINDOW_BYTES=%d", bytes), fmt.Sprintf("WINDOW_TIMEOUT=%dms", interval)}, check: requireBytes},
	{name: emit.NameFixed, settings: []string{intervalSetting}, check: requireGrid},
	{name: emit.NameRelaxed, settings: []string{intervalSetting}, check: requireApart},
	{name: emit.NameTumbling, settings: slices.Concat(eventTime, []string{intervalSetting}), check: requireGrid},
	{
		name: emit.NameSliding, settings: slices.Concat(eventTime, []string{intervalSetting, fmt.Sprintf("WINDOW_SLIDE=%dms", slide)}),
		check: requireSlides, copies: interval / slide,
	},
	{
		name: emit.NameSession, settings: slices.Concat(eventTime, []string{fmt.Sprintf("WINDOW_GAP=%dms", gap), fmt.Sprintf("WINDOW_MAX_LENGTH=%dms", interval)}),
		check: requireSessions,
	},
	{name: emit.NameState, settings: []string{fmt.Sprintf("WINDOW_OPEN=value.i %% %d == 0", size), fmt.Sprintf("WINDOW_WHEN=value.i %% %d == %d", size, size-1)}, check: requireSize},
	{name: emit.NameSample, settings: []string{"WINDOW_SIZE=1000000", intervalSetting}, check: requireGrid},
	{name: emit.NameExpr, settings: []string{fmt.Sprintf("WINDOW_QUERY=take(records, %d)", size), fmt.Sprintf("WINDOW_READY=len(window) == %d", size)}, check: requireSize},
}

var intervalSetting = fmt.Sprintf("WINDOW_INTERVAL=%dms", interval)

// eventTime are the settings of emitters by event time. While nobody ingests, the clock closes windows: what comes
// afterwards is late, and goes on.
var eventTime = []string{"WATERMARK_DELAY=100ms", "LATE=next"}

func requireSize(t testing.TB, windows []lab.Window) {
	t.Helper()
	for _, w := range windows {
		if w.Count != size {
			t.Errorf("%v: want %d records", w, size)
		}
	}
}

func requireBytes(t testing.TB, windows []lab.Window) {
	t.Helper()
	for _, w := range windows {
		var before, n int
		for _, r := range job.InputsOf(t, []lab.Window{w}) {
			before, n = n, n+r.Bytes()
		}
		if w.Reason == "bytes" && (n < bytes || before >= bytes) || w.Reason == "timeout" && n >= bytes {
			t.Errorf("%v closed by %s with %d bytes, %d before the last record: WINDOW_BYTES is %d", w, w.Reason, n, before, bytes)
		}
	}
}

func requireGrid(t testing.TB, windows []lab.Window) {
	t.Helper()
	for _, w := range windows {
		if w.Start%interval != 0 || w.End != w.Start+interval {
			t.Errorf("%v is from %d to %d: not on the grid of %d ms", w, w.Start, w.End, interval)
		}
	}
	requireApart(t, windows)
}

func requireApart(t testing.TB, windows []lab.Window) {
	t.Helper()
	for i, w := range windows {
		if i > 0 && w.Start < windows[i-1].End {
			t.Errorf("%v begins at %d, the one before it ends at %d", w, w.Start, windows[i-1].End)
		}
	}
}

func requireSlides(t testing.TB, windows []lab.Window) {
	t.Helper()
	for i, w := range windows {
		if w.Start%slide != 0 || w.End != w.Start+interval {
			t.Errorf("%v is from %d to %d: want %d ms, beginning at a multiple of %d", w, w.Start, w.End, interval, slide)
		}
		if i > 0 && w.Start <= windows[i-1].Start {
			t.Errorf("%v begins at %d, the one before it at %d", w, w.Start, windows[i-1].Start)
		}
	}
}

func requireSessions(t testing.TB, windows []lab.Window) {
	t.Helper()
	for _, w := range windows {
		if w.Count < 1 || w.End <= w.Start || w.End > w.Start+interval {
			t.Errorf("%v is from %d to %d: want at most %d ms, and no session of nothing", w, w.Start, w.End, interval)
		}
	}
}

// requireCopies requires each of a partition's n records in so many windows at most, and in one at least; in each window
// they are in order.
func requireCopies(t testing.TB, windows []lab.Window, partition, n, most int) {
	t.Helper()
	copies := make([]int, n)
	for _, w := range windows {
		last := -1
		for _, r := range job.InputsOf(t, []lab.Window{w}) {
			if r.P != partition || r.I <= last || r.I >= n {
				t.Fatalf("%v holds record %d of partition %d after record %d", w, r.I, r.P, last)
			}
			last = r.I
			copies[r.I]++
		}
	}
	for i, c := range copies {
		if c < 1 || c > most {
			t.Errorf("record %d of partition %d is in %d windows, want 1 to %d", i, partition, c, most)
		}
	}
}

var sinks = []string{"kafka", "mongo"}

// servers are shared by all cases.
type servers struct {
	kafka *lab.KafkaServer
	redis *lab.RedisServer
	mongo *lab.MongoServer
}

// A program dies at each write, right before it and right after it; another one goes on. Nothing is lost, nothing comes
// twice, and every point in the code has been died at.
func TestCrashPoints(t *testing.T) {
	for _, name := range emit.Names() {
		if !slices.ContainsFunc(emitters, func(s strategy) bool { return s.name == name }) {
			t.Errorf("the emitter %s is not among those of this test: add it", name)
		}
	}
	s := servers{kafka: lab.Kafka(t), redis: lab.Redis(t), mongo: lab.Mongo(t)}
	var mu sync.Mutex
	died := map[string]int{}
	begun := 0
	cases := allCases()
	t.Run("at", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.String(), func(t *testing.T) {
				mu.Lock()
				begun++
				mu.Unlock()
				t.Parallel()
				c.run(t, s)
				mu.Lock()
				died[c.point]++
				mu.Unlock()
			})
		}
	})
	if t.Failed() || begun < len(cases) {
		return // failed, or only some were asked for
	}
	inCode, err := pointsInCode("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(inCode)) {
		if died[name] == 0 {
			t.Errorf("no program died at %s: add it to the writes", name)
		}
	}
	t.Logf("%d points, %d deaths", len(died), len(cases))
}

// crash is one case: a point, the occurrence, an emitter, a sink.
type crash struct {
	write
	point   string
	n       int
	emitter int
	sink    string
}

func (c crash) String() string {
	return fmt.Sprintf("%s@%d/%s/%s", c.point, c.n, emitters[c.emitter].name, c.sink)
}

// allCases pairs every point with every emitter, and with every sink; with -full all of them with one another.
func allCases() (cases []crash) {
	for i, w := range writes {
		for j, when := range []string{"before", "after"} {
			for e := range emitters {
				for s, sink := range sinks {
					if w.sink != "" && w.sink != sink {
						continue
					}
					if !*full && w.sink == "" && (i+j+e+s)%len(sinks) != 0 {
						continue
					}
					cases = append(cases, crash{write: w, point: w.name + "." + when, n: w.times[e%len(w.times)], emitter: e, sink: sink})
				}
			}
		}
	}
	return cases
}

func (c crash) run(t *testing.T, s servers) {
	w := job.On(t, s.kafka, s.redis)
	w.Env = []string{"LEASE_TTL=300ms"}
	w.CreateTopics(partitions)
	journal := fmt.Sprintf("windrow.%s.p.journal", w.Stream)
	if c.name != "topic.create" {
		s.kafka.CreateTopic(t, journal, 2, "cleanup.policy", "compact")
	}
	t.Cleanup(func() { s.kafka.DeleteTopics(t, w.Topic, w.Out, w.Out+".dead", journal) })
	out := newOutput(t, w, s, c.sink)
	settings := append(append([]string{"EMITTER=" + emitters[c.emitter].name}, emitters[c.emitter].settings...), out.settings...)
	start := func(program string, more ...string) *lab.Program {
		if program == ingest {
			return w.Ingest(more...)
		}
		return w.Worker(append(settings, more...)...)
	}

	other := ingest
	if c.program == ingest {
		other = worker
	}
	survivor := start(other)
	victim := start(c.program, fmt.Sprintf("WINDROW_FAULT=%s@%d", c.point, c.n))
	const most = 60 // rounds; a write that does not come in them comes with time, or not at all
	rounds := 0
	for rounds < most && victim.Running() {
		w.Produce(partitions, rounds*perRound, (rounds+1)*perRound)
		rounds++
		out.until(rounds*perRound*partitions, func() bool { return !victim.Running() })
		if c.ending && victim.Running() {
			victim.Terminate(t)
			victim.Wait(t, job.Patience)
		}
	}
	lab.WaitFor(t, job.Patience, fmt.Sprintf("%s to come to %s the %d. time", victim.Name, c.point, c.n), func() bool { return !victim.Running() })
	if code := victim.Wait(t, job.Patience); code != -1 || !strings.Contains(victim.Log(), "fault: killed at "+c.point) {
		t.Fatalf("%s ended with code %d, not killed at %s", victim.Name, code, c.point)
	}

	successor := start(c.program)
	w.Produce(partitions, rounds*perRound, (rounds+1)*perRound)
	rounds++
	out.until(rounds*perRound*partitions, func() bool { return false })
	lab.Stop(t, survivor, successor)
	strategy := emitters[c.emitter]
	if strategy.copies == 0 {
		job.RequireOnce(t, w, out.all(), partitions, rounds*perRound)
	}
	shards := job.ByShard(t, out.all())
	for p := range partitions {
		windows := shards[w.Shard(p)]
		if strategy.copies > 0 {
			requireCopies(t, windows, p, rounds*perRound, strategy.copies)
		}
		strategy.check(t, windows)
	}
}

// output is where a case's windows go.
type output struct {
	t        testing.TB
	settings []string
	kafka    *job.Collected
	mongo    *mongo.Collection
}

func newOutput(t testing.TB, w *job.Job, s servers, sink string) *output {
	if sink == "kafka" {
		return &output{t: t, kafka: w.Collect(w.Out)}
	}
	return &output{
		t: t, mongo: s.mongo.Collection(t, w.Stream, "windows"),
		settings: []string{"SINK=mongo", "MONGO_URL=" + s.mongo.URL, "MONGO_DATABASE=" + w.Stream, "MONGO_COLLECTION=windows"},
	}
}

// until waits until n records have come, in any windows, or until enough.
func (o *output) until(n int, enough func() bool) {
	o.t.Helper()
	if o.kafka != nil {
		o.kafka.Until(job.Patience, fmt.Sprintf("%d records in windows", n), func() bool {
			o.kafka.Decode()
			return distinct(o.t, o.kafka.Windows) >= n || enough()
		})
		return
	}
	lab.WaitFor(o.t, job.Patience, fmt.Sprintf("%d records in windows in MongoDB", n), func() bool {
		return distinct(o.t, o.all()) >= n || enough()
	})
}

// distinct is the number of records in windows, one in several counted once.
func distinct(t testing.TB, windows []lab.Window) int {
	t.Helper()
	seen := map[job.Input]bool{}
	for _, r := range job.InputsOf(t, windows) {
		seen[r] = true
	}
	return len(seen)
}

func (o *output) all() []lab.Window {
	o.t.Helper()
	if o.kafka != nil {
		return o.kafka.All()
	}
	return lab.MongoWindows(o.t, o.mongo)
}
