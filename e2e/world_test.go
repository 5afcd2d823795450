package e2e

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

// patience is how long a test waits for what should come within seconds: the machine may be busy.
const patience = 120 * time.Second

// world is one stream: a topic of Kafka, a Redis of its own, and where a pipeline writes to.
type world struct {
	t      testing.TB
	kafka  *lab.KafkaServer
	redis  *lab.RedisServer
	stream string
	topic  string // the source
	out    string // the output; dead letters are in out.dead
}

// newWorld makes the topics of a stream whose source has so many partitions.
func newWorld(t testing.TB, partitions int) *world {
	t.Helper()
	w := &world{t: t, kafka: lab.Kafka(t), redis: lab.Redis(t)}
	w.name()
	w.createTopics(partitions)
	return w
}

func (w *world) name() {
	w.stream = lab.Name(w.t)
	w.topic, w.out = w.stream+".in", w.stream+".out"
}

func (w *world) createTopics(partitions int) {
	w.t.Helper()
	w.kafka.CreateTopic(w.t, w.topic, partitions)
	w.kafka.CreateTopic(w.t, w.out, 4)
	w.kafka.CreateTopic(w.t, w.out+".dead", 1)
}

func (w *world) common() []string {
	return []string{
		"STREAM=" + w.stream, "REDIS_URL=" + w.redis.URL, "KAFKA_BROKERS=" + w.kafka.Addr,
		"LOG_FORMAT=console", "LOG_LEVEL=debug", "SHUTDOWN_TIMEOUT=20s",
	}
}

// ingest starts an ingest of the stream; settings override the defaults.
func (w *world) ingest(settings ...string) *lab.Program {
	w.t.Helper()
	return lab.Start(w.t, "ingest", append(append(w.common(), "KAFKA_TOPICS="+w.topic), settings...)...)
}

// worker starts a process of the pipeline p that writes to Kafka; settings override the defaults.
func (w *world) worker(settings ...string) *lab.Program {
	w.t.Helper()
	return w.workerProgram("process", settings...)
}

// workerProgram is worker with a program of the user's own.
func (w *world) workerProgram(program string, settings ...string) *lab.Program {
	w.t.Helper()
	defaults := append(w.common(), "PIPELINE=p", "SINK=kafka", "KAFKA_OUTPUT_TOPIC="+w.out, "LEASE_TTL=1s")
	return lab.Start(w.t, program, append(defaults, settings...)...)
}

// append appends a value to the stream's direct lane, at the given entry ID ("*": the server's choice), and returns the
// milliseconds of its ID: the time of its receipt.
func (w *world) append(client *redis.Client, id string, value any) (ms int64) {
	w.t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		w.t.Fatal(err)
	}
	got, err := client.XAdd(w.t.Context(), &redis.XAddArgs{
		Stream: w.directLane(), ID: id, Values: []any{"data", text},
	}).Result()
	if err != nil {
		w.t.Fatalf("appending to the direct lane: %v", err)
	}
	if _, err := fmt.Sscanf(got, "%d-", &ms); err != nil {
		w.t.Fatal(err)
	}
	return ms
}

func (w *world) directLane() string { return lab.LaneKey(w.stream, "direct", "direct/0") }

// input is the value of a test's record: the i-th of its partition.
type input struct {
	P     int    `json:"p"`
	I     int    `json:"i"`
	Value int    `json:"value"`
	Pad   string `json:"pad,omitempty"`
}

// inputs returns the records from ≤ i < to of a partition of the source, of about 200 bytes each.
func (w *world) inputs(partition, from, to int) []*kgo.Record {
	records := make([]*kgo.Record, 0, to-from)
	for i := from; i < to; i++ {
		value, err := json.Marshal(input{P: partition, I: i, Value: i * 7919 % 1000, Pad: strings.Repeat("x", 150)})
		if err != nil {
			panic(err) // plain fields
		}
		records = append(records, &kgo.Record{
			Topic: w.topic, Partition: int32(partition), Key: fmt.Appendf(nil, "key-%d", i%97), Value: value,
		})
	}
	return records
}

// produce writes the records from ≤ i < to to each partition of the source.
func (w *world) produce(partitions, from, to int) {
	w.t.Helper()
	var records []*kgo.Record
	for p := range partitions {
		records = append(records, w.inputs(p, from, to)...)
	}
	w.kafka.Produce(w.t, records)
}

// trickle writes n records to each partition of the source in the background, evenly over the time, and returns a channel
// that is closed at the end.
func (w *world) trickle(partitions, n int, over time.Duration) (done <-chan struct{}) {
	const steps = 50
	finished := make(chan struct{})
	client := w.kafka.Producer(w.t)
	go func() {
		defer close(finished)
		tick := time.NewTicker(over / steps)
		defer tick.Stop()
		for s := range steps {
			var records []*kgo.Record
			for p := range partitions {
				records = append(records, w.inputs(p, n*s/steps, n*(s+1)/steps)...)
			}
			if err := client.ProduceSync(w.t.Context(), records...).FirstErr(); err != nil {
				w.t.Errorf("producing to %s: %v", w.topic, err)
				return
			}
			<-tick.C
		}
	}()
	return finished
}

// collected counts the records in the windows that a consumer has read, as it reads them.
type collected struct {
	*lab.Consumer
	t       testing.TB
	windows []lab.Window
	records int
}

func (w *world) collect(topic string) *collected {
	w.t.Helper()
	return &collected{Consumer: w.kafka.Consume(w.t, topic), t: w.t}
}

func (c *collected) decode() {
	c.t.Helper()
	for _, win := range lab.Windows(c.t, c.Records[len(c.windows):]) {
		c.windows = append(c.windows, win)
		c.records += win.Count
	}
}

// untilRecords reads until windows with at least n records have come.
func (c *collected) untilRecords(n int) {
	c.t.Helper()
	c.Until(patience, fmt.Sprintf("windows with %d records", n), func() bool {
		c.decode()
		return c.records >= n
	})
}

// untilWindows reads until at least n windows have come.
func (c *collected) untilWindows(n int) {
	c.t.Helper()
	c.Until(patience, fmt.Sprintf("%d windows", n), func() bool {
		c.decode()
		return len(c.windows) >= n
	})
}

// all reads what is committed and returns every window.
func (c *collected) all() []lab.Window {
	c.t.Helper()
	c.ToEnd()
	c.decode()
	return c.windows
}

// buffered is the number of the source's records that ingest has appended to the lanes ever, as their tails tell.
func (w *world) buffered(partitions int) int {
	w.t.Helper()
	client := w.redis.Client(w.t)
	total := 0
	for p := range partitions {
		name := fmt.Sprintf("%s/%d", w.topic, p)
		next, err := client.HGet(w.t.Context(), lab.LaneKey(w.stream, name, name)+":tail", "next").Int()
		if err != nil && err != redis.Nil {
			w.t.Fatalf("reading the tail of %s: %v", name, err)
		}
		total += next
	}
	return total
}
