// Package wire speaks to Kafka below kafka-go's Reader and Writer: raw record batches in, record batches of our own out,
// and the calls of a transaction, each one round trip over a connection that kafka-go's Transport opened, authenticated
// and routed (protocol.RawExchanger).
//
// Nothing here retries: a caller that sees an error must know that the request may or may not have taken effect.
package wire

import (
	"context"
	"crypto/tls"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/windrow-io/windrow/pkg/record"
)

// Config says how to reach a cluster.
type Config struct {
	Brokers  []string       // host:port
	TLS      *tls.Config    // nil: plain text
	SASL     sasl.Mechanism // nil: none
	ClientID string
}

// Cluster is a Kafka cluster. Safe for concurrent use.
type Cluster struct{ client *kafka.Client }

// New makes a Cluster; it does not connect.
func New(c Config) *Cluster { panic("not built yet") }

// Client is kafka-go's client over the same connections: groups, offsets, administration.
func (c *Cluster) Client() *kafka.Client { return c.client }

// Config is what the Cluster was made with.
func (c *Cluster) Config() Config { panic("not built yet") }

// Close closes the connections.
func (c *Cluster) Close() { panic("not built yet") }

// Topic is what a broker says of a topic.
type Topic struct {
	Name       string
	ID         [16]byte // changes when a topic is deleted and made again; zero before Kafka 2.8
	Err        error    // kafka.Error; nil: none
	Internal   bool
	Partitions []Partition // by number
}

// Partition is what a broker says of a partition.
type Partition struct {
	ID          int32
	Leader      int32 // broker id; -1: none now
	LeaderEpoch int32
	Err         error
}

// Topics asks a broker, not a cache, for these topics, or for all of them if none is named. Topics are never created.
func (c *Cluster) Topics(ctx context.Context, names ...string) ([]Topic, error) {
	panic("not built yet")
}

// FetchPartition is one partition of a fetch.
type FetchPartition struct {
	Topic     string
	Partition int32
	Offset    int64 // fetch from here
	MaxBytes  int32
}

// FetchRequest asks one broker for partitions it leads.
type FetchRequest struct {
	Broker        int32
	Partitions    []FetchPartition
	MinBytes      int32
	MaxBytes      int32
	MaxWait       time.Duration
	ReadCommitted bool
	Buf           []byte // memory for the answer; it grows if need be
}

// Fetched is one partition's answer. Records aliases FetchResponse.Buf: raw batches, the last one perhaps cut short; the
// first may begin before the offset asked for; control batches and aborted ones are among them (see Aborted).
type Fetched struct {
	Topic            string
	Partition        int32
	Err              error // kafka.Error; nil: none
	HighWatermark    int64
	LastStableOffset int64
	LogStart         int64
	Aborted          []Aborted // transactions that were aborted: drop these producers' batches from FirstOffset to their marker
	Records          []byte
}

// Aborted is an aborted transaction in a fetch's range.
type Aborted struct{ ProducerID, FirstOffset int64 }

// FetchResponse is a broker's answer. Buf may be given to the next request once nothing of the answer is in use.
type FetchResponse struct {
	Partitions []Fetched
	Buf        []byte
}

// Fetch does one fetch. After an error the request's Buf must not be used again: a late answer may still be written to it.
func (c *Cluster) Fetch(ctx context.Context, r FetchRequest) (*FetchResponse, error) {
	panic("not built yet")
}

// Times for Offsets.
const (
	Latest   = -1 // the high watermark, or the last stable offset with readCommitted
	Earliest = -2 // the log start
)

// Offsets returns, for each partition, the offset at a time: Earliest, Latest, or the first record at or after a Unix
// time in milliseconds (the high watermark if there is none).
func (c *Cluster) Offsets(ctx context.Context, topic string, partitions []int32, at int64, readCommitted bool) (map[int32]int64, error) {
	panic("not built yet")
}

// Batch is a batch under construction and where it goes.
type Batch struct {
	Topic     string
	Partition int32
	Builder   *record.Builder
}

// Raw is a sealed batch and where it goes.
type Raw struct {
	Topic     string
	Partition int32
	Bytes     []byte
}

// Produce sends sealed batches, at most one a partition, to the broker that leads them all, acks=all. txn is the
// transactional id, empty for none. The error is the transport's; the results, in the order of batches, are the broker's.
func (c *Cluster) Produce(ctx context.Context, broker int32, txn string, batches []Raw, timeout time.Duration) ([]Produced, error) {
	panic("not built yet")
}

// Produced is what a broker said to one batch.
type Produced struct {
	Err        error // kafka.Error; nil: written
	BaseOffset int64
}

// Transaction is the client's side of one transactional id. The calls go straight to the coordinator, found by Init and
// again after an error. Not safe for concurrent use.
type Transaction struct{ id string }

// Transaction returns the client's side of a transactional id. The coordinator aborts what stays open longer than timeout.
func (c *Cluster) Transaction(id string, timeout time.Duration) *Transaction { panic("not built yet") }

// Init is InitProducerID: a new epoch. Kafka aborts what the old epoch had open, finishes what it had decided, and
// refuses the old epoch from then on. kafka.ConcurrentTransactions (51) and 16, 14, 15 mean: ask again.
func (t *Transaction) Init(ctx context.Context) (record.Producer, error) { panic("not built yet") }

// Add is AddPartitionsToTxn.
func (t *Transaction) Add(ctx context.Context, p record.Producer, partitions map[string][]int32) error {
	panic("not built yet")
}

// End is EndTxn.
func (t *Transaction) End(ctx context.Context, p record.Producer, commit bool) error {
	panic("not built yet")
}

// Retry reports whether err is one of the broker's passing errors (leader moved, coordinator loading, transaction still
// completing …) or the network's, after which the same question may be asked again later.
func Retry(err error) bool { panic("not built yet") }

// Fenced reports whether err says that a newer epoch of the producer exists (47, 90, 49).
func Fenced(err error) bool { panic("not built yet") }

// Forget drops cached metadata and idle connections: the next request looks afresh.
func (c *Cluster) Forget() { panic("not built yet") }
