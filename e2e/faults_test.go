package e2e

import (
	"testing"
	"time"

	"github.com/windrow-io/windrow/e2e/lab"
)

// A broker that does not answer for a while, but keeps its session: the programs' requests time out, their outcome is not
// known.
func TestMainJobWithBrokerPaused(t *testing.T) {
	t.Parallel()
	w := &world{t: t, kafka: lab.Kafka(t, lab.WithoutAutoCreate(), lab.Property("broker.session.timeout.ms", "60000")), redis: lab.Redis(t)}
	w.name()
	w.createTopics(mainPartitions)
	programs := []*lab.Program{w.ingest(), w.worker(mainWindows...), w.worker(mainWindows...)}
	fed := w.trickle(mainPartitions, mainPerPartition, 2*feeding)
	out := w.collect(w.out)
	for _, part := range []int{8, 4, 2} {
		out.untilRecords(mainTotal / part)
		w.kafka.Pause(t)
		time.Sleep(3 * time.Second)
		w.kafka.Resume(t)
	}
	<-fed
	out.untilRecords(mainTotal)
	lab.Stop(t, programs...)
	requireExact(t, w, out.all(), mainPartitions, mainPerPartition, mainSize)
	requireOrderInPartitions(t, out)
}

func TestMainJobWithBrokerKilled(t *testing.T) {
	t.Parallel()
	w := &world{t: t, kafka: lab.Kafka(t, lab.WithoutAutoCreate()), redis: lab.Redis(t)}
	w.name()
	w.createTopics(mainPartitions)
	programs := []*lab.Program{w.ingest(), w.worker(mainWindows...), w.worker(mainWindows...)}
	fed := w.trickle(mainPartitions, mainPerPartition, 2*feeding)
	out := w.collect(w.out)
	for _, part := range []int{8, 4, 2} {
		out.untilRecords(mainTotal / part)
		w.kafka.Kill()
		w.kafka.Start(t)
	}
	<-fed
	out.untilRecords(mainTotal)
	lab.Stop(t, programs...)
	requireExact(t, w, out.all(), mainPartitions, mainPerPartition, mainSize)
	requireOrderInPartitions(t, out)
}
