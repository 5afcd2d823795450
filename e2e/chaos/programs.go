package chaos

import (
	"fmt"
	"strings"
	"time"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// longerThanLease is how long a program is paused to lose its shards: the tests' lease is a second.
const longerThanLease = 3 * time.Second

// What happens to Windrow's own programs.
var programScenarios = []scenario{
	{
		name: "programs killed", does: "kill -9 of a worker and of ingest; others take over, or are started", expects: exactlyOnce, short: true,
		play: func(r *run) {
			r.usual()
			r.load(
				fault{"kill -9 of worker 1", func() { r.kill("worker 1") }},
				fault{"kill -9 of ingest 1, ingest 2 started", func() { r.kill("ingest 1"); r.start("ingest 2") }},
				fault{"worker 3 started, kill -9 of worker 2", func() { r.start("worker 3"); r.kill("worker 2") }},
			)
		},
	},
	{
		name: "programs paused", does: "SIGSTOP of a worker and of ingest for three times the lease, while others take over; then they go on as zombies", expects: exactlyOnce, short: true,
		play: func(r *run) {
			r.usual()
			r.start("ingest 2")
			r.load(r.paused("worker 1"), r.paused("ingest 1"), r.paused("worker 2"))
		},
	},
	{
		name: "scaling", does: "workers 1 → 5 → 2 and ingest 1 → 3 → 1, in good order, under load", expects: exactlyOnce, short: true,
		play: func(r *run) {
			r.usual()
			r.start("ingest 1")
			r.start("worker 1")
			r.under(
				fault{"workers 1 → 5", func() { r.startAll("worker 2", "worker 3", "worker 4", "worker 5") }},
				fault{"ingest 1 → 3", func() { r.startAll("ingest 2", "ingest 3") }},
				fault{"four workers hold a shard each", func() {
					lab.WaitFor(r.t, job.Patience, "four of five workers to hold a shard", func() bool { return r.holders() == partitions })
				}},
				fault{"workers 5 → 2", func() { r.end("worker 1", "worker 3", "worker 5") }},
				fault{"ingest 3 → 1", func() { r.end("ingest 1", "ingest 3") }},
			)
			r.exactlyOnce()
		},
	},
	{
		name: "rolling restart", does: "each program in turn is stopped and started again", expects: exactlyOnce,
		play: func(r *run) {
			r.usual()
			r.load(r.restarted("worker 1"), r.restarted("worker 2"), r.restarted("ingest 1"), r.restarted("worker 1"))
		},
	},
	{
		name: "new settings", does: "workers are started with another window size, one by kill -9; then with the old one", expects: exactlyOnce,
		play: func(r *run) {
			r.usual()
			// Whatever waits when the settings change, this many records are windows under either.
			const half = countSize / 2
			r.load(
				fault{fmt.Sprintf("worker 1: windows of %d", half), func() { r.end("worker 1"); r.start("worker 1", fmt.Sprintf("WINDOW_SIZE=%d", half)) }},
				fault{"kill -9 of worker 2, started with the new settings", func() { r.kill("worker 2"); r.start("worker 2", fmt.Sprintf("WINDOW_SIZE=%d", half)) }},
				fault{"the old settings again", func() { r.end("worker 1", "worker 2"); r.startAll("worker 1", "worker 2") }},
			)
		},
	},
}

// paused pauses a program for longer than a lease.
func (r *run) paused(name string) fault {
	return fault{fmt.Sprintf("SIGSTOP of %s for %v, then SIGCONT", name, longerThanLease), func() {
		p := r.named(name)
		p.Pause(r.t)
		time.Sleep(longerThanLease)
		p.Resume(r.t)
	}}
}

// restarted stops a program in good order and starts it again.
func (r *run) restarted(name string) fault {
	return fault{name + " stopped and started", func() { r.end(name); r.start(name) }}
}

func (r *run) startAll(names ...string) {
	for _, name := range names {
		r.start(name)
	}
}

// holders is the number of workers that hold a shard.
func (r *run) holders() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, p := range r.programs {
		if shards, _ := p.Metric("windrow_process_shards"); strings.HasPrefix(name, "worker") && shards > 0 {
			n++
		}
	}
	return n
}
