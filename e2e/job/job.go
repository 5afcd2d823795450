// Package job is the work that the end-to-end tests watch: a stream with its topics, the programs that work on it, records
// that can be told apart, and the check of what came out, record by record.
package job

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/lab"
)

// Patience is how long a test waits for what should come within seconds: the machine may be busy.
const Patience = 120 * time.Second

// Job is one stream: a topic of Kafka, a Redis, and where a pipeline writes to.
type Job struct {
	T      testing.TB
	Kafka  *lab.KafkaServer
	Redis  *lab.RedisServer
	Stream string
	Topic  string   // the source
	Out    string   // the output; dead letters are in Out.dead
	Env    []string // settings of all programs that override the defaults
}

// New makes the topics of a stream, on the shared Kafka and a Redis of its own, whose source has so many partitions.
func New(t testing.TB, partitions int) *Job {
	t.Helper()
	w := On(t, lab.Kafka(t), lab.Redis(t))
	w.CreateTopics(partitions)
	return w
}

// On is a stream on these servers. It makes no topics.
func On(t testing.TB, kafka *lab.KafkaServer, redis *lab.RedisServer) *Job {
	name := lab.Name(t)
	return &Job{T: t, Kafka: kafka, Redis: redis, Stream: name, Topic: name + ".in", Out: name + ".out"}
}

// CreateTopics makes the topics, the source with so many partitions.
func (w *Job) CreateTopics(partitions int) {
	w.T.Helper()
	w.Kafka.CreateTopic(w.T, w.Topic, partitions)
	w.Kafka.CreateTopic(w.T, w.Out, 4)
	w.Kafka.CreateTopic(w.T, w.Out+".dead", 1)
}

// common are the settings of every program of the stream.
func (w *Job) common() []string {
	return append([]string{
		"STREAM=" + w.Stream, "REDIS_URL=" + w.Redis.URL, "KAFKA_BROKERS=" + w.Kafka.Brokers(),
		"LOG_FORMAT=console", "LOG_LEVEL=debug", "SHUTDOWN_TIMEOUT=20s",
	}, w.Env...)
}

// Ingest starts an ingest of the stream; settings override the defaults.
func (w *Job) Ingest(settings ...string) *lab.Program {
	w.T.Helper()
	return lab.Start(w.T, "ingest", append(append(w.common(), "KAFKA_TOPICS="+w.Topic), settings...)...)
}

// Worker starts a process of the pipeline p that writes to Kafka; settings override the defaults.
func (w *Job) Worker(settings ...string) *lab.Program {
	w.T.Helper()
	return w.WorkerProgram("process", settings...)
}

// WorkerProgram is Worker with a program of the user's own.
func (w *Job) WorkerProgram(program string, settings ...string) *lab.Program {
	w.T.Helper()
	defaults := append(w.common(), "PIPELINE=p", "SINK=kafka", "KAFKA_OUTPUT_TOPIC="+w.Out, "LEASE_TTL=1s")
	return lab.Start(w.T, program, append(defaults, settings...)...)
}

// Dead starts windrow dead with the environment of Worker's programs.
func (w *Job) Dead(args []string, settings ...string) *lab.Program {
	w.T.Helper()
	defaults := append(w.common(), "PIPELINE=p", "SINK=kafka", "KAFKA_OUTPUT_TOPIC="+w.Out)
	return lab.StartWith(w.T, "windrow", append([]string{"dead"}, args...), append(defaults, settings...)...)
}

// Once starts a run of the pipeline p that ends by itself, with these arguments; settings override the defaults.
func (w *Job) Once(args []string, settings ...string) *lab.Program {
	w.T.Helper()
	env := append(w.common(), "KAFKA_TOPICS="+w.Topic, "PIPELINE=p", "SINK=kafka", "KAFKA_OUTPUT_TOPIC="+w.Out, "LEASE_TTL=1s")
	return lab.StartWith(w.T, "windrow", append([]string{"run", "--until-caught-up"}, args...), append(env, settings...)...)
}

// Append appends a value to the stream's direct lane, at the given entry ID ("*": the server's choice), and returns the
// milliseconds of its ID: the time of its receipt.
func (w *Job) Append(client *redis.Client, id string, value any) (ms int64) {
	w.T.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		w.T.Fatal(err)
	}
	got, err := client.XAdd(w.T.Context(), &redis.XAddArgs{
		Stream: w.DirectLane(), ID: id, Values: []any{"data", text},
	}).Result()
	if err != nil {
		w.T.Fatalf("appending to the direct lane: %v", err)
	}
	if _, err := fmt.Sscanf(got, "%d-", &ms); err != nil {
		w.T.Fatal(err)
	}
	return ms
}

