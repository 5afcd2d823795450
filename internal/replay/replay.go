// Package replay puts dead letters back where their records came from, each exactly once.
//
// One Kafka transaction, in the source's cluster, writes the records (see pkg/letter) and notes which letters they are of,
// in a compacted topic of the pipeline's own: <stream>.<pipeline>.replayed, with the prefix "windrow.". So what is put
// back and the note of it are there both or neither, whenever the program dies, and a letter that is noted is passed over.
//
// Two replays of a pipeline at once can't harm each other, for they have one transactional id. Whoever starts gets a new
// epoch – Kafka ends what an older one had open and refuses it from then on –, writes a mark of its own among the notes,
// and reads them up to it: whatever an older epoch ever committed is before it.
package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/pkg/letter"
)

const (
	// transactionLetters and transactionBytes bound one transaction: a killed replay's open one holds the readers of the
	// source back until its time is over.
	transactionLetters = 200
	transactionBytes   = 1 << 20
	transactionTimeout = 10 * time.Second

	keyMark = "\x00mark" // of what a replay writes to find its own place among the notes
)

// Pipeline is whose letters are put back.
type Pipeline struct{ Stream, Pipeline string }

// Topic is where the pipeline's notes are.
func (p Pipeline) Topic() string { return "windrow." + p.Stream + "." + p.Pipeline + ".replayed" }

func (p Pipeline) transactionalID() string {
	return "windrow." + p.Stream + "." + p.Pipeline + ".replay"
}

// note is the value of a record that says that a letter was put back.
type note struct {
	At time.Time `json:"at"`
	To string    `json:"to"` // topic/partition
}

// Replayer puts letters back. Not safe for concurrent use. After an error of PutBack or Flush it is of no use any more.
type Replayer struct {
	pipeline Pipeline
	to       string // all go to this topic; empty: to the one they came from
	client   *kgo.Client
	noted    map[string]time.Time

	partitions map[string]int // of the topics written to
	spread     kgo.TopicPartitioner
	records    []*kgo.Record // of the transaction to be
	ids        []string
	bytes      int
}

// Noted is which letters had been put back, and when, before this Replayer was opened or by it.
func (r *Replayer) Noted() map[string]time.Time { return maps.Clone(r.noted) }

// ErrReplayed: the letter has been put back before.
var ErrReplayed = errors.New("it was put back before")

// CantError: a letter that can't be put back, and why.
type CantError struct{ Why error }

func (e *CantError) Error() string { return "it can't be put back: " + e.Why.Error() }
func (e *CantError) Unwrap() error { return e.Why }

// Open makes a Replayer and with it ends any other of this pipeline. cluster says how to reach the source's cluster; to is
// a topic that everything goes to, empty for where it came from.
func Open(ctx context.Context, cluster []kgo.Opt, p Pipeline, to string) (*Replayer, error) {
	r := &Replayer{pipeline: p, to: to, noted: map[string]time.Time{}, partitions: map[string]int{}}
	if to != "" {
		r.spread = kgo.StickyKeyPartitioner(nil).ForTopic(to)
	}
	var err error
	r.client, err = kgo.NewClient(append([]kgo.Opt{
		kgo.TransactionalID(p.transactionalID()), kgo.TransactionTimeout(transactionTimeout), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0), kgo.ProducerBatchMaxBytes(16 << 20), kgo.MetadataMinAge(100 * time.Millisecond),
	}, cluster...)...)
	if err != nil {
		return nil, err
	}
	if err := r.begin(ctx, cluster); err != nil {
		r.client.Close()
		return nil, fmt.Errorf("topic %s: %w", p.Topic(), err)
	}
	return r, nil
}

func (r *Replayer) begin(ctx context.Context, cluster []kgo.Opt) error {
	if err := r.makeTopic(ctx); err != nil {
		return err
	}
	mark := &kgo.Record{Topic: r.pipeline.Topic(), Key: []byte(keyMark)}
	if err := r.commit(ctx, mark); err != nil {
		return err
	}
	return readNotes(ctx, cluster, r.pipeline, mark.Offset, r.noted)
}

func (r *Replayer) makeTopic(ctx context.Context) error {
	compact := "compact"
	_, err := kadm.NewClient(r.client).CreateTopic(ctx, 1, -1, map[string]*string{"cleanup.policy": &compact}, r.pipeline.Topic())
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("it can't be made: %w: grant this user Create on it, or make it by hand, with one partition and cleanup.policy=compact", err)
	}
	return nil
}

