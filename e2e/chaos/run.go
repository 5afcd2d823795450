package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// scenario is a story: what happens to a stream under load, and what must come out.
type scenario struct {
	name    string
	does    string
	expects string // exactlyOnce, or what else
	short   bool   // part of the short form
	play    func(r *run)
}

const exactlyOnce = "exactly once"

// The load of a scenario: so many records a second go to each of so many partitions, and become windows of countSize.
const (
	partitions = 4
	perSecond  = 2000
	countSize  = 100
)

// run is a scenario being played.
type run struct {
	*job.Job
	t        testing.TB
	full     bool     // not the short form
	program  string   // of the workers
	settings []string // of the workers

	workerBytes float64 // that a worker may have resident

	redis      func() *lab.RedisServer // the one in use
	client     *redis.Client           // of the first
	watch      *watch
	meters     *meters
	stopMeters func()

	mu       sync.Mutex
	sent     []int                   // records of each partition
	poison   []int                   // records of each partition that can't be processed, beside them
	poisoned bool                    // some windows can't be processed
	byKey    bool                    // windows are per key
	mongo    *mongo.Collection       // where windows go, too
	burst    int                     // records of partition 0 to be sent at once
	programs map[string]*lab.Program // by the names that start gave them
	limits   map[string]float64
	result   Result
}

// Fault is one thing that was done to the stream.
type Fault struct {
	Seconds   float64 `json:"s"` // since the begin
	What      string  `json:"what"`
	Lasted    float64 `json:"lasted"`    // seconds
	Recovered float64 `json:"recovered"` // seconds from its end until every shard had given a window with a record sent after it
}

// Result is what the report shows of a scenario.
type Result struct {
	Name     string   `json:"name"`
	Does     string   `json:"does"`
	Expects  string   `json:"expects"`
	Verdict  string   `json:"verdict"`
	Wrong    []string `json:"wrong,omitempty"`
	Notes    []string `json:"notes,omitempty"`
	Seconds  float64  `json:"seconds"`
	Recovery float64  `json:"recovery"` // the longest
	Busy     float64  `json:"busy"`     // the machine's mean load for each core
	Faults   []Fault  `json:"faults"`
	Tally
	Takeover   *Takeover `json:"takeover,omitempty"`
	Memory     []Curve   `json:"memory,omitempty"`
	Throughput []Curve   `json:"throughput,omitempty"`
}

const (
	passed = "passed"
	failed = "FAILED"
)

// usual puts the run on the shared Kafka and a Redis of its own.
func (r *run) usual(options ...string) {
	r.t.Helper()
	r.on(lab.Kafka(r.t), lab.Redis(r.t, options...))
}

// on makes the run's stream on these servers, and begins the measuring.
func (r *run) on(kafka *lab.KafkaServer, redis *lab.RedisServer) {
	r.t.Helper()
	lab.Build(r.t, "ingest") // before the measuring
	lab.Build(r.t, r.program)
	r.Job = job.On(r.t, kafka, redis)
	r.Env = []string{"LOG_LEVEL=info"}
	r.redis = func() *lab.RedisServer { return redis }
	r.client = redis.Client(r.t)
	r.CreateTopics(partitions)
	r.watch.follow(r.t, kafka, r.Out, r.Out+".dead")
	r.meters = &meters{begin: time.Now(), of: map[string]*Curve{}}
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	r.stopMeters = sync.OnceFunc(func() { cancel(); <-done })
	r.t.Cleanup(r.stopMeters)
	go func() {
		defer close(done)
		r.sample(ctx)
	}()
}

const sampleEvery = 250 * time.Millisecond

func (r *run) sample(ctx context.Context) {
	clients := map[string]*redis.Client{}
	defer func() {
		for _, c := range clients {
			c.Close()
		}
	}()
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	before, at := 0, time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.mu.Lock()
		programs, limits, server := maps.Clone(r.programs), maps.Clone(r.limits), r.redis()
		r.mu.Unlock()
		for name, p := range programs {
			if n, err := p.Memory(); err == nil && n > 0 {
				r.meters.add(name, float64(n), limits[name])
			}
		}
		c := clients[server.Addr]
		if c == nil {
			c = redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1, ReadTimeout: sampleEvery, DialTimeout: sampleEvery})
			clients[server.Addr] = c
		}
		if n, err := server.Memory(ctx, c); err == nil {
			r.meters.add("redis", float64(n), limits["redis"])
		}
		r.meters.load()
		records := r.watch.held()
		now := time.Now()
		r.meters.add(throughput, float64(records-before)/now.Sub(at).Seconds(), 0)
		before, at = records, now
	}
}

// limitRedis says what Redis may use of memory, in bytes; it is checked at the end.
func (r *run) limitRedis(bytes float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limits["redis"] = bytes
}

// What programs may use of memory, if a scenario does not say otherwise: half the chart's limits.
const (
	ingestBytes = 128 << 20
	workerBytes = 256 << 20
)

// memoryLimit tells a program's collector of its limit, as the chart does.
func memoryLimit(bytes float64) string { return fmt.Sprintf("GOMEMLIMIT=%.0f", bytes*0.9) }

// start starts a program under a name: "ingest 1", "worker 2". The names are the curves'.
func (r *run) start(name string, settings ...string) *lab.Program {
	r.t.Helper()
	var p *lab.Program
	limit := r.workerBytes
	if name[0] == 'i' {
		limit = ingestBytes
		p = r.Ingest(append([]string{memoryLimit(limit)}, settings...)...)
	} else {
		p = r.WorkerProgram(r.program, slices.Concat([]string{memoryLimit(limit)}, r.settings, settings)...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.programs[name], r.limits[name] = p, limit
	return p
}

// take forgets programs, and returns them.
func (r *run) take(names ...string) (programs []*lab.Program) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		programs = append(programs, r.programs[name])
		delete(r.programs, name)
	}
	return programs
}

