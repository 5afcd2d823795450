package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/job"
)

// event is a record's value that says when it happened.
type event struct {
	job.Input
	At int64 `json:"at"` // Unix milliseconds
}

// Records of two partitions, each a shard, out of order by less than the delay, and the workers killed meanwhile: each is
// once in the window of its time. The last windows come by time alone; what comes after that is late, a dead letter.
func TestWindowsByEventTime(t *testing.T) {
	t.Parallel()
	const (
		base       = 1_700_000_000_000
		partitions = 2
		perSecond  = 1000
		seconds    = 10
	)
	w := newWorld(t, partitions)
	rng := rand.New(rand.NewPCG(1, 1))
	record := func(p, i int, at int64) *kgo.Record {
		value := fmt.Appendf(nil, `{"p":%d,"i":%d,"at":%d,"pad":"%0200d"}`, p, i, at, 0)
		return &kgo.Record{Topic: w.Topic, Partition: int32(p), Key: fmt.Append(nil, i), Value: value}
	}
	type second struct {
		shard string
		start int64
	}
	want := map[second]int{}
	var records []*kgo.Record
	for i := range seconds * perSecond {
		for p := range partitions {
			at := base + int64(i)*1000/perSecond - rng.Int64N(400)
			want[second{w.Shard(p), at / 1000 * 1000}]++
			records = append(records, record(p, i, at))
		}
	}
	w.Kafka.Produce(t, records)

	settings := []string{"EMITTER=tumbling", "WINDOW_INTERVAL=1s", "EVENT_TIME=at", "WATERMARK_DELAY=500ms", "WATERMARK_IDLE=1s"}
	w.Ingest()
	out, dead := w.Collect(w.Out), w.Kafka.Consume(t, w.Out+".dead")
	worker := w.Worker(settings...)
	for n := 1; n <= seconds; n += seconds / 3 {
		out.UntilWindows(n)
		worker.Kill()
		worker = w.Worker(settings...)
	}
	out.UntilRecords(len(records))
	w.Kafka.Produce(t, []*kgo.Record{record(0, -1, base)})
	dead.Until(job.Patience, "a dead letter", func() bool { return len(dead.Records) > 0 })
	worker.Stop(t)

	seen := map[string]bool{}
	for _, win := range out.All() {
		n := want[second{win.Shard, int64(win.Start)}]
		if win.Start%1000 != 0 || win.End-win.Start != 1000 || win.Reason != "interval" || win.Count != n {
			t.Errorf("%v is [%d, %d), want %d records", win, win.Start, win.End, n)
		}
		for _, data := range win.Data {
			var e event
			if err := json.Unmarshal(data, &e); err != nil {
				t.Fatal(err)
			}
			if e.At < int64(win.Start) || e.At >= int64(win.End) {
				t.Errorf("an event of %d is in the window [%d, %d)", e.At, win.Start, win.End)
			}
			if place := fmt.Sprint(e.P, " ", e.I); seen[place] {
				t.Errorf("record %s is there twice", place)
			} else {
				seen[place] = true
			}
		}
	}
	if len(seen) != len(records) {
		t.Errorf("%d records are in windows, want %d", len(seen), len(records))
	}
	if ls := letters(t, dead.ToEnd()); len(ls) != 1 || ls[0].Reason != "late" {
		t.Errorf("the dead letters are %+v, want one, late", ls)
	}
}
