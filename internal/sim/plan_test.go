package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/window"
)

// plan is what a seed makes of a run: the pipeline, and what goes wrong how often. Each run has its own mix, so that each
// kind of fault also comes without the others.
type plan struct {
	partitions, workers, ingests, outPartitions int

	job              // the first pipeline's
	second      *job // nil: there is one alone
	direct      bool // records appended by programs, too
	shards      int  // SHARDS, by the field k; 0: by partition
	timed       bool // records say when they happened, which is not the order in which they come
	lease       time.Duration
	transaction time.Duration // time-out
	bufferBytes int64         // BUFFER_MAX_BYTES

	duration time.Duration // of the faults
	pace     time.Duration // mean time between two batches of a partition
	latency  time.Duration // of a call at most

	oneIn    int    // calls that something happens to
	focus    string // calls whose label begins with it meet that more often:
	often    int    // one in so many
	faults   []string
	crashes  bool
	late     bool
	lateness time.Duration
	freeze   time.Duration

	lose        time.Duration // mean time between Redis's losses; 0: none
	clock       time.Duration // mean time between two steps of Redis's clock
	oom         time.Duration
	brokers     int32
	move        time.Duration // mean time between two moves of a leader
	compact     time.Duration
	retain      time.Duration
	scale       time.Duration // mean time between two changes of the processes
	verify      bool          // of transactions at the partitions, as since Kafka 3.6
	slowMarkers int           // one in so many; 0: none
}

// job is what a pipeline does.
type job struct {
	settings []window.Settings // the first, and those that come after it
	sink     string            // kafka, mongo, at-least-once
	handler  bool
}

func newPlan(r *rand.Rand) plan {
	p := plan{
		partitions: 1 + r.IntN(3), workers: 1 + r.IntN(3), ingests: 1 + r.IntN(2), outPartitions: 1 + r.IntN(2),
		job: job{handler: r.IntN(4) == 0},
		// A nanosecond less: tickers of a third and a sixth of it never fire at the same moment.
		lease:       pick(r, 300*time.Millisecond, time.Second, 3*time.Second) - 1,
		transaction: pick(r, 3*time.Second, 15*time.Second),
		bufferBytes: pick[int64](r, 64<<20, 64<<20, 4<<10),
		duration:    time.Duration(4+r.IntN(8)) * time.Second, pace: pick(r, 60*time.Millisecond, 200*time.Millisecond),
		latency: pick(r, 200*time.Microsecond, time.Millisecond, 4*time.Millisecond), often: 6,
		oneIn: pick(r, 300, 100, 100, 40, 15), crashes: r.IntN(4) > 0,
		late: r.IntN(3) > 0, lateness: pick(r, 50*time.Millisecond, time.Second, 6*time.Second),
		freeze: pick(r, 500*time.Millisecond, 4*time.Second, 10*time.Second),
		lose:   pick(r, 0, 2*time.Second, 6*time.Second), oom: pick(r, 0, 0, 4*time.Second),
		compact: pick(r, 0, time.Second), retain: pick(r, 0, time.Second), scale: pick(r, 0, time.Second, 3*time.Second),
		clock:   pick(r, 0, 0, time.Second),
		brokers: pick[int32](r, 1, 2, 2), move: pick(r, 0, 2*time.Second),
		verify: r.IntN(2) == 0, slowMarkers: pick(r, 0, 30, 5),
	}
	if r.IntN(2) == 0 {
		p.focus = pick(r, "mongo", "kafka EndTxn", "kafka EndTxn", "kafka Produce", "kafka AddPartitionsToTxn", "kafka InitProducerID", "kafka InitProducerID", "kafka InitProducerID",
			"kafka OffsetCommit", "kafka Fetch", "redis MULTI", "redis TIME", "redis eval", "redis xtrim")
	}
	if r.IntN(20) == 0 {
		p.oneIn = 0 // what the world does is enough
	}
	for _, f := range []string{"lost request", "lost reply", "late request", "slow request", "slow reply", "refusal", "crash", "freeze"} {
		if r.IntN(3) > 0 {
			p.faults = append(p.faults, f)
		}
	}
	if len(p.faults) == 0 {
		p.faults = []string{"lost reply", "crash", "freeze"}
	}
	switch x := r.IntN(10); {
	case x < 5:
		p.sink = "kafka"
	case x < 9:
		p.sink = "mongo"
	default:
		p.sink = "at-least-once"
	}
	if p.focus == "kafka EndTxn" { // the call whose fate matters most
		p.faults, p.late, p.brokers = []string{"lost request", "lost reply", "late request"}, true, 2
		p.sink, p.outPartitions = "kafka", 2 // several brokers take part
	}
	if p.focus == "kafka InitProducerID" { // two owners at once: the lease has run out, and the old one is fenced late
		p.faults, p.workers, p.sink = []string{"slow request", "slow request", "refusal"}, 3, "kafka"
		p.often, p.oneIn, p.duration = 2, 100, max(p.duration, 9*time.Second)
		p.lose, p.clock, p.lease, p.pace = 0, 300*time.Millisecond, time.Second-1, 60*time.Millisecond
	}
	if p.brokers == 1 {
		p.move = 0
	}
	if r.IntN(4) == 0 {
		p.direct, p.lose = true, 0
		// Who read at the same time are a danger to it.
		p.workers, p.freeze = max(p.workers, 2), 4*time.Second
		p.faults = append(p.faults, "freeze", "freeze")
	}
	p.settings = newSettings(r, pipeline)
	if p.settings[0].Emitter == emit.NameFixed && !p.direct && r.IntN(2) == 0 { // what looks at the time of receipt
		p.clock, p.lose = 500*time.Millisecond, 2*time.Second
	}
	if !p.direct && r.IntN(5) == 0 {
		p.second = &job{settings: newSettings(r, "q")[:1], sink: pick(r, "kafka", "mongo")}
	}
	return p
}