// commit writes records in one transaction.
func (r *Replayer) commit(ctx context.Context, records ...*kgo.Record) error {
	if err := r.client.BeginTransaction(); err != nil {
		return err
	}
	if err := r.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		// Whoever starts next has Kafka abort it; nothing more is sent under this epoch.
		return fmt.Errorf("write: %w", fenced(err))
	}
	if err := r.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("whether the last transaction was committed is not known; start again, and it will be: %w", fenced(err))
	}
	return nil
}

func fenced(err error) error {
	if errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.ProducerFenced) {
		return fmt.Errorf("another replay of this pipeline has started: %w", err)
	}
	return err
}

// PutBack takes a letter into the next transaction, and commits that if it is full. ErrReplayed: there is nothing to do.
// *CantError: it stays where it is. Any other error ends the Replayer.
func (r *Replayer) PutBack(ctx context.Context, l *letter.Letter) error {
	if _, ok := r.noted[l.ID]; ok {
		return ErrReplayed
	}
	record, err := r.record(ctx, l)
	if err != nil {
		return err
	}
	value, err := json.Marshal(note{At: time.Now().UTC(), To: fmt.Sprintf("%s/%d", record.Topic, record.Partition)})
	if err != nil {
		return err
	}
	r.noted[l.ID] = time.Now()
	r.ids = append(r.ids, l.ID)
	r.records = append(r.records, record, &kgo.Record{Topic: r.pipeline.Topic(), Key: []byte(l.ID), Value: value})
	r.bytes += l.Size
	if len(r.ids) >= transactionLetters || r.bytes >= transactionBytes {
		return r.Flush(ctx)
	}
	return nil
}

// Flush commits what PutBack has taken.
func (r *Replayer) Flush(ctx context.Context) error {
	if len(r.records) == 0 {
		return nil
	}
	err := r.commit(ctx, r.records...)
	r.records, r.ids, r.bytes = r.records[:0], r.ids[:0], 0
	return err
}

// record is what brings l back.
func (r *Replayer) record(ctx context.Context, l *letter.Letter) (*kgo.Record, error) {
	if l.Stream != r.pipeline.Stream || l.Pipeline != r.pipeline.Pipeline {
		return nil, &CantError{fmt.Errorf("it is of pipeline %s of stream %s", l.Pipeline, l.Stream)}
	}
	b, err := l.Back()
	if err != nil {
		return nil, &CantError{err}
	}
	const direct = "direct"
	switch {
	case r.to != "":
		b.Topic = r.to
	case b.Topic == "" || b.Topic == direct:
		return nil, &CantError{fmt.Errorf("it came from %s, which is no partition of a topic: name a topic that ingest reads (--to)", l.From())}
	}
	n, err := r.partitionsOf(ctx, b.Topic)
	if err != nil {
		return nil, err
	}
	record := &kgo.Record{Topic: b.Topic, Partition: b.Partition, Key: b.Key, Value: b.Value}
	if b.Timestamp > 0 {
		record.Timestamp = time.UnixMilli(b.Timestamp)
	}
	for _, h := range b.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	if n == 0 {
		return nil, &CantError{fmt.Errorf("topic %s does not exist any more: name another that ingest reads (--to)", b.Topic)}
	}
	if r.to != "" {
		record.Partition = int32(r.spread.Partition(record, n))
	} else if int(b.Partition) >= n {
		return nil, &CantError{fmt.Errorf("topic %s has no partition %d any more: name another that ingest reads (--to)", b.Topic, b.Partition)}
	}
	return record, nil
}

// partitionsOf is the number of a topic's partitions, 0 if it does not exist.
func (r *Replayer) partitionsOf(ctx context.Context, topic string) (int, error) {
	if n, ok := r.partitions[topic]; ok {
		return n, nil
	}
	ts, err := kadm.NewClient(r.client).ListTopics(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("topic %s: %w", topic, err)
	}
	t := ts[topic]
	if t.Err != nil && !errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
		return 0, fmt.Errorf("topic %s: %w", topic, t.Err)
	}
	r.partitions[topic] = len(t.Partitions)
	return len(t.Partitions), nil
}

// Close ends the Replayer; what was not flushed was not put back.
func (r *Replayer) Close() { r.client.Close() }
