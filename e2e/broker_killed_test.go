package e2e

import (
	"testing"

	"github.com/windrow-io/windrow/e2e/lab"
)

// The broker is killed between transactions. A lone one that dies within a transaction, between its decision and its
// markers, sometimes comes back without ever writing them (Kafka 3.9.2 and 4.3.1).
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
