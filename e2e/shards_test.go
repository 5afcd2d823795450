package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// The records of a partition have so many keys, in turn, the same in every partition.
const inputKeys = 97

// requireKeyed requires n records of each partition exactly once: a key's in windows of one shard alone, in which each
// partition's records come in order.
func requireKeyed(t *testing.T, windows []lab.Window, partitions, n, atLeast int) {
	t.Helper()
	shards := job.ByShard(t, windows)
	if len(shards) < atLeast {
		t.Errorf("%d shards gave windows, want %d", len(shards), atLeast)
	}
	home, next, total := map[string]string{}, map[string]int{}, 0
	for shard, ws := range shards {
		for _, w := range ws {
			key := string(w.Key)
			if other, ok := home[key]; ok && other != shard {
				t.Fatalf("the key %s has windows of the shards %s and %s", key, other, shard)
			}
			home[key] = shard
			for _, in := range job.InputsOf(t, []lab.Window{w}) {
				place := fmt.Sprintf("%s of partition %d", key, in.P)
				want, ok := next[place]
				if !ok {
					if _, err := fmt.Sscanf(key, `"key-%d"`, &want); err != nil {
						t.Fatalf("%v has the key %s: %v", w, key, err)
					}
				}
				if in.I != want {
					t.Fatalf("key %s: record %d comes where %d should", place, in.I, want)
				}
				next[place] = want + inputKeys
				total++
			}
		}
	}
	if total != partitions*n {
		t.Errorf("%d records, want %d", total, partitions*n)
	}
}

// A key's records of 4 partitions are counted together, whoever dies and whatever Redis loses.
func TestShardsWithWorkerAndIngestKilledAndFlushAll(t *testing.T) {
	t.Parallel()
	const partitions, n = 4, 200 * inputKeys
	w := newWorld(t, partitions)
	w.Env = []string{"SHARDS=8"}
	settings := append([]string{"WINDOW_KEY=@key"}, mainWindows...)
	ingest, first, second := w.Ingest(), w.Worker(settings...), w.Worker(settings...)
	fed := w.Trickle(partitions, n, feeding)
	out := w.Collect(w.Out)
	out.UntilRecords(partitions * n / 5)
	first.Kill()
	out.UntilRecords(partitions * n * 2 / 5)
	ingest.Kill()
	ingest = w.Ingest()
	out.UntilRecords(partitions * n * 3 / 5)
	w.Redis.FlushAll(t)
	third := w.Worker(settings...)
	<-fed
	out.UntilRecords(partitions * n)
	lab.Stop(t, ingest, second, third)
	all := out.All()
	requireKeyed(t, all, partitions, n, 8)
	for _, win := range all {
		if win.Count != mainSize || win.Reason != "count" {
			t.Fatalf("%v has %d records and is closed by %s", win, win.Count, win.Reason)
		}
	}
}

// Windows by the time of receipt, of shards with several lanes, taken over midway.
func TestShardsByTimeOfReceipt(t *testing.T) {
	t.Parallel()
	const partitions, n, interval = 3, 50 * inputKeys, 500
	w := newWorld(t, partitions)
	w.Env = []string{"SHARDS=2"}
	settings := []string{"EMITTER=fixed", "WINDOW_INTERVAL=500ms", "WINDOW_KEY=@key"}
	ingest, first := w.Ingest(), w.Worker(settings...)
	fed := w.Trickle(partitions, n, feeding)
	out := w.Collect(w.Out)
	out.UntilRecords(partitions * n / 3)
	first.Kill()
	second := w.Worker(settings...)
	<-fed
	out.UntilRecords(partitions * n)
	lab.Stop(t, ingest, second)
	all := out.All()
	requireKeyed(t, all, partitions, n, 2)
	before := map[string]lab.Window{}
	for _, ws := range job.ByShard(t, all) {
		for _, win := range ws {
			last, ok := before[string(win.Key)]
			if win.Start%interval != 0 || win.End-win.Start != interval || ok && win.Start <= last.Start {
				t.Errorf("%v [%d, %d) comes after [%d, %d)", win, win.Start, win.End, last.Start, last.End)
			}
			before[string(win.Key)] = win
		}
	}
}

// Windows by event time, of shards with several lanes: the watermark is that of the slowest, also after takeovers.
func TestShardsByEventTime(t *testing.T) {
	t.Parallel()
	const (
		base       = 1_700_000_000_000
		partitions = 3
		perSecond  = 500
		seconds    = 8
	)
	w := newWorld(t, partitions)
	w.Env = []string{"SHARDS=2"}
	rng := rand.New(rand.NewPCG(2, 2))
	type second struct {
		key   string
		start int64
	}
	want := map[second]int{}
	var records []*kgo.Record
	for i := range seconds * perSecond {
		for p := range partitions {
			at, key := base+int64(i)*1000/perSecond-rng.Int64N(400), fmt.Sprintf("key-%d", i%7)
			want[second{fmt.Sprintf("%q", key), at / 1000 * 1000}]++
			records = append(records, &kgo.Record{
				Topic: w.Topic, Partition: int32(p), Key: []byte(key), Value: fmt.Appendf(nil, `{"p":%d,"i":%d,"at":%d,"pad":"%0200d"}`, p, i, at, 0),
			})
		}
	}
	w.Kafka.Produce(t, records)
	settings := []string{"EMITTER=tumbling", "WINDOW_INTERVAL=1s", "EVENT_TIME=at", "WATERMARK_DELAY=500ms", "WATERMARK_IDLE=1s", "WINDOW_KEY=@key"}
	ingest, worker := w.Ingest(), w.Worker(settings...)
	out := w.Collect(w.Out)
	for n := 7; n < 7*seconds; n += 14 {
		out.UntilWindows(n)
		worker.Kill()
		worker = w.Worker(settings...)
	}
	out.UntilRecords(len(records))
	lab.Stop(t, ingest, worker)
	seen := map[string]bool{}
	for _, win := range out.All() {
		at := second{string(win.Key), int64(win.Start)}
		if win.Count != want[at] || win.End-win.Start != lab.Millis(time.Second.Milliseconds()) || win.Reason != "interval" {
			t.Errorf("%v [%d, %d) of key %s, closed by %s, has %d records, want %d", win, win.Start, win.End, win.Key, win.Reason, win.Count, want[at])
		}
		delete(want, at)
		for _, data := range win.Data {
			var e event
			if err := json.Unmarshal(data, &e); err != nil {
				t.Fatal(err)
			}
			if place := fmt.Sprint(e.P, " ", e.I); seen[place] {
				t.Errorf("record %s is there twice", place)
			} else {
				seen[place] = true
			}
		}
	}
	if len(want) > 0 || len(seen) != len(records) {
		t.Errorf("%d windows lack, %d of %d records came", len(want), len(seen), len(records))
	}
}
