package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// Sessions that late records make longer, and make one of: each is emitted early, when it is over, and for what comes later,
// each revision once in Kafka, also when workers die; MongoDB has the last one of each.
func TestSessionsAreUpdated(t *testing.T) {
	t.Parallel()
	const partitions, keys, sessions, hour = 2, 10, 20, 3600_000
	const base = 1_700_000_000_000
	w := newWorld(t, partitions)
	mongo := lab.Mongo(t)
	settings := []string{
		"EMITTER=session", "WINDOW_GAP=10s", "WINDOW_KEY=id", "EVENT_TIME=at", "WATERMARK_DELAY=5s", "ALLOWED_LATENESS=1h", "EMIT_EARLY=200ms",
		"SINK=kafka,mongo", "MONGO_URL=" + mongo.URL, "MONGO_DATABASE=d", "MONGO_COLLECTION=" + w.Stream,
	}
	type moment struct {
		partition int32
		key       string
	}
	events := map[moment][]int64{}
	send := func(key string, p int32, at int64) *kgo.Record {
		m := moment{p, key}
		events[m] = append(events[m], at)
		return &kgo.Record{Topic: w.Topic, Partition: p, Value: fmt.Appendf(nil, `{"id":%q,"at":%d}`, key, at)}
	}
	// First every other event of each session, so that there are many short ones, then what makes them whole.
	var first, rest []*kgo.Record
	for s := range int64(sessions) {
		for k := range keys {
			for i := range int64(6) {
				at, key, p := base+s*100_000+int64(k)*100+i*8000, fmt.Sprint("k", k), int32(k%partitions)
				if i%2 == 0 {
					first = append(first, send(key, p, at))
				} else {
					rest = append(rest, send(key, p, at))
				}
			}
		}
	}
	ingest := w.Ingest()
	out := w.Collect(w.Out)
	worker := w.Worker(settings...)
	w.Kafka.Produce(t, first)
	out.UntilWindows(keys * sessions)
	worker.Kill()
	worker = w.Worker(settings...)
	w.Kafka.Produce(t, rest[:len(rest)/2])
	out.Until(job.Patience, "sessions that became one", func() bool {
		out.Decode()
		return slices.ContainsFunc(out.Windows, func(win lab.Window) bool { return win.Reason == "merged" })
	})
	worker.Kill()
	worker = w.Worker(settings...)
	var ends []*kgo.Record
	for p := range partitions {
		ends = append(ends, &kgo.Record{Topic: w.Topic, Partition: int32(p), Value: fmt.Appendf(nil, `{"id":"end","at":%d}`, base+3*hour)})
	}
	w.Kafka.Produce(t, append(rest[len(rest)/2:], ends...))

	var want []string
	for m, at := range events {
		slices.Sort(at)
		from := 0
		for i := range at {
			if i+1 == len(at) || at[i+1]-at[i] > 10_000 {
				want = append(want, fmt.Sprintf("%s %s [%d %d) of %d", w.Shard(int(m.partition)), m.key, at[from], at[i]+10_000, i-from+1))
				from = i + 1
			}
		}
	}
	slices.Sort(want)
	isLast := func(win lab.Window) bool { return win.Final && win.Reason != "merged" }
	out.Until(job.Patience, "the last revisions", func() bool {
		out.Decode()
		n := 0
		for _, win := range out.Windows {
			if isLast(win) {
				n++
			}
		}
		return n >= len(want)
	})
	documents := mongo.Collection(t, "d", w.Stream)
	lab.WaitFor(t, job.Patience, "the last revisions in MongoDB", func() bool {
		n := 0
		for _, win := range lab.MongoWindows(t, documents) {
			if isLast(win) {
				n++
			}
		}
		return n >= len(want)
	})
	lab.Stop(t, worker, ingest)

	last := map[string]lab.Window{}
	reasons := map[string]int{}
	for _, win := range out.All() {
		before, was := last[win.ID]
		if next := before.Revision + 1; !was && win.Revision != 0 || was && (win.Revision != next || before.Final) {
			t.Errorf("revision %d of %v (%s, final %v) comes after revision %d", win.Revision, win, win.Reason, win.Final, before.Revision)
		}
		last[win.ID] = win
		reasons[win.Reason]++
	}
	lines := func(windows []lab.Window) (lines []string) {
		for _, win := range windows {
			var key string
			if err := json.Unmarshal(win.Key, &key); err != nil {
				t.Fatal(err)
			}
			if isLast(win) {
				lines = append(lines, fmt.Sprintf("%s %s [%d %d) of %d", win.Shard, key, win.Start, win.End, win.Count))
			}
		}
		slices.Sort(lines)
		return lines
	}
	inKafka := slices.Collect(maps.Values(last))
	if got := lines(inKafka); !slices.Equal(got, want) {
		t.Errorf("in Kafka are\n%q\nwant\n%q", got, want)
	}
	inMongo := lab.MongoWindows(t, documents)
	if got := lines(inMongo); !slices.Equal(got, want) {
		t.Errorf("in MongoDB are\n%q\nwant\n%q", got, want)
	}
	byID := func(a, b lab.Window) int { return cmp.Compare(a.ID, b.ID) }
	slices.SortFunc(inKafka, byID)
	slices.SortFunc(inMongo, byID)
	for i, win := range inMongo {
		if len(inMongo) != len(inKafka) || win.ID != inKafka[i].ID || win.Revision != inKafka[i].Revision || win.Reason != inKafka[i].Reason {
			t.Fatalf("MongoDB has %d windows, and revision %d of %v; Kafka %d and %d of %v", len(inMongo), win.Revision, win, len(inKafka), inKafka[i].Revision, inKafka[i])
		}
	}
	for _, reason := range []string{"gap", "merged", "final", "early"} {
		if reasons[reason] == 0 {
			t.Errorf("the test is too tame: %v", reasons)
		}
	}
	t.Logf("%d windows, emitted %v", len(last), reasons)
}
