package chaos

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// What happens to Kafka, and to the source.
var kafkaScenarios = []scenario{
	{
		name: "kafka connections", does: "connections to Kafka cut, replies lost: appends, commits, the ends of transactions", expects: exactlyOnce, short: true,
		play: func(r *run) {
			r.on(lab.Kafka(r.t, lab.BehindProxy(), lab.WithoutAutoCreate()), lab.Redis(r.t))
			proxy := r.Kafka.Proxy
			r.Env = append(r.Env, "KAFKA_BROKERS="+proxy.Addr)
			r.load(cut(proxy), repliesLost(proxy), repliesLost(proxy), repliesLost(proxy), refused(proxy), repliesLost(proxy))
		},
	},
	{
		name: "broker paused", does: "a broker does not answer for a while, and keeps its session", expects: exactlyOnce, short: true,
		play: func(r *run) {
			r.on(lab.Kafka(r.t, lab.Property("broker.session.timeout.ms", "60000"), lab.WithoutAutoCreate()), lab.Redis(r.t))
			const pause = 3 * time.Second
			again := fault{fmt.Sprintf("SIGSTOP of the broker for %v", pause), func() {
				r.Kafka.Pause(r.t)
				time.Sleep(pause)
				r.Kafka.Resume(r.t)
			}}
			r.load(again, again)
		},
	},
	{
		name: "one of three brokers", does: "with three replicas and min.insync.replicas=2, each of three brokers is killed (-9) or restarted in turn: leaders move", expects: exactlyOnce,
		play: func(r *run) {
			nodes := lab.KafkaCluster(r.t, lab.WithoutAutoCreate())
			r.on(nodes[0], lab.Redis(r.t))
			killed := func(i int) fault {
				return fault{fmt.Sprintf("kill -9 of broker %d", i+1), func() { nodes[i].Kill() }}
			}
			back := func(i int) fault {
				return fault{fmt.Sprintf("broker %d is back, in sync", i+1), func() { nodes[i].Start(r.t); nodes[i].InSync(r.t) }}
			}
			r.load(
				killed(0), back(0), killed(1), back(1),
				fault{"broker 3 stopped and started", func() { nodes[2].Stop(r.t); nodes[2].Start(r.t); nodes[2].InSync(r.t) }},
			)
		},
	},
	{
		name: "partitions added", does: "the source grows by two partitions; no restart", expects: exactlyOnce, short: true,
		play: func(r *run) {
			r.usual()
			const more = 2
			r.load(fault{fmt.Sprintf("%d → %d partitions", partitions, partitions+more), func() {
				admin := r.Kafka.Admin(r.t)
				if _, err := admin.CreatePartitions(r.t.Context(), more, r.Topic); err != nil {
					r.t.Fatal(err)
				}
				lab.WaitFor(r.t, job.Patience, "the source to have its partitions", func() bool {
					topics, err := admin.ListTopics(r.t.Context(), r.Topic)
					return err == nil && len(topics[r.Topic].Partitions) == partitions+more
				})
				r.mu.Lock()
				r.sent = append(r.sent, make([]int, more)...)
				r.mu.Unlock()
			}})
		},
	},
	{
		name: "topic made again", does: "the source is deleted, once all of it is read, and created again under load of the same numbers", expects: exactlyOnce,
		play: func(r *run) {
			r.usual()
			r.startAll("ingest 1", "worker 1", "worker 2")
			r.under()
			r.settle(r.total())
			r.Kafka.DeleteTopics(r.t, r.Topic)
			admin := r.Kafka.Admin(r.t)
			lab.WaitFor(r.t, job.Patience, "the source to be gone", func() bool {
				topics, err := admin.ListTopics(r.t.Context())
				return err == nil && !topics.Has(r.Topic)
			})
			r.Kafka.CreateTopic(r.t, r.Topic, partitions)
			r.under(fault{"deleted and created again, new records", func() {}})
			r.exactlyOnce()
		},
	},
	{
		name: "retention overtakes", does: "while ingest is away the source drops records that nobody has read", expects: "what was dropped is counted as lost; all else exactly once",
		play: func(r *run) {
			r.usual()
			r.startAll("ingest 1", "worker 1", "worker 2")
			r.under()
			r.settle(r.total())
			r.end("ingest 1")
			const dropped = 10 * countSize // of each partition
			drop := kadm.Offsets{}
			for p, n := range r.sentSoFar() {
				drop.AddOffset(r.Topic, int32(p), int64(n+dropped), -1)
			}
			for range 2 * dropped / countSize {
				r.Kafka.Produce(r.t, r.next())
			}
			if done, err := r.Kafka.Admin(r.t).DeleteRecords(r.t.Context(), drop); err != nil || done.Error() != nil {
				r.t.Fatal(err, done.Error())
			}
			ingest := r.start("ingest 2")
			r.under(fault{fmt.Sprintf("%d records of each partition dropped unread", dropped), func() {}})
			if lost, _ := ingest.Metric("windrow_source_lost_records_total"); lost != dropped*partitions {
				r.wrong(fmt.Sprintf("%v records are counted as lost, not %d", lost, dropped*partitions))
			}
			if _, body := ingest.Get("/readyz"); !strings.Contains(body, "no longer has offsets") {
				r.wrong("/readyz does not speak of the loss: " + body)
			}
			r.allBut(dropped * partitions)
		},
	},
}
