package e2e

import (
	"testing"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// One pipeline writes to Kafka and MongoDB: each has every window exactly once, also when workers die and MongoDB is away
// meanwhile.
func TestSeveralSinks(t *testing.T) {
	t.Parallel()
	const partitions, n, size = 2, 2000, 100
	w := newWorld(t, partitions)
	mongo := lab.Mongo(t)
	proxy := lab.NewProxy(t, mongo.Addr)
	settings := []string{"EMITTER=count", "WINDOW_SIZE=100", "SINK=kafka,mongo", "MONGO_URL=mongodb://" + proxy.Addr, "MONGO_DATABASE=d", "MONGO_COLLECTION=" + w.Stream}
	ingest := w.Ingest()
	a, b := w.Worker(settings...), w.Worker(settings...)
	out := w.Collect(w.Out)
	documents := mongo.Collection(t, "d", w.Stream)
	w.Produce(partitions, 0, n/2)
	out.UntilRecords(partitions * n / 2)
	untilDocuments := func(windows int) {
		lab.WaitFor(t, job.Patience, "the documents", func() bool { return len(lab.Documents(t, documents)) >= windows })
	}
	untilDocuments(partitions * n / 2 / size)
	proxy.Refuse()
	w.Produce(partitions, n/2, n/2+4*size)
	out.UntilRecords(partitions*n/2 + size) // committed in Kafka, not in MongoDB
	a.Kill()
	b.Kill()
	proxy.Accept()
	c := w.Worker(settings...)
	w.Produce(partitions, n/2+4*size, n)
	out.UntilRecords(partitions * n)
	untilDocuments(partitions * n / size)
	lab.Stop(t, c, ingest)
	job.RequireExact(t, w.Job, out.All(), partitions, n, size)
	job.RequireExact(t, w.Job, lab.MongoWindows(t, documents), partitions, n, size)
}
