package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

const (
	takeoverGoal = 5 * time.Second
	// noTakeover is less than any takeover lasts: a lease of 3 s, renewed every second.
	noTakeover = 2 * time.Second
	// tooBusy is the load of each core beyond which these are not judged.
	tooBusy = 2
)

// Takeover is how long it took others to go on with what a killed worker did.
type Takeover struct {
	Kills  int     `json:"kills"`
	Median float64 `json:"median"` // seconds
	Worst  float64 `json:"worst"`
	Others float64 `json:"others"` // the longest that a shard of other workers was without a window meanwhile
}

// How long the shards of a killed worker stand still, at the default lease.
var takeoverScenario = scenario{
	name: "takeover", does: "kill -9 of one of three workers, again and again, at the default lease; a new one is started each time", short: true,
	expects: exactlyOnce,
	play: func(r *run) {
		r.usual()
		r.settings = append(r.settings, "LEASE_TTL=") // the default
		kills := 3
		if r.full {
			kills = 20
		}
		r.start("ingest 1")
		for i := range 3 {
			r.startNamed(i + 1)
		}
		var took []time.Duration
		var stalled time.Duration
		r.while(func() {
			for i := range kills {
				t, others := r.takeover(i % partitions)
				took, stalled = append(took, t), max(stalled, others)
				r.startNamed(i + 4)
			}
		})
		r.exactlyOnce()

		slices.Sort(took)
		median, worst := took[len(took)/2], took[len(took)-1]
		r.result.Takeover = &Takeover{kills, median.Seconds(), worst.Seconds(), stalled.Seconds()}
		r.note("%d kills: the output of the dead worker's shards went on after %.1f s in the median, %.1f s at the worst", kills, median.Seconds(), worst.Seconds())
		r.note("meanwhile the other shards were without a window for %.2f s at the most", stalled.Seconds())
		if !r.full || r.meters.busy() > tooBusy { // where others work, too, times tell of them
			return
		}
		if worst > takeoverGoal {
			r.wrong(fmt.Sprintf("a takeover lasted %v, the goal is %v", worst, takeoverGoal))
		}
		if stalled > noTakeover {
			r.wrong(fmt.Sprintf("the other shards waited, too: %v", stalled))
		}
	},
}

// startNamed starts worker n, which calls itself by its name here, so that the leases tell who holds what.
func (r *run) startNamed(n int) {
	r.start(fmt.Sprintf("worker %d", n), fmt.Sprintf("WORKER=worker-%d", n))
}

// takeover kills the worker that holds a partition's shard, and says how long all its shards gave nothing, and how long the
// others did meanwhile. All must go on.
func (r *run) takeover(partition int) (took, others time.Duration) {
	r.t.Helper()
	r.more(perSecond * len(r.sent))
	var its, rest []int
	var victim string
	lab.WaitFor(r.t, job.Patience, "every shard to be held", func() bool {
		its, rest = nil, nil
		holders := make([]string, len(r.sent))
		for p := range holders { // each once: a lease may be taken between two looks
			holders[p] = r.holder(p)
		}
		victim = holders[partition]
		for p, holder := range holders {
			switch holder {
			case "":
				return false
			case victim:
				its = append(its, p)
			default:
				rest = append(rest, p)
			}
		}
		return len(rest) > 0
	})
	victim = strings.Replace(victim, "-", " ", 1)
	begun := time.Now()
	r.kill(victim)
	killed, sent := time.Now(), r.sentSoFar()
	lab.WaitFor(r.t, 2*job.Patience, "the output of the dead worker's and the other shards to go on", func() bool {
		return !slices.ContainsFunc(slices.Concat(its, rest), func(p int) bool { return r.watch.reached(p, sent[p]).IsZero() })
	})
	for _, p := range its {
		took = max(took, r.watch.reached(p, sent[p]).Sub(killed))
	}
	for _, p := range rest {
		others = max(others, r.watch.stall(p, killed, killed.Add(took)))
	}
	r.struck(fmt.Sprintf("kill -9 of %s with %d shards", victim, len(its)), begun, killed, took)
	return took, others
}

// holder is who holds the lease of a partition's shard, if anybody does.
func (r *run) holder(partition int) string {
	key := fmt.Sprintf("windrow:{%s/%s}:p:lease", r.Stream, r.Shard(partition))
	holder, err := r.client.Get(r.t.Context(), key).Result()
	if err != nil && err != redis.Nil {
		r.t.Fatal(err)
	}
	return holder
}
