package buffer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/semaphore"
)

// defaultDirectMaxBytes is more than an ordinary lane may hold: what has no source has nowhere else to wait.
const defaultDirectMaxBytes = 256 << 20

// Backlog is what the direct lane holds, because a pipeline has not processed it. Any client may append to the lane, so
// nothing but Redis knows how much that is.
type Backlog struct {
	Bytes   int64                    // of memory in Redis, by its own estimate
	Records int64                    // not trimmed
	Lag     map[string]time.Duration // pipeline → for how long the oldest record that none of its checkpoints covers is there; 0: there is none

	max     int64
	trimKey string
	first   string        // the pipeline that is least far; empty: none has read the lane yet
	silent  time.Duration // since that one published last; 0: it never did
}

// Backlog looks at the direct lane, and keeps its metrics.
func (b *Buffer) Backlog(ctx context.Context) (Backlog, error) {
	node, err := b.node(ctx, b.laneKey(Direct, DirectLane))
	var l Backlog
	if err == nil {
		l, err = b.backlog(ctx, node)
	}
	if err != nil {
		b.moved(ctx)
		return Backlog{}, fmt.Errorf("how much the direct lane of the stream %s holds: %w", b.stream, err)
	}
	heldBytes.WithLabelValues(Direct, DirectLane).Set(float64(l.Bytes))
	directRecords.Set(float64(l.Records))
	directLag.Reset() // a pipeline may have been removed
	for pipeline, lag := range l.Lag {
		directLag.WithLabelValues(pipeline).Set(lag.Seconds())
	}
	return l, nil
}

func (b *Buffer) backlog(ctx context.Context, node *redis.Client) (Backlog, error) {
	lane := b.laneKey(Direct, DirectLane)
	l := Backlog{max: b.budget.max, trimKey: b.trimKey(Direct), Lag: map[string]time.Duration{}}
	var memory, length *redis.IntCmd
	var clock *redis.TimeCmd
	var hash *redis.MapStringStringCmd
	_, _ = node.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		memory, clock, length, hash = pipe.MemoryUsage(ctx, lane, samples), pipe.Time(ctx), pipe.XLen(ctx, lane), pipe.HGetAll(ctx, l.trimKey)
		return nil
	})
	var err error
	if l.Bytes, err = memoryOf(ctx, node, lane, memory); err == nil {
		err = errors.Join(clock.Err(), length.Err(), hash.Err())
	}
	if err != nil {
		return l, err
	}
	l.Records = length.Val()
	now := clock.Val()
	marks := decodeMarks(hash.Val())
	var least Mark
	next := map[string]*redis.XMessageSliceCmd{}
	if _, err := node.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, pipeline := range slices.Sorted(maps.Keys(marks)) {
			m, ok := marks[pipeline][DirectLane]
			if !ok {
				continue
			}
			if l.first == "" || m.before(least) {
				l.first, least = pipeline, m
			}
			from := "-"
			if m.Ms > 0 || m.Seq > 0 {
				from = "(" + id(m.Ms, m.Seq)
			}
			l.Lag[pipeline] = 0
			if l.Records > 0 {
				next[pipeline] = pipe.XRangeN(ctx, lane, from, "+", 1)
			}
		}
		return nil
	}); err != nil {
		return l, err
	}
	if least.At > 0 {
		l.silent = now.Sub(time.UnixMilli(least.At))
	}
	for pipeline, cmd := range next {
		for _, e := range cmd.Val() {
			if ms, _, ok := entryID([]byte(e.ID)); ok {
				l.Lag[pipeline] = max(now.Sub(time.UnixMilli(ms)), time.Millisecond) // IDs may be made up
			}
		}
	}
	return l, nil
}

// samples bounds what an estimate costs: so many of the lane's nodes, of 4 KiB or one record, are looked at.
const samples = 1000

// memoryOf is Redis's estimate of the memory that a key takes, as it answered.
func memoryOf(ctx context.Context, node *redis.Client, key string, answer *redis.IntCmd) (int64, error) {
	n, err := answer.Result()
	if err != nil && strings.Contains(err.Error(), "syntax error") {
		// What stands in for Redis in tests and in the demo looks at everything.
		n, err = node.MemoryUsage(ctx, key).Result()
	}
	switch {
	case errors.Is(err, redis.Nil):
		return 0, nil
	case err != nil && answered(err):
		return 0, fmt.Errorf("%w: Redis must allow MEMORY USAGE", err)
	}
	return n, err
}

// Full is ErrDirectFull, with what to do, if the lane takes as much memory as it may; else nil.
func (l Backlog) Full() error {
	if l.Bytes < l.max {
		return nil
	}
	return fmt.Errorf("%w: %d records take %d MiB of Redis's memory (DIRECT_MAX_BYTES=%dMiB); %s",
		ErrDirectFull, l.Records, l.Bytes>>20, l.max>>20, l.remedy())
}

// CheckDirect looks at the direct lane: ErrDirectFull if it is full, or that it can't be told.
func (b *Buffer) CheckDirect(ctx context.Context) error {
	l, err := b.Backlog(ctx)
	if err != nil {
		return err
	}
	return l.Full()
}

func (l Backlog) remedy() string {
	switch lag := l.Lag[l.first]; {
	case l.first == "":
		return "no pipeline has ever read the stream: start one"
	case lag == 0:
		return "the pipelines that run have processed them: they are kept for one that has a journal and doesn't run; start it, or delete its journal if it is gone for good"
	case l.silent < 30*time.Second && l.silent > 0:
		return fmt.Sprintf("the pipeline %s is %s behind: add workers to it, or look at its sink and handler", l.first, lag.Round(time.Second))
	default:
		return fmt.Sprintf("the pipeline %s is %s behind and does not run: start it, or if it is gone for good delete its journal and HDEL '%s' '%s'",
			l.first, lag.Round(time.Second), l.trimKey, markField(l.first, DirectLane))
	}
}

// Enroll makes it known that the pipeline reads the direct lane, so that nothing is trimmed there before it has processed
// it: from now on, also while it does not run. To be called when it starts, and now and then, for Redis may lose it.
func (b *Buffer) Enroll(ctx context.Context, pipeline string) error {
	err := must(ctx, b.rdb, enrollScript, []string{b.trimKey(Direct)}, markField(pipeline, DirectLane), Mark{}.encode()).Err()
	if err != nil {
		return fmt.Errorf("enroll with the direct lane of the stream %s: %w", b.stream, full(err))
	}
	return nil
}

// budget is what an appending program knows of the direct lane's room. It looks seldom: between looks it counts what it
// appends itself, and may be wrong by what others append in that time.
type budget struct {
	b   *Buffer
	max int64

	one  *semaphore.Weighted // looks at a time; of what follows
	at   time.Time           // of the last look
	held int64
	full error
}

const (
	lookEvery = time.Second
	lookAgain = 100 * time.Millisecond // if there was no room
)

// take asks for room for so many bytes more: ErrDirectFull if there is none. A lane that is not full takes any record.
func (u *budget) take(ctx context.Context, bytes int64) error {
	if err := u.one.Acquire(ctx, 1); err != nil {
		return err
	}
	defer u.one.Release(1)
	age := time.Since(u.at)
	switch {
	case u.full != nil && age < lookAgain:
		return u.full
	case u.full != nil || age >= lookEvery || u.held >= u.max:
		l, err := u.b.Backlog(ctx)
		if err != nil {
			return err
		}
		u.at, u.held, u.full = time.Now(), l.Bytes, l.Full()
	}
	u.held += bytes + entryCost
	return u.full
}
