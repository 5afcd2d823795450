package e2e

import (
	"testing"
	"time"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// The main job: 200,000 records, 50,000 in each of 4 partitions, in windows of exactly 100.
const (
	mainPartitions   = 4
	mainPerPartition = 50_000
	mainTotal        = mainPartitions * mainPerPartition
	mainSize         = 100
)

// mainWindows is the setting of the main job's workers.
var mainWindows = []string{"EMITTER=count", "WINDOW_SIZE=100"}

// feeding is over how long the records of the main job come where something is to happen midway.
const feeding = 6 * time.Second

func TestMainJobKafkaToKafka(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mainPartitions)
	w.Produce(mainPartitions, 0, mainPerPartition)
	programs := []*lab.Program{w.Ingest(), w.Worker(mainWindows...), w.Worker(mainWindows...)}
	out := w.Collect(w.Out)
	out.UntilRecords(mainTotal)
	lab.Stop(t, programs...)
	job.RequireExact(t, w.Job, out.All(), mainPartitions, mainPerPartition, mainSize)
	job.RequireOrderInPartitions(t, out)
}

// With workers paused while lanes are cut away, records are sure to be missing from the buffer that nobody has read.
func TestRecordsCutAwayUnreadComeFromTheSource(t *testing.T) {
	t.Parallel()
	const partitions, n = 2, 5_000
	w := newWorld(t, partitions)
	ingest := w.Ingest()
	w.Produce(partitions, 0, n)
	lab.WaitFor(t, job.Patience, "the buffer to hold every record", func() bool { return w.Buffered(partitions) == partitions*n })
	for _, lane := range w.Redis.Lanes(t, w.Stream) {
		if err := w.Redis.Client(t).XTrimMaxLen(t.Context(), lane, 0).Err(); err != nil {
			t.Fatalf("XTRIM %s: %v", lane, err)
		}
	}
	if held := w.Redis.Waiting(t, w.Stream); held != 0 {
		t.Fatalf("%d entries are left after XTRIM", held)
	}
	first, second := w.Worker(mainWindows...), w.Worker(mainWindows...)
	out := w.Collect(w.Out)
	out.UntilRecords(partitions * n)
	lab.Stop(t, ingest, first, second)
	job.RequireExact(t, w.Job, out.All(), partitions, n, mainSize)
}

func TestMainJobIntoMongo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mainPartitions)
	mongo := lab.Mongo(t)
	settings := append([]string{"SINK=mongo", "MONGO_URL=" + mongo.URL, "MONGO_DATABASE=d", "MONGO_COLLECTION=c"}, mainWindows...)
	w.Produce(mainPartitions, 0, mainPerPartition)
	ingest, first, second := w.Ingest(), w.Worker(settings...), w.Worker(settings...)
	collection := mongo.Collection(t, "d", "c")
	holds := func(windows int64) func() bool {
		return func() bool {
			n, err := collection.EstimatedDocumentCount(t.Context())
			return err == nil && n >= windows
		}
	}
	lab.WaitFor(t, job.Patience, "all windows in MongoDB", holds(mainTotal/mainSize))
	lab.Stop(t, ingest, first, second)
	job.RequireExact(t, w.Job, lab.MongoWindows(t, collection), mainPartitions, mainPerPartition, mainSize)
}

func TestMainJobIntoMongoWithWorkerAndIngestKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mainPartitions)
	mongo := lab.Mongo(t)
	proxy := lab.NewProxy(t, mongo.Addr)
	settings := append([]string{"SINK=mongo", "MONGO_URL=mongodb://" + proxy.Addr, "MONGO_DATABASE=d", "MONGO_COLLECTION=c"}, mainWindows...)
	ingest, first, second := w.Ingest(), w.Worker(settings...), w.Worker(settings...)
	fed := w.Trickle(mainPartitions, mainPerPartition, feeding)
	collection := mongo.Collection(t, "d", "c")
	until := func(windows int64) {
		t.Helper()
		lab.WaitFor(t, job.Patience, "windows in MongoDB", func() bool {
			n, err := collection.EstimatedDocumentCount(t.Context())
			return err == nil && n >= windows
		})
	}
	const windows = mainTotal / mainSize
	until(windows / 5)
	first.Kill()
	until(windows / 3)
	proxy.DropReplies() // what was written then is written again
	second.NotReady(t, job.Patience, "mongo")
	proxy.Accept()
	until(windows / 2)
	ingest.Kill()
	ingest = w.Ingest()
	<-fed
	until(windows)
	lab.Stop(t, ingest, second)
	job.RequireExact(t, w.Job, lab.MongoWindows(t, collection), mainPartitions, mainPerPartition, mainSize)
}
