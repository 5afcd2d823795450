package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

const (
	laneBytes   = 1 << 20 // BUFFER_MAX_BYTES under pressure
	workerBytes = 256 << 20
	ingestBytes = 128 << 20
)

// More than what takes it can take.
var pressureScenarios = []scenario{
	{
		name: "slow sink", does: "the workers' connections to Kafka let a hundredth of the load through", expects: exactlyOnce, short: true,
		play: func(r *run) {
			proxy := r.pressed()
			seconds := 5
			if r.full {
				seconds = 60
			}
			const load = perSecond * 200 // bytes a second of a partition
			r.load(fault{"1 % of the load gets through", func() {
				proxy.Throttle(load * partitions / 100)
				r.produced(seconds * perSecond)
				proxy.Throttle(0)
			}})
		},
	},
	{
		name: "sink away", does: "the workers can't reach Kafka for a long time; ingest can", expects: exactlyOnce,
		play: func(r *run) {
			proxy := r.pressed()
			r.load(fault{"Kafka is away for the workers", func() {
				proxy.Refuse()
				r.produced(60 * perSecond)
				r.says("worker 1", "kafka")
				proxy.Accept()
			}})
		},
	},
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
		name: "100,000 keys", does: "windows of two records per key: each shard holds 25,000 of them half full; a worker is killed (-9) meanwhile", expects: exactlyOnce,
		play: func(r *run) {
			r.usual()
			r.byKey = true
			const keys = 25_000 // of a partition
			r.settings = append(r.settings, "WINDOW_SIZE=2", "WINDOW_KEY=@key")
			for _, name := range []string{"worker 1", "worker 2", "worker 3"} {
				r.limit(name, workerBytes)
			}
			r.startAll("ingest 1", "worker 1", "worker 2")
			half := func() {
				var records []*kgo.Record
				for p, from := range r.sent {
					for i, record := range r.Inputs(p, from, from+keys) {
						record.Key = fmt.Append(nil, i)
						records = append(records, record)
					}
					r.sent[p] += keys
				}
				r.Kafka.Produce(r.t, records)
			}
			half()
			lab.WaitFor(r.t, job.Patience, "the buffer to have all", func() bool { return r.Buffered(partitions) == r.total() })
			begun := time.Now()
			r.kill("worker 1")
			r.start("worker 3")
			over := time.Now()
			half()
			r.settle(r.total())
			r.struck("kill -9 of worker 1; then the other half of all windows", begun, over, time.Since(over))
			r.exactlyOnce()
		},
	},
	{
		name: "hot shard", does: "one partition gets twenty seconds' load at once, again and again", expects: exactlyOnce,
		play: func(r *run) {
			r.pressed()
			again := fault{"a burst into partition 0", func() {
				r.mu.Lock()
				r.burst = 20 * perSecond
				r.mu.Unlock()
			}}
			r.load(again, again, again)
		},
	},
}

// pressed puts the run on a Kafka that workers reach through a proxy, and ingest directly, and sets limits of memory.
func (r *run) pressed() *lab.Proxy {
	r.t.Helper()
	r.on(lab.Kafka(r.t, lab.BehindProxy(), lab.WithoutAutoCreate()), lab.Redis(r.t))
	r.Env = append(r.Env, fmt.Sprintf("BUFFER_MAX_BYTES=%d", laneBytes), "STATE_MAX_BYTES=4MiB")
	r.settings = append(r.settings, "KAFKA_BROKERS="+r.Kafka.Proxy.Addr)
	const entries = 1 << 20 // a lane may exceed its limit by what is under way, and Redis has a base of its own
	r.limit("redis", float64(partitions*(laneBytes+entries)+4<<20))
	r.limit("ingest 1", ingestBytes)
	r.limit("worker 1", workerBytes)
	r.limit("worker 2", workerBytes)
	return r.Kafka.Proxy
}

// produced waits until n more records were sent to each partition.
func (r *run) produced(n int) {
	r.t.Helper()
	before := r.total()
	lab.WaitFor(r.t, 5*time.Minute, fmt.Sprintf("%d records to be sent", n), func() bool { return r.total() >= before+n*partitions })
}
