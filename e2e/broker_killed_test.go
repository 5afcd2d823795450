package e2e

import (
	"testing"

	"github.com/windrow-io/windrow/e2e/lab"
)

// The broker is killed between transactions: one killed within may leave it open for ever, see
// TestMainJobWithBrokerRestarted.
func TestQuietBrokerKilled(t *testing.T) {
	t.Parallel()
	const n = 5_000
	w := privateWorld(t, lab.Redis(t))
	programs := []*lab.Program{w.ingest(), w.worker(mainWindows...), w.worker(mainWindows...)}
	out := w.collect(w.out)
	for round := range 3 {
		if round > 0 {
			// Checkpoints are taken, and empty the buffer: no transaction follows until there are new records.
			lab.WaitFor(t, patience, "the buffer to be empty", func() bool { return w.redis.Waiting(t, w.stream) == 0 })
			w.kafka.Kill()
			w.kafka.Start(t)
		}
		w.produce(mainPartitions, round*n, (round+1)*n)
		out.untilRecords(mainPartitions * (round + 1) * n)
	}
	lab.Stop(t, programs...)
	requireExact(t, w, out.all(), mainPartitions, 3*n, mainSize)
	requireOrderInPartitions(t, out)
}
