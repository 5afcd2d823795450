// Package ingest copies Kafka topics into a stream's lanes: the program's loop from source to buffer.
//
// Each partition that the group assigns has a goroutine of its own that owns its lane: it reads the lane's tail, has the
// source fetched from there, and appends what comes, comparing the tail each time. Whatever is doubtful (another ingester,
// a lost answer, a failover, a FLUSHALL) ends in the same way: read the tail again and go on from it. So it does not
// matter here who else believes the partition to be theirs, and nothing has to be remembered.
//
//	Group ──assignment──▶ lanes ◀──chunks── Fetcher ◀──raw batches── Kafka
//	                        │ compare-and-append
//	                        ▼
//	                      Redis        marks of the pipelines ──every 2 s──▶ the group's committed offsets
//
// A lane without a tail begins at the group's committed offset, and that is the least position of the pipelines: records
// that no pipeline's checkpoint covers are always in the lane or behind the tail.
package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/shard"
	"github.com/windrow-io/windrow/pkg/source"
)

// Conditions are told what the program needs and whether it has it: nil means it has. Warn is for what an operator must
// see and what does not stop the work.
type Conditions interface {
	Set(name string, err error)
	Warn(name string, err error)
}

// Options of an Ingest.
type Options struct {
	Cluster *wire.Cluster  // the source
	Buffer  *buffer.Buffer // the stream

	Topics        string // KAFKA_TOPICS, see source.ParseTopics
	Group         string // KAFKA_GROUP
	Start         string // KAFKA_START, see source.ParseStart
	ReadCommitted bool   // KAFKA_ISOLATION
	Shards        int    // SHARDS: 0, one shard per source partition
	ShardKey      string // SHARD_KEY, by which records are spread over them; empty: @key
	MaxBytes      int64  // BUFFER_MAX_BYTES, of a lane; 0: 64 MiB

	// Join takes part in sharing the partitions among all that ingest, until ctx is done, and tells assign of each
	// assignment; nil: as a member of Group in Kafka.
	Join func(ctx context.Context, assign func(*source.Assignment))

	Abort      context.Context // ends even the work in hand when it is done; nil: only Shutdown does
	Shutdown   time.Duration   // how long the work in hand may take once Run's context is done; 0: 10 s
	Conditions Conditions      // nil: nobody listens
	Logger     *zap.Logger     // nil: none

	refresh time.Duration // how often the topics are looked at; 0: the source's default
}

// Ingest copies topics into a stream. Make it with New.
type Ingest struct {
	o       Options
	topics  *source.Topics
	start   source.Start
	log     *zap.Logger
	cluster *wire.Cluster
	buffer  *buffer.Buffer
	watch   *source.Watch
	fetcher *source.Fetcher
	offsets *offsets

	waiting  *faults // what is waited for, by condition and part
	hard     context.Context
	lanesCtx context.Context

	mu      sync.Mutex
	current *source.Assignment
	lanes   map[source.TopicPartition]*lane
	ending  map[source.TopicPartition]*lane // taken away; the partition's next lane waits for it
	running sync.WaitGroup
}

const (
	defaultMaxBytes = 64 << 20
	defaultShutdown = 10 * time.Second
	// entryBytes is what an entry should hold at least under load: smaller ones cost more, larger ones gain nothing.
	entryBytes = 256 << 10
)

