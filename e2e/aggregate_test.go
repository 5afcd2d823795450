package e2e

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// Aggregates of keys by event time come out once and complete, also when the workers that hold them die.
func TestAggregates(t *testing.T) {
	t.Parallel()
	const partitions, keys, rounds, perRound = 2, 5, 4, 200
	w := newWorld(t, partitions)
	ingest := w.Ingest()
	settings := []string{
		"EMITTER=tumbling", "WINDOW_INTERVAL=1s", "EVENT_TIME=at", "WINDOW_KEY=id", "FILTER=value.v >= 0", "MAP={id: value.id, at: value.at, v: value.v + 1}",
		"AGGREGATE=count() as n, sum(v) as sum, last(v) as last", "WATERMARK_DELAY=1s",
	}
	type result struct{ N, Sum, Last int }
	type place struct {
		partition int32
		start     int64
		key       string
	}
	want := map[place]result{}
	total := 0
	send := func(round int) {
		var records []*kgo.Record
		for i := range perRound {
			p, at, key, v := int32(i%partitions), int64(1_700_000_000_000+round*600_000+i*10), fmt.Sprint("k", i%keys), i%13-1
			records = append(records, &kgo.Record{Topic: w.Topic, Partition: p, Value: fmt.Appendf(nil, `{"id":%q,"at":%d,"v":%d}`, key, at, v)})
			if v >= 0 {
				at := place{p, at / 1000 * 1000, key}
				want[at] = result{want[at].N + 1, want[at].Sum + v + 1, v + 1}
				total++
			}
		}
		w.Kafka.Produce(t, records)
	}
	send(0)
	worker := w.Worker(settings...)
	out := w.Collect(w.Out)
	for round := 1; round < rounds; round++ {
		out.UntilWindows(round * keys)
		worker.Kill()
		send(round)
		worker = w.Worker(settings...)
	}
	out.UntilRecords(total) // the clock closes the last ones, too
	lab.Stop(t, worker, ingest)
	got := map[place]result{}
	for shard, windows := range job.ByShard(t, out.All()) {
		var p int32
		if _, err := fmt.Sscanf(shard, w.Topic+"/%d", &p); err != nil {
			t.Fatal(err)
		}
		for _, win := range windows {
			var r result
			if err := json.Unmarshal(win.Data[0], &r); err != nil {
				t.Fatal(err)
			}
			var key string
			if err := json.Unmarshal(win.Key, &key); err != nil {
				t.Fatal(err)
			}
			at := place{p, int64(win.Start), key}
			if _, twice := got[at]; twice || r.N != win.Count || int64(win.End) != int64(win.Start)+1000 {
				t.Errorf("%v of %v: twice, or it does not fit: %+v", win, at, r)
			}
			got[at] = r
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d windows, want %d", len(got), len(want))
	}
	for at, r := range want {
		if got[at] != r {
			t.Errorf("%+v is %+v, want %+v", at, got[at], r)
		}
	}
}
