// Package journal keeps a pipeline's decisions and checkpoints in one compacted Kafka topic, and commits each decision
// together with the output it led to, in one Kafka transaction. Whoever takes a shard over reads them back and goes on.
//
// Safety rests on Kafka's fencing alone: every shard has a transactional id, windrow.<stream>/<pipeline>/<shard>; Take
// makes a new epoch of it, after which nothing the old owner sends has any effect, and reads back only then. It does not
// ask where the journal ends: it writes a mark of its own and reads up to that. The mark shows the new epoch to the
// partition itself, and its place, acknowledged by all replicas in sync, is behind everything that was ever committed.
//
// Keys: checkpoints `<shard>/c/<i>`, each chunk carrying its checkpoint's number and the chunks' count; decisions
// `<shard>/d/<i>`, i starting again at each checkpoint; `<shard>/o`, the mark of the last owner; `start`, how the pipeline
// began. Compaction keeps the last record of each key: the newest checkpoint, what was decided after it, and a rest of
// older chunks and decisions, which their numbers give away.
//
// Delivered at least once, outputs and decisions are written without a transaction, one after the other; a checkpoint has
// one all the same, since half a checkpoint would make compaction remove half of the one before.
package journal

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/wire"
)

// Errors that callers act on.
var (
	// ErrFenced: a newer epoch exists: somebody else took the shard over. The Owner is dead.
	ErrFenced = errors.New("another worker has taken the shard over")
	// ErrUnknown: whether the transaction took effect is not known. The Owner is dead: Take again tells.
	ErrUnknown = errors.New("the outcome of the transaction is not known")
	// ErrTooLarge: a batch is larger than its topic allows. Nothing was written, the Owner is dead.
	ErrTooLarge = errors.New("a record batch is larger than the topic allows")
	// ErrClock: Kafka refuses the timestamps (error 32): Redis's clock and Kafka's are too far apart.
	ErrClock = errors.New("kafka refuses the output's timestamps: the clocks of Redis and Kafka are more than an hour apart")
	// ErrTopic: the journal's topic is not fit for it. Waiting will not mend it; the error says what will.
	ErrTopic = errors.New("the journal's topic can't be used")
	// ErrLost: the journal has nothing of a shard or a pipeline that is known to have one.
	ErrLost = errors.New("the journal has lost what it held")
)

// Options of a journal.
type Options struct {
	Topic            string
	Stream, Pipeline string
	Partitions       int           // when it has to be made; 0: 16
	Timeout          time.Duration // transaction.timeout.ms; 0: 15 s
	AtLeastOnce      bool          // no transactions: outputs, then the journal record
	Logger           *zap.Logger
}

const (
	defaultPartitions = 16
	defaultTimeout    = 15 * time.Second
)

// Journal is a pipeline's journal. Safe for concurrent use.
type Journal struct {
	o       Options
	cluster *wire.Cluster
	log     *zap.Logger

	maxBatch   int          // bytes: max.message.bytes of the topic
	partitions atomic.Int32 // over which the shards are spread: what the start record says, if there is one
	start      atomic.Pointer[Start]
}

// Open makes the topic if it is missing, or checks it (cleanup.policy=compact, its number of partitions); the error says
// what to do. wire.Retry tells whether trying again can help.
func Open(ctx context.Context, c *wire.Cluster, o Options) (*Journal, error) {
	if o.Partitions == 0 {
		o.Partitions = defaultPartitions
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	j := &Journal{o: o, cluster: c, log: o.Logger.With(zap.String("journal", o.Topic))}
	partitions, err := j.topic(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the journal %s: %w", o.Topic, err)
	}
	j.partitions.Store(int32(partitions))
	if _, err := j.findStart(ctx); err != nil {
		return nil, fmt.Errorf("open the journal %s: %w", o.Topic, err)
	}
	return j, nil
}

// partition is a shard's place. It must never change: FNV-1a of the name, modulo the partitions that the journal had when
// the pipeline began.
func (j *Journal) partition(shard string) int32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(shard))
	return int32(h.Sum32() % uint32(j.partitions.Load()))
}

// transaction is that of a shard, or of the pipeline's start ("").
//
// Names may hold dots, and no slash: joined by slashes no two pipelines, nor two shards, have one id. They would fence each
// other for ever.
func (j *Journal) transaction(shard string) *wire.Transaction {
	id := "windrow." + j.o.Stream + "/" + j.o.Pipeline
	if shard != "" {
		id += "/" + shard
	}
	return j.cluster.Transaction(id, j.o.Timeout)
}
