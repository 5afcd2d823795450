// Package buffer keeps a stream's records on Redis Streams: lanes, their registry, the leases of shards, and trimming.
//
// A lane is a cache of its source partition and everything else here is a hint: whatever Redis loses, the records are
// read again from the source, and who has processed what is written in Kafka. So nothing here needs more of Redis than
// that it does not silently drop keys (maxmemory-policy noeviction).
//
// Keys (those of a shard share a hash tag, so that Redis Cluster keeps them together):
//
//	windrow:<stream>                                  hash   the stream's settings
//	windrow:<stream>:shards                           hash   shard → lanes
//	windrow:<stream>:<pipeline>:workers               zset   heartbeats
//	windrow:{<stream>/<shard>}:lane:<topic>/<part>    stream the records        …:tail  hash  next, bytes ever, high watermark
//	windrow:{<stream>/<shard>}:trim                   hash   per pipeline and lane: position, entry, bytes ever before it
//	windrow:{<stream>/<shard>}:<pipeline>:lease       string worker, with TTL
package buffer

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/windrow-io/windrow/pkg/record"
)

// Errors that callers act on.
var (
	// ErrConflict: the lane's tail is not where the append expected it: somebody else appended, or Redis lost writes.
	ErrConflict = errors.New("the lane's tail has moved")
	// ErrFull: Redis is out of memory (maxmemory) and refuses writes.
	ErrFull = errors.New("redis is full: raise maxmemory, or let the pipelines catch up")
	// ErrSettings: the stream exists with other settings.
	ErrSettings = errors.New("the stream exists with other settings")
	// ErrPolicy: Redis may evict keys.
	ErrPolicy = errors.New("redis may evict the buffer")
)

// Options say where the buffer is. URL is redis://, rediss:// (TLS), redis+sentinel://host:port,host:port/<master>/<db>,
// or redis+cluster://host:port,host:port (rediss+… with TLS); user, password and go-redis's query options as in redis.ParseURL.
type Options struct {
	URL    string
	Stream string // [A-Za-z0-9._-]{1,64}
	Logger *zap.Logger
}

// Buffer is a stream's buffer. Safe for concurrent use.
type Buffer struct{ rdb redis.UniversalClient }

// Open makes a Buffer; it does not connect. The error is about the options.
func Open(o Options) (*Buffer, error) { panic("not built yet") }

// Check connects and verifies the server: version, and that it evicts nothing. ErrPolicy (wrapped, with the remedy) will
// not mend itself; any other error may.
func (b *Buffer) Check(ctx context.Context) error { panic("not built yet") }

// Close closes the connections.
func (b *Buffer) Close() error { panic("not built yet") }

// Settings belong to the stream, not to a pipeline.
type Settings struct {
	Shards   int    // SHARDS; 0: one shard per source partition
	ShardKey string // SHARD_KEY
	Start    string // KAFKA_START, for pipelines that begin
	Group    string // the Kafka group of ingest
}

// Claim writes the stream's settings if it has none, and returns those it has. ErrSettings if Shards or ShardKey differ.
// Start and Group are replaced.
func (b *Buffer) Claim(ctx context.Context, s Settings) (Settings, error) { panic("not built yet") }

// Settings returns the stream's settings; ok is false if nobody has claimed the stream.
func (b *Buffer) Settings(ctx context.Context) (s Settings, ok bool, err error) {
	panic("not built yet")
}

// Direct is the shard, DirectLane the lane, of records that programs append themselves.
const (
	Direct     = "direct"
	DirectLane = "direct/0"
)

// Register makes a shard and its lanes known. Lanes are added, in order, never removed; it is safe to repeat.
func (b *Buffer) Register(ctx context.Context, shard string, lanes ...string) error {
	panic("not built yet")
}

// Shards returns the registered shards and their lanes in the order they were registered, the direct one among them as
// soon as its lane exists.
func (b *Buffer) Shards(ctx context.Context) (map[string][]string, error) { panic("not built yet") }

// ---- appending: compare-and-append ----

// Tail is the end of a lane.
type Tail struct {
	Exists bool
	Next   int64  // the next source offset
	Bytes  int64  // appended ever
	High   int64  // the source's high watermark as the last append saw it
	Held   int64  // Bytes less those before the trimmed position: what counts against BUFFER_MAX_BYTES
	Topic  string // the source topic's id, as the ingester wrote it
}

// Appender appends to one lane over a connection of its own. Not safe for concurrent use.
type Appender struct{ lane string }

// Appender returns the appender of a lane.
func (b *Buffer) Appender(shard, lane string) *Appender { panic("not built yet") }

// Tail reads the lane's tail and arms the comparison: the next Append succeeds only if the tail is still this one. To
// be called first and after every error.
func (a *Appender) Tail(ctx context.Context) (Tail, error) { panic("not built yet") }

// Append appends an entry of whole raw record batches that covers the source offsets [From, Next), if the tail is still
// the one that the last Tail or Append returned and From is its Next (any From starts a lane that does not exist or a
// lane whose source has lost records: then set Gap). ErrConflict, ErrFull, or any other error: unknown, call Tail.
func (a *Appender) Append(ctx context.Context, e Append) (Tail, error) { panic("not built yet") }