// New checks the options; it does not connect. All that is wrong with them is in the error.
func New(o Options) (*Ingest, error) {
	topics, errTopics := source.ParseTopics(o.Topics)
	start, errStart := source.ParseStart(o.Start)
	var errs []error
	if errTopics != nil {
		errs = append(errs, fmt.Errorf("KAFKA_TOPICS: %w", errTopics))
	}
	if errStart != nil {
		errs = append(errs, fmt.Errorf("KAFKA_START: %w", errStart))
	}
	if o.Group == "" {
		errs = append(errs, errors.New("KAFKA_GROUP: it is empty"))
	}
	if o.Shards > 0 {
		o.ShardKey = cmp.Or(o.ShardKey, "@key")
		if _, err := shard.New(o.Shards, o.ShardKey); err != nil {
			errs = append(errs, err)
		}
	}
	if o.MaxBytes < 0 {
		errs = append(errs, fmt.Errorf("BUFFER_MAX_BYTES=%d: it must be positive", o.MaxBytes))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.Shutdown <= 0 {
		o.Shutdown = defaultShutdown
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	in := &Ingest{
		o: o, topics: topics, start: start, log: o.Logger, cluster: o.Cluster, buffer: o.Buffer,
		lanes: map[source.TopicPartition]*lane{}, ending: map[source.TopicPartition]*lane{}, waiting: newFaults(o.Conditions),
	}
	in.watch = source.NewWatch(o.Cluster, topics, o.refresh, in.waiting.looked, o.Logger)
	in.fetcher = source.NewFetcher(o.Cluster, in.watch, source.FetcherOptions{
		ReadCommitted: o.ReadCommitted, Report: in.waiting.of(conditionKafka), Logger: o.Logger,
	})
	if o.Join == nil {
		in.o.Join = func(ctx context.Context, assign func(*source.Assignment)) {
			source.NewGroup(o.Group, o.Cluster, in.watch, assign, in.waiting.of(conditionGroup), o.Logger).Run(ctx)
		}
	}
	in.offsets = &offsets{in: in, one: semaphore.NewWeighted(1)}
	return in, nil
}

// Run ingests until ctx is done, then stops in order: no more fetches, the appends in hand to their end, the offsets
// committed, the group left, so that others take the partitions over at once. Whatever is missing meanwhile, Kafka,
// Redis, a topic, is waited for. An error is what waiting can't mend: Redis evicts keys (buffer.ErrPolicy), or the stream
// was made with other settings (buffer.ErrSettings).
func (in *Ingest) Run(ctx context.Context) error {
	// The last thing that a start has to wait for: nobody may take the program for ready before.
	in.waiting.set(conditionGroup, "", fmt.Errorf("not yet a member of group %s", in.o.Group))
	if err := in.claim(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}

	hard, abort := context.WithCancel(context.WithoutCancel(ctx)) // ends the work in hand
	defer abort()
	if in.o.Abort != nil {
		defer context.AfterFunc(in.o.Abort, abort)()
	}
	soft, stop := context.WithCancel(hard) // no new work
	defer stop()
	in.hard, in.lanesCtx = hard, soft
	member, leave := context.WithCancel(hard)
	defer leave()

	var reading, belonging sync.WaitGroup
	reading.Go(func() { in.watch.Run(soft) })
	reading.Go(func() { in.fetcher.Run(soft) })
	reading.Go(func() { in.keep(soft) })
	belonging.Go(func() { in.o.Join(member, in.assign) })

	<-ctx.Done()
	in.log.Info("stopping: finishing the appends in hand")
	patience := time.AfterFunc(in.o.Shutdown, abort)
	defer patience.Stop()
	in.mu.Lock()
	stop() // assign starts no lane after this
	in.mu.Unlock()
	in.running.Wait()
	reading.Wait()
	in.offsets.commit(hard)
	leave()
	belonging.Wait()
	in.log.Info("stopped")
	return nil
}

// claim waits for Redis and makes the stream's settings known.
func (in *Ingest) claim(ctx context.Context) error {
	for again := newBackoff(); ; {
		err := in.buffer.Check(ctx)
		if err == nil {
			_, err = in.buffer.Claim(ctx, in.settings())
		}
		in.waiting.set(conditionRedis, "", err)
		if err == nil || errors.Is(err, buffer.ErrPolicy) || errors.Is(err, buffer.ErrSettings) {
			return err
		}
		if !again.Wait(ctx) {
			return ctx.Err()
		}
	}
}

func (in *Ingest) settings() buffer.Settings {
	isolation := "read_uncommitted"
	if in.o.ReadCommitted {
		isolation = "read_committed"
	}
	return buffer.Settings{Shards: in.o.Shards, ShardKey: in.o.ShardKey, Start: in.start.String(), Group: in.o.Group, Isolation: isolation}
}

// assign starts and stops lanes so that they are those of the assignment. Those that stay don't notice.
func (in *Ingest) assign(a *source.Assignment) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.lanesCtx.Err() != nil {
		return
	}
	in.current = a
	want := map[source.TopicPartition]bool{}
	for _, tp := range a.Partitions {
		want[tp] = true
	}
	for tp, l := range in.lanes {
		if !want[tp] {
			l.cancel()
			delete(in.lanes, tp)
			in.ending[tp] = l
		}
	}
	for _, tp := range a.Partitions {
		if in.lanes[tp] != nil {
			continue
		}
		before := in.ending[tp]
		delete(in.ending, tp)
		l := newLane(in, tp)
		in.lanes[tp] = l
		in.running.Go(func() {
			defer close(l.done)
			if before != nil {
				<-before.done
			}
			l.run()
		})
	}
}

// assigned returns the assignment that holds, and its lanes.
func (in *Ingest) assigned() (*source.Assignment, []*lane) {
	in.mu.Lock()
	defer in.mu.Unlock()
	ls := slices.SortedFunc(maps.Values(in.lanes), func(a, b *lane) int { return a.tp.Compare(b.tp) })
	return in.current, ls
}

// newBackoff is the pause after something that failed.
func newBackoff() pause.Backoff {
	return pause.Backoff{Min: 20 * time.Millisecond, Max: 2 * time.Second}
}
