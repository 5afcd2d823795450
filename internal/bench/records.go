package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Params are the sizes of a job.
type Params struct {
	Partitions int           `json:"partitions"` // of the source
	Records    int           `json:"records,omitempty"`
	Bytes      int           `json:"bytes"`            // of a record's value
	Window     int           `json:"window,omitempty"` // records of a count window
	Keys       int           `json:"keys,omitempty"`
	Interval   time.Duration `json:"interval_ns,omitempty"` // of windows by event time
	Workers    int           `json:"workers"`
}

const (
	minBytes  = 150           // of a record's value
	eventBase = 1_700_000_000 // seconds: when the first record happened
	eventRate = 10_000        // records a second of event time
)

// at is when the i-th record of all happened, in Unix milliseconds.
func at(i int) int64 { return eventBase*1000 + int64(i)*1000/eventRate }

// index is the number among all of the n-th record of a partition. Records are dealt to the partitions in turn.
func (p Params) index(partition int32, n int) int { return n*p.Partitions + int(partition) }

func (p Params) key(i int) string { return fmt.Sprintf("device-%07d", i%max(1, p.Keys)) }

// reading is what the i-th record says in its field value, in hundredths.
func reading(i int) int { return i*7919%4000 + 100 }

// value is the n-th record of a partition, which says ts of its time.
func (p Params) value(partition int32, n int, ts int64) []byte {
	i := p.index(partition, n)
	v := fmt.Appendf(make([]byte, 0, p.Bytes), `{"partition":%d,"n":%d,"ts":%d,"device":"%s","value":%d.%02d,"unit":"celsius","note":"`,
		partition, n, ts, p.key(i), reading(i)/100, reading(i)%100)
	return append(append(v, p.note(i, p.Bytes-len(v)-2)...), `"}`...)
}

// note is text of a length. Where it is most of the record it is words, which a codec makes half as long; a run of one
// letter it would make nothing of.
func (p Params) note(i, length int) string {
	switch {
	case length <= 0:
		return ""
	case length < 1024:
		return strings.Repeat("x", length)
	}
	text := words()
	from := i * 7919 % (len(text) / 2)
	for len(text)-from < length {
		text += text
	}
	return text[from : from+length]
}

var words = sync.OnceValue(func() string {
	list := strings.Fields(`valve pump sensor north south line pressure flow level open closed warning within limits inspected
		by shift two since morning replaced gasket torque nominal vibration slightly above average no action required`)
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < 4<<20 {
		b.WriteString(list[random.IntN(len(list))])
		fmt.Fprintf(&b, " %d ", random.IntN(10_000))
	}
	return b.String()
})

// closing is a record behind all others of its partition, by so much that no window of theirs stays open. It is of a key
// of its own, closingKey, and ends in no window that anybody waits for.
func (p Params) closing(partition int32) []byte {
	return fmt.Appendf(nil, `{"partition":%d,"n":-1,"ts":%d,"device":%q,"value":0.00,"unit":"celsius","note":""}`,
		partition, at(p.Records)+10*p.Interval.Milliseconds()+10_000, closingKey)
}

const closingKey = "closing"

// loader writes records as fast as Kafka takes them.
type loader struct {
	client *kgo.Client
	topic  string
	failed kgo.FirstErrPromise
}

func (c *cluster) newLoader(topic, compression string, p Params) (*loader, error) {
	client, err := c.connect(kgo.RecordPartitioner(kgo.ManualPartitioner()), codec(compression), kgo.ProducerLinger(5*time.Millisecond),
		kgo.ProducerBatchMaxBytes(int32(max(256<<10, 2*p.Bytes))), kgo.MaxBufferedRecords(max(1000, min(100_000, 64<<20/p.Bytes))), kgo.UnknownTopicRetries(-1))
	return &loader{client: client, topic: topic}, err
}

func (l *loader) write(ctx context.Context, partition int32, value []byte) {
	l.client.Produce(ctx, &kgo.Record{Topic: l.topic, Partition: partition, Value: value}, l.failed.Promise())
}

// close waits until all is written.
func (l *loader) close(ctx context.Context) error {
	defer l.client.Close()
	if err := l.client.Flush(ctx); err != nil {
		return err
	}
	return l.failed.Err()
}

// load makes a topic of a job's records; closed: with those that close windows by event time behind them.
func (c *cluster) load(ctx context.Context, topic, compression string, p Params, closed bool) error {
	if err := c.createTopic(ctx, topic, p.Partitions, p.maxMessage()); err != nil {
		return err
	}
	l, err := c.newLoader(topic, compression, p)
	if err != nil {
		return err
	}
	for n := range p.Records / p.Partitions {
		for partition := range int32(p.Partitions) {
			l.write(ctx, partition, p.value(partition, n, at(p.index(partition, n))))
		}
	}
	if err := l.close(ctx); err != nil || !closed || p.Interval == 0 {
		return err
	}
	return c.closeWindows(ctx, topic, compression, p)
}

// closeWindows writes the records that close the windows by event time.
func (c *cluster) closeWindows(ctx context.Context, topic, compression string, p Params) error {
	l, err := c.newLoader(topic, compression, p)
	if err != nil {
		return err
	}
	for partition := range int32(p.Partitions) {
		l.write(ctx, partition, p.closing(partition))
	}
	return l.close(ctx)
}

// maxMessage is the size of batch that the topics must take, in bytes; 0: what they take anyway.
func (p Params) maxMessage() int {
	if most := p.Bytes * max(1, p.Window) * 5 / 4; most > 1_000_000 {
		return most + 1<<20
	}
	return 0
}
