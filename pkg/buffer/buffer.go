// Package buffer keeps a stream's records on Redis Streams: lanes, their registry, the leases of shards, and trimming.
//
// A lane is a cache of its source partition and everything else here is a hint: whatever Redis loses, the records are
// read again from the source, and who has processed what is written in Kafka. So nothing here needs more of Redis than
// that it does not silently drop keys (maxmemory-policy noeviction).
//
// What holds whatever happens: a lane is written by compare-and-append (Appender), so that its entries cover its source
// partition without gap, repeat or reordering, also with two ingesters at once and after Redis lost its newest writes.
// What does not hold: that a reader is given every entry by its group. A lost answer, another worker of the same shard, a
// failover move the group past entries that were never seen. Each entry therefore says where it begins (Entry.From) and
// each turn how far the lane goes (LaneTurn.Tail), so that the reader sees what it missed, and asks for a Rescan.
//
// Keys (those of a shard share a hash tag, so that Redis Cluster keeps them together):
//
//	windrow:<stream>                                 hash    the stream's settings
//	windrow:<stream>:shards                          hash    shard → its lanes, with blanks between them
//	windrow:<stream>:<pipeline>:workers              zset    worker → last heartbeat
//	windrow:{<stream>/<shard>}:lane:<topic>/<part>   stream  entries: f from, n next, a bytes ever before, b record batches
//	windrow:{<stream>/<shard>}:lane:direct/0         stream  entries: data, key, ts, from any client
//	windrow:{<stream>/<shard>}:lane:…:tail           hash    next, last, bytes, high, topic: ingest's alone
//	windrow:{<stream>/<shard>}:trim                  hash    <pipeline> <lane> → position ms seq bytes journal at; trimmed:<lane>
//	windrow:{<stream>/<shard>}:<pipeline>:lease      string  worker, with TTL
package buffer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
)

// Errors that callers act on.
var (
	// ErrConflict: the lane's tail is not where the append expected it: somebody else appended, or Redis lost writes.
	ErrConflict = errors.New("the lane's tail has moved")
	// ErrFull: Redis is out of memory (maxmemory) and refuses writes.
	ErrFull = errors.New("redis is full: raise maxmemory, or let the pipelines catch up")
	// ErrDirectFull: the direct lane takes DirectMaxBytes, because a pipeline does not keep up, or does not run.
	ErrDirectFull = errors.New("the direct lane is full")
	// ErrSettings: the stream exists with other settings.
	ErrSettings = errors.New("the stream exists with other settings")
	// ErrPolicy: Redis may evict keys.
	ErrPolicy = errors.New("redis may evict the buffer")
	// ErrClosed: the Appender or the Reader is closed.
	ErrClosed = errors.New("closed")
)

// Options say where the buffer is. URL is one of
//
//	redis://user:password@host:port/db
//	unix://user:password@/path/to/redis.sock?db=0
//	redis+sentinel://user:password@host:port,host:port/master/db?sentinel_username=…&sentinel_password=…
//	redis+cluster://user:password@host:port,host:port
//
// with rediss instead of redis for TLS. User and password are those of the Redis servers; the sentinels' own are query
// options. The sentinels' default port is 26379, otherwise 6379. Further query options are those of go-redis
// (dial_timeout, read_timeout, write_timeout, pool_size, client_name, skip_verify …) and, for TLS, tls_ca, tls_cert and
// tls_key: files in PEM form with the authority that signed the servers' certificates, and this program's own.
type Options struct {
	URL    string
	Stream string      // [A-Za-z0-9._-]{1,64}
	Logger *zap.Logger // nil: none

	// DirectMaxBytes is how much memory the direct lane may take in Redis before Append refuses; 0: 256 MiB.
	DirectMaxBytes int64

	// Dial opens a connection to a single Redis; nil: over the network.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Buffer is a stream's buffer. Safe for concurrent use.
type Buffer struct {
	rdb    redis.UniversalClient
	stream string
	log    *zap.Logger

	policyUnknown sync.Once // warns that the eviction policy can't be read
	tidied        tidied
	budget        budget
}

// Open makes a Buffer; it does not connect. The error is about the options.
func Open(o Options) (*Buffer, error) {
	if !names.MatchString(o.Stream) {
		return nil, fmt.Errorf("STREAM %q: 1 to 64 of A-Z a-z 0-9 . _ -", o.Stream)
	}
	rdb, err := dial(o.URL, o.Dial)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	log := o.Logger
	if log == nil {
		log = zap.NewNop()
	}
	b := &Buffer{rdb: rdb, stream: o.Stream, log: log}
	b.budget = budget{b: b, max: cmp.Or(o.DirectMaxBytes, defaultDirectMaxBytes), one: semaphore.NewWeighted(1)}
	return b, nil
}

// Close closes the connections.
func (b *Buffer) Close() error { return b.rdb.Close() }
