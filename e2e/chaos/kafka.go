package chaos

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

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
				fault{"all leaders moved back to where they are preferred", r.leadersBack},
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
		name: "compaction", does: "while ingest is away the compacted source loses what nobody has read; the journal is compacted all the time, while workers are killed (-9) and restarted", expects: "what compaction removed unread is missing; all else exactly once",
		play: func(r *run) {
			r.on(lab.Kafka(r.t, lab.Property("log.cleaner.backoff.ms", "100"), lab.WithoutAutoCreate()), lab.Redis(r.t))
			r.startAll("ingest 1", "worker 1", "worker 2")
			journal := fmt.Sprintf("windrow.%s.p.journal", r.Stream)
			r.under(fault{"the journal compacted as fast as it can be", func() { r.setTopic(journal, compactFast) }})
			r.settle(r.total())
			r.end("ingest 1")
			missing := r.compactUnread()
			r.start("ingest 2")
			r.under(
				fault{fmt.Sprintf("%d records compacted away unread, by their keys", missing), func() {}},
				r.restarted("worker 1"), // checkpoints: decisions before them are dead
				fault{"kill -9 of worker 2, started again", func() { r.kill("worker 2"); r.start("worker 2") }},
				r.restarted("worker 1"),
				fault{"kill -9 of worker 1, started again", func() { r.kill("worker 1"); r.start("worker 1") }},
			)
			r.allBut(missing)
			left, written := r.Kafka.Consume(r.t, journal).ToEnd(), int64(0)
			ends, err := r.Kafka.Admin(r.t).ListEndOffsets(r.t.Context(), journal)
			if err != nil {
				r.t.Fatal(err)
			}
			ends.Each(func(end kadm.ListedOffset) { written += end.Offset })
			r.note("%d records are left of the journal's %d, markers counted", len(left), written)
			if int64(2*len(left)) > written { // a transaction has a record and a marker
				r.wrong("the journal was not compacted")
			}
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

// leadersBack moves the leaders of all partitions, of Kafka's own too, to the brokers that are preferred.
func (r *run) leadersBack() {
	r.t.Helper()
	admin := r.Kafka.Admin(r.t)
	elsewhere := func() (n int) {
		topics, err := admin.ListTopicsWithInternal(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		topics.EachPartition(func(p kadm.PartitionDetail) {
			if p.Leader != p.Replicas[0] {
				n++
			}
		})
		return n
	}
	n := elsewhere()
	if n == 0 {
		r.wrong("no leader has to move")
	}
	if _, err := admin.ElectLeaders(r.t.Context(), kadm.ElectPreferredReplica, nil); err != nil {
		r.t.Fatal(err)
	}
	lab.WaitFor(r.t, job.Patience, "the leaders to move", func() bool { return elsewhere() == 0 })
	r.note("%d leaders moved", n)
}

// compactFast are the settings of a topic that is compacted as fast as Kafka can.
var compactFast = map[string]string{"cleanup.policy": "compact", "segment.ms": "500", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0"}

func (r *run) setTopic(topic string, settings map[string]string) {
	r.t.Helper()
	var alter []kadm.AlterConfig
	for name, value := range settings {
		alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
	}
	done, err := r.Kafka.Admin(r.t).AlterTopicConfigs(r.t.Context(), alter, topic)
	if err != nil || len(done) != 1 || done[0].Err != nil {
		r.t.Fatalf("changing the settings of %s: %v, %v", topic, err, done)
	}
}

// compactUnread sends records that nobody reads, until half of them are compacted away, and says how many are.
func (r *run) compactUnread() (missing int) {
	r.t.Helper()
	read := r.sentSoFar()
	left := func() []int { // by partition, of those that nobody has read
		n := make([]int, len(read))
		for _, record := range r.Kafka.Consume(r.t, r.Topic).ToEnd() {
			var in job.Input
			if err := json.Unmarshal(record.Value, &in); err != nil {
				r.t.Fatal(err)
			}
			if in.I >= read[in.P] {
				n[in.P]++
			}
		}
		return n
	}
	unread := func() (n int) {
		for p, sent := range r.sentSoFar() {
			n += sent - read[p]
		}
		return n
	}
	r.setTopic(r.Topic, compactFast)
	lab.WaitFor(r.t, job.Patience, "half of what is unread to be compacted away", func() bool {
		r.Kafka.Produce(r.t, r.next()) // a segment in use is not compacted
		return unread() > 20*countSize*partitions && sum(left()) < unread()/2
	})
	r.setTopic(r.Topic, map[string]string{"cleanup.policy": "delete"})
	var before, now []int
	lab.WaitFor(r.t, job.Patience, "the cleaner to rest", func() bool {
		before, now = now, left()
		return slices.Equal(before, now)
	})
	missing = unread() - sum(now)
	var full []*kgo.Record // the windows: what is left of them at the end would wait for more
	for p, n := range now {
		more := (countSize - n%countSize) % countSize
		full = append(full, r.Inputs(p, r.sent[p], r.sent[p]+more)...)
		r.sent[p] += more
	}
	r.Kafka.Produce(r.t, full)
	return missing
}

func sum(of []int) (n int) {
	for _, i := range of {
		n += i
	}
	return n
}
