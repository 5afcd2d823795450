package chaos

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// laneBytes is BUFFER_MAX_BYTES under pressure.
const laneBytes = 1 << 20

// bytesPerSecond is about what the load is in all: a record has 200.
const bytesPerSecond = 200 * perSecond * partitions

// More than what takes it can take.
var pressureScenarios = []scenario{
	{
		name: "slow sink", does: "the workers' connections to Kafka let a hundredth of the load through for a minute", expects: exactlyOnce,
		play: func(r *run) {
			proxy := r.pressed()
			r.load(fault{"1 % of the load gets through", func() {
				proxy.Throttle(bytesPerSecond / 100)
				r.produced(60 * perSecond)
				proxy.Throttle(0)
			}})
		},
	},
	{
		name: "sink away", does: "the workers can't reach Kafka for two minutes; ingest can", expects: exactlyOnce,
		play: func(r *run) {
			proxy := r.pressed()
			r.load(fault{"Kafka is away for the workers", func() {
				proxy.Refuse()
				r.produced(120 * perSecond)
				r.says("worker 1", "kafka")
				proxy.Accept()
			}})
		},
	},
	{
		name: "mongodb away", does: "MongoDB, one of two sinks, is out of reach for half a minute, then lets a hundredth of the load through; a worker is killed (-9) meanwhile", expects: "exactly once in both",
		play: func(r *run) {
			r.pressed()
			proxy := r.alsoMongo()
			r.load(
				fault{"MongoDB is away", func() {
					proxy.Refuse()
					r.produced(30 * perSecond)
					r.says("worker 1", "sink")
					proxy.Accept()
				}},
				fault{"1 % of the load gets through; kill -9 of worker 1", func() {
					proxy.Throttle(bytesPerSecond / 100)
					r.produced(5 * perSecond)
					r.kill("worker 1")
					r.produced(5 * perSecond)
					proxy.Throttle(0)
				}},
			)
		},
	},
	{
		name: "100,000 keys", does: "windows of two records per key: each shard holds 25,000 of them half full; a worker is killed (-9) meanwhile", expects: exactlyOnce,
		play: func(r *run) {
			r.usual()
			r.byKey = true
			const keys = 25_000 // of a partition
			r.settings = append(r.settings, "WINDOW_SIZE=2", "WINDOW_KEY=@key")
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
	r.limitRedis(float64(partitions*(laneBytes+entries) + 4<<20))
	return r.Kafka.Proxy
}

// alsoMongo lets windows go to MongoDB, too, through the proxy that it returns.
func (r *run) alsoMongo() *lab.Proxy {
	r.t.Helper()
	server := lab.Mongo(r.t)
	proxy := lab.NewProxy(r.t, server.Addr)
	const database, collection = "chaos", "windows"
	r.mongo = server.Collection(r.t, database, collection)
	r.settings = append(r.settings, "SINK=kafka,mongo", "MONGO_URL=mongodb://"+proxy.Addr+"/", "MONGO_DATABASE="+database, "MONGO_COLLECTION="+collection)
	return proxy
}

// produced waits until n more records were sent to each partition.
func (r *run) produced(n int) {
	r.t.Helper()
	before := r.total()
	lab.WaitFor(r.t, 5*time.Minute, fmt.Sprintf("%d records to be sent", n), func() bool { return r.total() >= before+n*partitions })
}