// DirectLane is the key of the stream's direct lane.
func (w *Job) DirectLane() string { return lab.LaneKey(w.Stream, "direct", "direct/0") }

// Input is the value of a test's record: the i-th of its partition.
type Input struct {
	P     int    `json:"p"`
	I     int    `json:"i"`
	Value int    `json:"value"`
	Pad   string `json:"pad,omitempty"`
}

// Shard is the name of a source partition's shard, and of its lane.
func (w *Job) Shard(partition int) string { return fmt.Sprintf("%s/%d", w.Topic, partition) }

// key and value are the record's, as it is produced.
func (in Input) key() []byte { return fmt.Appendf(nil, "key-%d", in.I%97) }

func (in Input) value() []byte {
	value, err := json.Marshal(in)
	if err != nil {
		panic(err) // plain fields
	}
	return value
}

// Bytes are those of the record's key and value.
func (in Input) Bytes() int { return len(in.key()) + len(in.value()) }

// Inputs returns the records from ≤ i < to of a partition of the source, of about 200 bytes each.
func (w *Job) Inputs(partition, from, to int) []*kgo.Record {
	records := make([]*kgo.Record, 0, to-from)
	for i := from; i < to; i++ {
		in := Input{P: partition, I: i, Value: i * 7919 % 1000, Pad: strings.Repeat("x", 150)}
		records = append(records, &kgo.Record{Topic: w.Topic, Partition: int32(partition), Key: in.key(), Value: in.value()})
	}
	return records
}

// Produce writes the records from ≤ i < to to each partition of the source.
func (w *Job) Produce(partitions, from, to int) {
	w.T.Helper()
	var records []*kgo.Record
	for p := range partitions {
		records = append(records, w.Inputs(p, from, to)...)
	}
	w.Kafka.Produce(w.T, records)
}

// Trickle writes n records to each partition of the source in the background, evenly over the time, and returns a channel
// that is closed at the end.
func (w *Job) Trickle(partitions, n int, over time.Duration) (done <-chan struct{}) {
	const steps = 50
	finished := make(chan struct{})
	client := w.Kafka.Producer(w.T)
	go func() {
		defer close(finished)
		tick := time.NewTicker(over / steps)
		defer tick.Stop()
		for s := range steps {
			var records []*kgo.Record
			for p := range partitions {
				records = append(records, w.Inputs(p, n*s/steps, n*(s+1)/steps)...)
			}
			if err := client.ProduceSync(w.T.Context(), records...).FirstErr(); err != nil {
				w.T.Errorf("producing to %s: %v", w.Topic, err)
				return
			}
			<-tick.C
		}
	}()
	return finished
}

// Collected counts the records in the windows that a consumer has read, as it reads them.
type Collected struct {
	*lab.Consumer
	t       testing.TB
	Windows []lab.Window
	Held    int // records in them
}

// Collect returns a reader of an output topic, from its start.
func (w *Job) Collect(topic string) *Collected {
	w.T.Helper()
	return &Collected{Consumer: w.Kafka.Consume(w.T, topic), t: w.T}
}

// Decode makes windows of what has been read since the last call.
func (c *Collected) Decode() {
	c.t.Helper()
	for _, win := range lab.Windows(c.t, c.Records[len(c.Windows):]) {
		c.Windows = append(c.Windows, win)
		c.Held += win.Count
	}
}

// UntilRecords reads until windows with at least n records have come.
func (c *Collected) UntilRecords(n int) {
	c.t.Helper()
	c.Until(Patience, fmt.Sprintf("windows with %d records", n), func() bool {
		c.Decode()
		return c.Held >= n
	})
}

// UntilWindows reads until at least n windows have come.
func (c *Collected) UntilWindows(n int) {
	c.t.Helper()
	c.Until(Patience, fmt.Sprintf("%d windows", n), func() bool {
		c.Decode()
		return len(c.Windows) >= n
	})
}

// All reads what is committed and returns every window.
func (c *Collected) All() []lab.Window {
	c.t.Helper()
	c.ToEnd()
	c.Decode()
	return c.Windows
}

// Buffered is the number of the source's records that ingest has appended to the lanes ever, as their tails tell.
func (w *Job) Buffered(partitions int) int {
	w.T.Helper()
	client := w.Redis.Client(w.T)
	total := 0
	for p := range partitions {
		name := w.Shard(p)
		next, err := client.HGet(w.T.Context(), lab.LaneKey(w.Stream, name, name)+":tail", "next").Int()
		if err != nil && err != redis.Nil {
			w.T.Fatalf("reading the tail of %s: %v", name, err)
		}
		total += next
	}
	return total
}
