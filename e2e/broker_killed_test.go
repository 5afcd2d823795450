package e2e

import (
	"testing"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// The broker is killed between transactions. A lone one that dies within a transaction, between its decision and its
// markers, sometimes comes back without ever writing them (Kafka 3.9.2 and 4.3.1). A program is told of a commit before
// the markers are written: that they are, only the broker knows.
func TestQuietBrokerKilled(t *testing.T) {
	t.Parallel()
	const n = 5_000
	w := privateWorld(t, lab.Redis(t))
	programs := []*lab.Program{w.Ingest(), w.Worker(mainWindows...), w.Worker(mainWindows...)}
	out := w.Collect(w.Out)
	admin := w.Kafka.Admin(t)
	for round := range 3 {
		if round > 0 {
			// Checkpoints are taken, and empty the buffer: no transaction follows until there are new records.
			lab.WaitFor(t, job.Patience, "the buffer to be empty", func() bool { return w.Redis.Waiting(t, w.Stream) == 0 })
			lab.WaitFor(t, job.Patience, "no transaction to be under way", func() bool {
				open, err := admin.ListTransactions(t.Context(), nil, []string{"Ongoing", "PrepareCommit", "PrepareAbort"})
				return err == nil && len(open) == 0
			})
			w.Kafka.Kill()
			w.Kafka.Start(t)
			admin = w.Kafka.Admin(t)
		}
		w.Produce(mainPartitions, round*n, (round+1)*n)
		out.UntilRecords(mainPartitions * (round + 1) * n)
	}
	lab.Stop(t, programs...)
	job.RequireExact(t, w.Job, out.All(), mainPartitions, 3*n, mainSize)
	job.RequireOrderInPartitions(t, out)
}