func pick[T any](r *rand.Rand, xs ...T) T { return xs[r.IntN(len(xs))] }

// newSettings draws an emitter, and sometimes the settings that follow on it.
func newSettings(r *rand.Rand, pipeline string) (all []window.Settings) {
	base := window.Settings{Stream: stream, Pipeline: pipeline}
	one := func() window.Settings {
		s := base
		switch r.IntN(4) {
		case 0:
			s.Emitter, s.Size = emit.NameCount, 2+r.IntN(12)
		case 1:
			s.Emitter, s.Size = emit.NameCount, 2+r.IntN(30)
			s.Timeout = pick(r, 100*time.Millisecond, 700*time.Millisecond)
		case 2:
			s.Emitter, s.Interval = emit.NameFixed, pick(r, 100*time.Millisecond, 500*time.Millisecond)
		case 3:
			s.Emitter, s.Interval = emit.NameRelaxed, pick(r, 100*time.Millisecond, 500*time.Millisecond)
		}
		return s
	}
	if r.IntN(6) == 0 {
		base.Emitter = everyThird
		return []window.Settings{base}
	}
	if r.IntN(4) == 0 {
		base.Key = "k"
	}
	all = append(all, one())
	if r.IntN(4) == 0 {
		all = append(all, one())
		if r.IntN(2) == 0 {
			all = append(all, one())
		}
	}
	return all
}

// everyThird is a user's emitter: of the records that wait, the first three whose v is even. The others stay for ever.
const everyThird = "every-third"

type thirds struct{}

func (thirds) Query(w *emit.Waiting) (picked []int) {
	for i := range w.Records {
		if parseDatum(w.Records[i].Value).V%2 == 0 && len(picked) < 3 {
			picked = append(picked, i)
		}
	}
	return picked
}

func (thirds) Ready(_ *emit.Waiting, picked []int) bool { return len(picked) == 3 }

func init() { emit.Register(everyThird, func() emit.Emitter { return thirds{} }) }

// datum is a record's value: its partition, its number among the partition's records, a key, a number.
type datum struct {
	P int    `json:"p"` // -1: the direct lane
	N int    `json:"n"`
	K string `json:"k"`
	V int    `json:"v"`
	T int64  `json:"t,omitempty"` // when it happened, Unix milliseconds; 0: nobody asks
}

func (d datum) json() []byte {
	b := fmt.Appendf(nil, `{"p":%d,"n":%d,"k":"%s","v":%d`, d.P, d.N, d.K, d.V)
	if d.T != 0 {
		b = fmt.Appendf(b, `,"t":%d`, d.T)
	}
	return append(b, '}')
}

func parseDatum(b []byte) (d datum) {
	if err := json.Unmarshal(b, &d); err != nil {
		panic(fmt.Sprintf("sim: %q is not a record of the source: %v", b, err))
	}
	return d
}

func (p plan) String() string {
	s, _ := json.Marshal(p.settings)
	if p.second != nil {
		second, _ := json.Marshal(p.second.settings)
		s = fmt.Appendf(s, ", second pipeline: sink %s, settings %s", p.second.sink, second)
	}
	return fmt.Sprintf("%d partitions, %d ingesters, %d workers, sink %s, handler %v, direct %v, shards %d, lease %v, transactions %v, buffer %d, "+
		"%v of faults one in %d %v more often %q (late %v by %v, freezes of %v), redis loses every %v, its clock steps %v, full %v, %d brokers, leaders move every %v, compaction %v, retention %v, scaling %v, "+
		"verify %v, slow markers %d, latency %v, settings %s",
		p.partitions, p.ingests, p.workers, p.sink, p.handler, p.direct, p.shards, p.lease, p.transaction, p.bufferBytes,
		p.duration, p.oneIn, p.faults, p.focus, p.late, p.lateness, p.freeze, p.lose, p.clock, p.oom, p.brokers, p.move, p.compact, p.retain, p.scale, p.verify, p.slowMarkers, p.latency, s)
}
