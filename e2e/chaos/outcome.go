package chaos

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// exactlyOnce waits until everything sent has come, stops the programs, and requires every record once.
func (r *run) exactlyOnce() {
	r.t.Helper()
	r.settle(r.total())
	r.result.Tally = r.tally()
	r.wrong(r.result.exactlyOnce()...)
	if r.result.Dead > 0 && !r.poisoned {
		r.wrong(fmt.Sprintf("%d windows are dead letters", r.result.Dead))
	}
}

// allBut is exactlyOnce, but for so many records that are lost.
func (r *run) allBut(lost int) {
	r.t.Helper()
	r.settle(r.total() - lost)
	r.result.Tally = r.tally()
	r.result.Due = lost
	r.wrong(r.result.exactlyOnce()...)
}

// settle waits until windows with n records have come, or none has come for a long time: what is missing then is counted.
func (r *run) settle(n int) {
	r.t.Helper()
	const quiet = time.Minute
	before, since := -1, time.Now()
	lab.WaitFor(r.t, 5*job.Patience, fmt.Sprintf("windows with %d records, or none", n), func() bool {
		held := r.watch.held()
		if held != before {
			before, since = held, time.Now()
		}
		return held >= n || time.Since(since) > quiet
	})
}

// tally stops the programs and counts what has come.
func (r *run) tally() Tally {
	r.t.Helper()
	r.stop()
	out := r.Collect(r.Out)
	windows := out.All()
	job.RequireOrderInPartitions(r.t, out)
	dead, letters := deadWindows(r.t, r.Kafka.Consume(r.t, r.Out+".dead").ToEnd())
	t := r.count(append(windows, dead...))
	t.Windows, t.Dead, t.Letters = len(windows), len(dead), len(letters)
	if err := once(letters, r.poison); err != nil {
		t.fault("dead letters of records: %v", err)
	}
	if r.mongo != nil {
		r.sameInMongo(&t, windows)
	}
	return t
}

// count counts windows against what was sent.
func (r *run) count(windows []lab.Window) Tally {
	return count(windows, r.total(), r.byKey, func(in job.Input) bool {
		return in.P >= 0 && in.P < len(r.sent) && in.I >= 0 && in.I < r.sent[in.P]
	})
}

// sameInMongo requires what is in Kafka in MongoDB, too. Programs that stop in good order have delivered it.
func (r *run) sameInMongo(t *Tally, windows []lab.Window) {
	r.t.Helper()
	documents := lab.MongoWindows(r.t, r.mongo, lab.LargeDocuments)
	ids := map[string]bool{}
	for _, w := range windows {
		ids[w.ID] = true
	}
	for _, w := range documents {
		// Parts are cut where each sink's limit is: their numbers, and so their ids, differ behind the first.
		if w.Part == 0 && !ids[w.ID] {
			t.fault("MongoDB has %v, which Kafka has not", w)
		}
	}
	m := r.count(documents)
	for _, wrong := range m.exactlyOnce() {
		t.fault("in MongoDB: %s", wrong)
	}
	r.note("MongoDB has the same records in %d documents", len(documents))
}

// stop ends the measuring and all programs.
func (r *run) stop() {
	r.t.Helper()
	r.stopMeters()
	r.mu.Lock()
	names := slices.Collect(maps.Keys(r.programs))
	r.mu.Unlock()
	r.end(names...)
}
