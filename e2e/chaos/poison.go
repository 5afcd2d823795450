package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// What can't be processed, and what is too large.
var poisonScenarios = []scenario{
	{
		name: "poison, slow handler", does: "a service takes its time over each window, and fails for good with every seventh; a worker is killed (-9)", expects: "exactly once, every seventh window as a dead letter",
		play: func(r *run) {
			r.usual()
			r.poisoned = true
			const takes = 20 * time.Millisecond
			service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				var window lab.Window
				text, err := io.ReadAll(q.Body)
				if err == nil {
					err = json.Unmarshal(text, &window)
				}
				time.Sleep(takes)
				if err != nil || window.Seq%7 == 3 {
					http.Error(w, "this window is cursed", http.StatusInternalServerError)
					return
				}
				w.Write(text)
			}))
			defer service.Close()
			r.settings = append(r.settings, "HANDLER_URL="+service.URL, "HANDLER_ATTEMPTS=2", "HANDLER_CONCURRENCY=8")
			r.load(fault{"kill -9 of worker 1", func() { r.kill("worker 1") }})
			dead := 0
			for _, n := range r.sent {
				dead += (n/countSize + 3) / 7
			}
			if r.result.Dead != dead {
				r.wrong(fmt.Sprintf("%d windows are dead letters, not %d", r.result.Dead, dead))
			}
		},
	},
	{
		name: "poison records", does: "with every hundred records of a partition comes one that is not JSON, or lacks the field that WINDOW_KEY names; a worker is killed (-9)",
		expects: "exactly once, each poison record once as a dead letter",
		play: func(r *run) {
			r.usual()
			r.poison = make([]int, partitions)
			r.settings = append(r.settings, "WINDOW_KEY=p")
			r.load(fault{"kill -9 of worker 1", func() { r.kill("worker 1") }})
			r.note("%d poison records are dead letters", r.result.Letters)
		},
	},
	{
		name: "huge windows", does: "windows of 40 MiB go to Kafka, whose messages have at most 1 MiB, and to MongoDB, whose documents have at most 16 MiB; a worker is killed (-9) in the midst of them",
		expects: "exactly once in both, in parts",
		play: func(r *run) {
			r.usual()
			r.alsoMongo()
			const size, each, windows = 160, 256 << 10, 2 // each record's bytes
			r.workerBytes = 1 << 30                       // one may hold all four shards' windows, and what is written of them
			r.settings = append(r.settings, fmt.Sprintf("WINDOW_SIZE=%d", size))
			r.startAll("ingest 1", "worker 1", "worker 2")
			for range windows * size / 8 {
				var records []*kgo.Record
				for p := range r.sent {
					records = append(records, r.large(p, 8, each)...)
				}
				r.Kafka.Produce(r.t, records)
			}
			lab.WaitFor(r.t, 2*job.Patience, "the first window", func() bool { return r.watch.held() >= size })
			begun := time.Now()
			r.kill("worker 1")
			over, sent := time.Now(), r.sentSoFar()
			r.settle(r.total())
			var recovered time.Duration
			for p, n := range sent {
				recovered = max(recovered, r.watch.reached(p, n-1).Sub(over))
			}
			r.struck("kill -9 of worker 1; all windows", begun, over, recovered)
			r.exactlyOnce()
		},
	},
}

// large makes the next n records of a partition, of so many bytes.
func (r *run) large(partition, n, bytes int) (records []*kgo.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range n {
		value, err := json.Marshal(job.Input{P: partition, I: r.sent[partition], Pad: strings.Repeat("x", bytes)})
		if err != nil {
			panic(err) // plain fields
		}
		records = append(records, &kgo.Record{Topic: r.Topic, Partition: int32(partition), Value: value})
		r.sent[partition]++
	}
	return records
}

// poisonKey is the form of a poison record's key: its partition, and its number among the poison of that.
const poisonKey = "poison %d %d"

// poisonRecord makes a record that has no field p.
func (r *run) poisonRecord(partition, i int) *kgo.Record {
	values := []string{`{"p":`, "no JSON", `{"q":1}`, "\xff\xfe", `{"p":null}`, `[1,2]`, ``}
	return &kgo.Record{
		Topic: r.Topic, Partition: int32(partition), Key: fmt.Appendf(nil, poisonKey, partition, i), Value: []byte(values[i%len(values)]),
	}
}