// Append is what to append. With Batches nil only the tail moves.
type Append struct {
	From, Next int64
	High       int64
	Batches    []byte
	Gap        bool // From may lie beyond the tail: the source no longer has what is between
	Topic      string
}

// Close closes the appender's connection.
func (a *Appender) Close() error { panic("not built yet") }

// Append appends a value to the stream's direct lane: a []byte or json.RawMessage as it is, anything else as JSON.
// opts may set key and timestamp.
func (b *Buffer) Append(ctx context.Context, value any, opts ...AppendOption) error {
	panic("not built yet")
}

// AppendOption sets a detail of a directly appended record.
type AppendOption func(*directRecord)

type directRecord struct{}

// ---- reading ----

// Entry is an entry of a lane. It aliases the Reader's memory.
type Entry struct {
	Ms, Seq    int64 // its ID: Ms is the time of receipt, Unix milliseconds
	From, Next int64 // the positions it covers. Direct: its own position (Position(Ms, Seq)) and the one after
	Bytes      int64 // appended to the lane ever, before this entry
	Batches    []byte
	Record     *record.Record // direct lane: the record; Offset is the position
}

// Position is an entry ID of the direct lane as a position: ms<<20 | seq.
func Position(ms, seq int64) int64 { return ms<<20 | seq }

// LaneTurn is what one Read got from one lane.
type LaneTurn struct {
	Lane    string
	Entries []Entry
	Cut     bool  // there may be more: the read was cut off by its count
	Rescan  bool  // the entries come from the lane's start on, not from the group
	Tail    int64 // the lane's next source offset before the read; -1: the lane has no tail
	High    int64 // the source's high watermark, likewise
}

// Turn is what one Read got.
type Turn struct {
	Now   int64 // Redis's TIME before the read, Unix milliseconds
	Lanes []LaneTurn
}

// Reader reads a shard's lanes for one pipeline, over a connection of its own. Not safe for concurrent use.
type Reader struct{ shard string }

// Reader returns a reader. It starts with a scan of each lane from its start: what an earlier worker had been given is
// seen again.
func (b *Buffer) Reader(pipeline, worker, shard string, lanes []string) *Reader {
	panic("not built yet")
}

// Read reads up to count entries a lane, waiting up to block (0: not at all; never more than a second) for the first
// one. The turn is valid until the next Read; two turns may be kept by alternating two Readers' memories, see Swap.
// A lane or group that is not there yet (or no longer) is made; an error means: try again after a pause.
func (r *Reader) Read(ctx context.Context, block time.Duration, count int) (*Turn, error) {
	panic("not built yet")
}

// Rescan makes the next Reads of the lane go through it from its start, until its end is reached.
func (r *Reader) Rescan(lane string) { panic("not built yet") }

// AddLane adds a lane to those read.
func (r *Reader) AddLane(lane string) { panic("not built yet") }

// Close closes the reader's connection.
func (r *Reader) Close() error { panic("not built yet") }

// ---- trimming ----

// Mark is how far a pipeline's committed checkpoint lies in a lane.
type Mark struct {
	Lane     string
	Position int64
	Ms, Seq  int64 // the last entry that lies wholly before Position; 0, 0: none is known
	Bytes    int64 // appended to the lane ever, up to the end of that entry
	Journal  int64 // the journal offset of that checkpoint: a hint where to read from
}

// Publish says that pipeline's checkpoint at these marks is committed. It writes them to the trim hash, acknowledges
// what the group holds pending below them, whoever holds it, and trims each lane to the least mark of the pipelines
// that run (those that published within alive); the direct lane to the least of all in required as well, which must have
// a mark there. Call it again every few seconds to stay alive.
func (b *Buffer) Publish(ctx context.Context, pipeline, shard string, marks []Mark, alive time.Duration, required []string) error {
	panic("not built yet")
}

// Marks returns what the pipelines have published: pipeline → lane → mark.
func (b *Buffer) Marks(ctx context.Context, shard string) (map[string]map[string]Mark, error) {
	panic("not built yet")
}

// ---- sharing ----

// Lease is the right to work on a shard. It is for liveness only: two holders at once do no harm.
// TakeLease takes it if it is free or already holder's.
func (b *Buffer) TakeLease(ctx context.Context, pipeline, shard, holder string, ttl time.Duration) (bool, error) {
	panic("not built yet")
}

// RenewLeases prolongs the leases that are still holder's and says which of the shards those are.
func (b *Buffer) RenewLeases(ctx context.Context, pipeline string, shards []string, holder string, ttl time.Duration) (map[string]bool, error) {
	panic("not built yet")
}

// ReleaseLease gives a lease back if it is holder's.
func (b *Buffer) ReleaseLease(ctx context.Context, pipeline, shard, holder string) error {
	panic("not built yet")
}

// Leases returns who holds each of the shards; a free one is absent.
func (b *Buffer) Leases(ctx context.Context, pipeline string, shards []string) (map[string]string, error) {
	panic("not built yet")
}

// Beat writes the worker's heartbeat, forgets workers silent for longer than ttl, and returns those that live, sorted.
func (b *Buffer) Beat(ctx context.Context, pipeline, worker string, ttl time.Duration) ([]string, error) {
	panic("not built yet")
}

// Leave removes the worker's heartbeat, and its consumers where they hold nothing pending.
func (b *Buffer) Leave(ctx context.Context, pipeline, worker string) error { panic("not built yet") }
