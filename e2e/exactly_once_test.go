package e2e

import (
	"testing"
	"time"

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
	w.produce(mainPartitions, 0, mainPerPartition)
	programs := []*lab.Program{w.ingest(), w.worker(mainWindows...), w.worker(mainWindows...)}
	out := w.collect(w.out)
	out.untilRecords(mainTotal)
	lab.Stop(t, programs...)
	requireExact(t, w, out.all(), mainPartitions, mainPerPartition, mainSize)
	requireOrderInPartitions(t, out)
}

func TestMainJobWithWorkerAndIngestKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mainPartitions)
	ingest, first, second := w.ingest(), w.worker(mainWindows...), w.worker(mainWindows...)
	fed := w.trickle(mainPartitions, mainPerPartition, feeding)
	out := w.collect(w.out)
	out.untilRecords(mainTotal / 4)
	first.Kill()
	out.untilRecords(mainTotal / 2)
	ingest.Kill()
	ingest = w.ingest()
	<-fed
	out.untilRecords(mainTotal)
	lab.Stop(t, ingest, second)
	requireExact(t, w, out.all(), mainPartitions, mainPerPartition, mainSize)
	requireOrderInPartitions(t, out)
}

func TestMainJobWithFlushAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mainPartitions)
	programs := []*lab.Program{w.ingest(), w.worker(mainWindows...), w.worker(mainWindows...)}
	fed := w.trickle(mainPartitions, mainPerPartition, feeding)
	out := w.collect(w.out)
	out.untilRecords(mainTotal / 3)
	w.redis.FlushAll(t)
	out.untilRecords(mainTotal / 3 * 2)
	w.redis.FlushAll(t)
	<-fed
	out.untilRecords(mainTotal)
	lab.Stop(t, programs...)
	requireExact(t, w, out.all(), mainPartitions, mainPerPartition, mainSize)
	requireOrderInPartitions(t, out)
}

func TestMainJobWithLanesCutAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mainPartitions)
	programs := []*lab.Program{w.ingest(), w.worker(mainWindows...), w.worker(mainWindows...)}
	fed := w.trickle(mainPartitions, mainPerPartition, feeding)
	out := w.collect(w.out)
	cut := func() {
		t.Helper()
		for _, lane := range w.redis.Lanes(t, w.stream) {
			if err := w.redis.Client(t).XTrimMaxLen(t.Context(), lane, 0).Err(); err != nil {
				t.Fatalf("XTRIM %s: %v", lane, err)
			}
		}
	}
	for _, part := range []int{8, 4, 2} {
		out.untilRecords(mainTotal / part)
		cut()
	}
	<-fed
	cut()
	out.untilRecords(mainTotal)
	lab.Stop(t, programs...)
	requireExact(t, w, out.all(), mainPartitions, mainPerPartition, mainSize)
	requireOrderInPartitions(t, out)
}

// With workers paused while lanes are cut away, records are sure to be missing from the buffer that nobody has read.
func TestRecordsCutAwayUnreadComeFromTheSource(t *testing.T) {
	t.Parallel()
	const partitions, n = 2, 5_000
	w := newWorld(t, partitions)
	ingest := w.ingest()
	w.produce(partitions, 0, n)
	lab.WaitFor(t, patience, "the buffer to hold every record", func() bool { return w.buffered(partitions) == partitions*n })
	for _, lane := range w.redis.Lanes(t, w.stream) {
		if err := w.redis.Client(t).XTrimMaxLen(t.Context(), lane, 0).Err(); err != nil {
			t.Fatalf("XTRIM %s: %v", lane, err)
		}
	}
	if held := w.redis.Waiting(t, w.stream); held != 0 {
		t.Fatalf("%d entries are left after XTRIM", held)
	}
	first, second := w.worker(mainWindows...), w.worker(mainWindows...)
	out := w.collect(w.out)
	out.untilRecords(partitions * n)
	lab.Stop(t, ingest, first, second)
	requireExact(t, w, out.all(), partitions, n, mainSize)
}

func TestMainJobIntoMongo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mainPartitions)
	mongo := lab.Mongo(t)
	settings := append([]string{"SINK=mongo", "MONGO_URL=" + mongo.URL, "MONGO_DATABASE=d", "MONGO_COLLECTION=c"}, mainWindows...)
	w.produce(mainPartitions, 0, mainPerPartition)
	ingest, first, second := w.ingest(), w.worker(settings...), w.worker(settings...)
	collection := mongo.Collection(t, "d", "c")
	holds := func(windows int64) func() bool {
		return func() bool {
			n, err := collection.EstimatedDocumentCount(t.Context())
			return err == nil && n >= windows
		}
	}
	lab.WaitFor(t, patience, "all windows in MongoDB", holds(mainTotal/mainSize))
	lab.Stop(t, ingest, first, second)
	requireExact(t, w, lab.MongoWindows(t, collection), mainPartitions, mainPerPartition, mainSize)
}

func TestMainJobIntoMongoWithWorkerAndIngestKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mainPartitions)
	mongo := lab.Mongo(t)
	proxy := lab.NewProxy(t, mongo.Addr)
	settings := append([]string{"SINK=mongo", "MONGO_URL=mongodb://" + proxy.Addr, "MONGO_DATABASE=d", "MONGO_COLLECTION=c"}, mainWindows...)
	ingest, first, second := w.ingest(), w.worker(settings...), w.worker(settings...)
	fed := w.trickle(mainPartitions, mainPerPartition, feeding)
	collection := mongo.Collection(t, "d", "c")
	until := func(windows int64) {
		t.Helper()
		lab.WaitFor(t, patience, "windows in MongoDB", func() bool {
			n, err := collection.EstimatedDocumentCount(t.Context())
			return err == nil && n >= windows
		})
	}
	const windows = mainTotal / mainSize
	until(windows / 5)
	first.Kill()
	until(windows / 3)
	proxy.DropReplies() // what was written then is written again
	second.NotReady(t, patience, "mongo")
	proxy.Accept()
	until(windows / 2)
	ingest.Kill()
	ingest = w.ingest()
	<-fed
	until(windows)
	lab.Stop(t, ingest, second)
	requireExact(t, w, lab.MongoWindows(t, collection), mainPartitions, mainPerPartition, mainSize)
}