// end stops programs in good order.
func (r *run) end(names ...string) { r.t.Helper(); lab.Stop(r.t, r.take(names...)...) }

// kill ends programs as kill -9 does.
func (r *run) kill(names ...string) {
	for _, p := range r.take(names...) {
		p.Kill()
	}
}

func (r *run) named(name string) *lab.Program {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.programs[name]
}

// feed sends records to every partition in the background, until stop is called.
func (r *run) feed() (stop func()) {
	r.t.Helper()
	client, known := r.Kafka.Producer(r.t), len(r.sent)
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second * countSize / perSecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			records := r.next()
			if n := len(r.sentSoFar()); n != known { // a client learns of new partitions in minutes
				client, known = r.Kafka.Producer(r.t), n
			}
			if err := client.ProduceSync(r.t.Context(), records...).FirstErr(); err != nil {
				r.t.Errorf("producing to %s: %v", r.Topic, err)
				return
			}
		}
	}()
	return sync.OnceFunc(func() { cancel(); <-done })
}

// next makes the records of each partition's next window.
func (r *run) next() (records []*kgo.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, from := range r.sent {
		n := countSize
		if p == 0 {
			n += r.burst
			r.burst = 0
		}
		records = append(records, r.Inputs(p, from, from+n)...)
		r.sent[p] += n
		if r.poison != nil {
			records = append(records, r.poisonRecord(p, r.poison[p]))
			r.poison[p]++
		}
	}
	return records
}

// total is how many records were sent.
func (r *run) total() int { return sum(r.sentSoFar()) }

// more waits until windows with n more records have come.
func (r *run) more(n int) {
	r.t.Helper()
	before := r.watch.held()
	lab.WaitFor(r.t, 2*job.Patience, fmt.Sprintf("windows with %d more records", n), func() bool {
		return r.watch.held() >= before+n
	})
}

// fault is something to be done to the stream.
type fault struct {
	what string
	do   func()
}

// load starts an ingest and two workers, and does one thing after the other while records flow; the output of every shard
// must go on after each. At the end it must be exactly once.
func (r *run) load(faults ...fault) {
	r.t.Helper()
	r.start("ingest 1")
	r.start("worker 1")
	r.start("worker 2")
	r.under(faults...)
	r.exactlyOnce()
}

// under does one thing after the other while records flow.
func (r *run) under(faults ...fault) {
	r.t.Helper()
	r.while(func() {
		for _, f := range faults {
			r.strike(f)
			r.more(perSecond * len(r.sent))
		}
	})
}

// while does something while records flow, once every shard has given windows.
func (r *run) while(do func()) {
	r.t.Helper()
	stop := r.feed()
	defer stop()
	lab.WaitFor(r.t, job.Patience, "windows of all shards", func() bool { return r.watch.partitions() == len(r.sent) })
	r.more(perSecond * len(r.sent))
	do()
}

// strike does something to the stream, and waits until every shard has given a window with a record sent after it.
func (r *run) strike(f fault) {
	r.t.Helper()
	begun := time.Now()
	f.do()
	over, sent := time.Now(), r.sentSoFar()
	var recovered time.Duration
	lab.WaitFor(r.t, 2*job.Patience, "the output of every shard to go on after: "+f.what, func() bool {
		for p, n := range sent {
			reached := r.watch.reached(p, n)
			if reached.IsZero() {
				return false
			}
			recovered = max(recovered, reached.Sub(over))
		}
		return true
	})
	r.struck(f.what, begun, over, recovered)
}

// sentSoFar is the number of records of each partition.
func (r *run) sentSoFar() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

// struck notes a fault and what it took to recover from it.
func (r *run) struck(what string, begun, over time.Time, recovered time.Duration) {
	r.t.Logf("%s: output again after %.1f s", what, recovered.Seconds())
	r.result.Faults = append(r.result.Faults, Fault{
		begun.Sub(r.meters.begin).Seconds(), what, over.Sub(begun).Seconds(), recovered.Seconds(),
	})
	r.result.Recovery = max(r.result.Recovery, recovered.Seconds())
}

// says waits until a program names a condition on its /readyz that is not met, or speaks of something in its message.
func (r *run) says(name, what string) {
	r.t.Helper()
	var said string
	lab.WaitFor(r.t, job.Patience, fmt.Sprintf("/readyz of %s to speak of %s", name, what), func() bool {
		_, body := r.named(name).Get("/readyz")
		var page struct {
			Conditions []struct {
				Name, Message string
				OK            bool
			}
		}
		if json.Unmarshal([]byte(body), &page) != nil { // nobody answered
			return false
		}
		for _, c := range page.Conditions {
			if !c.OK && (c.Name == what || strings.Contains(c.Message, what)) {
				said = fmt.Sprintf("%s: %s", c.Name, c.Message)
			}
		}
		return said != ""
	})
	const most = 200
	if len(said) > most {
		said = said[:most] + "…"
	}
	r.note("%s said: %s", name, said)
}

// wrong says what is not as expected.
func (r *run) wrong(what ...string) {
	r.t.Helper()
	for _, w := range what {
		r.result.Wrong = append(r.result.Wrong, w)
		r.t.Error(w)
	}
}

// note says something that the report shows.
func (r *run) note(format string, args ...any) {
	r.result.Notes = append(r.result.Notes, fmt.Sprintf(format, args...))
}
