package buffer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/windrow-io/windrow/internal/fault"
)

// TakeLease takes the right to work on a shard if it is free or already holder's. It is for liveness only: two holders at
// once do no harm. It passes also when Redis is full.
func (b *Buffer) TakeLease(ctx context.Context, pipeline, shard, holder string, ttl time.Duration) (bool, error) {
	fault.Point("lease.take.before")
	n, err := must(ctx, b.rdb, takeScript, []string{b.leaseKey(pipeline, shard)}, holder, ttl.Milliseconds()).Int()
	fault.Point("lease.take.after")
	if err != nil {
		return false, fmt.Errorf("take the lease of shard %s: %w", shard, err)
	}
	if n == 1 {
		leasesTaken.Inc()
	}
	return n == 1, nil
}

// RenewLeases prolongs the leases that are still holder's and says which of the shards those are. With an error it says
// what it knows.
func (b *Buffer) RenewLeases(ctx context.Context, pipeline string, shards []string, holder string, ttl time.Duration) (map[string]bool, error) {
	held := make(map[string]bool, len(shards))
	if len(shards) == 0 {
		return held, nil
	}
	fault.Point("lease.renew.before")
	defer fault.Point("lease.renew.after")
	cmds, _ := b.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its own error
		for _, s := range shards {
			p.Eval(ctx, renewScript, []string{b.leaseKey(pipeline, s)}, holder, ttl.Milliseconds())
		}
		return nil
	})
	var failed error
	for i, c := range cmds {
		n, err := c.(*redis.Cmd).Int()
		switch {
		case err != nil:
			failed = fmt.Errorf("renew the lease of shard %s: %w", shards[i], err)
		case n == 1:
			held[shards[i]] = true
		default:
			leasesLost.Inc()
		}
	}
	return held, failed
}

// ReleaseLease gives a lease back if it is holder's.
func (b *Buffer) ReleaseLease(ctx context.Context, pipeline, shard, holder string) error {
	fault.Point("lease.release.before")
	defer fault.Point("lease.release.after")
	n, err := b.rdb.Eval(ctx, releaseScript, []string{b.leaseKey(pipeline, shard)}, holder).Int()
	if err != nil {
		return fmt.Errorf("release the lease of shard %s: %w", shard, err)
	}
	leasesReleased.Add(float64(n))
	return nil
}

// Leases returns who holds each of the shards; a free one is absent.
func (b *Buffer) Leases(ctx context.Context, pipeline string, shards []string) (map[string]string, error) {
	m := make(map[string]string, len(shards))
	if len(shards) == 0 {
		return m, nil
	}
	cmds, _ := b.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its own error
		for _, s := range shards {
			p.Get(ctx, b.leaseKey(pipeline, s))
		}
		return nil
	})
	for i, c := range cmds {
		holder, err := c.(*redis.StringCmd).Result()
		if err == redis.Nil {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("leases of pipeline %s: %w", pipeline, err)
		}
		m[shards[i]] = holder
	}
	return m, nil
}

// Round is what a worker does again and again: it writes its heartbeat by Redis's clock, forgets workers silent for longer
// than ttl, and returns those that live, sorted, with the registered shards as Shards returns them. It passes also when
// Redis is full.
func (b *Buffer) Round(ctx context.Context, pipeline, worker string, ttl time.Duration) (live []string, shards map[string][]string, err error) {
	fault.Point("heartbeat.before")
	keys, args := []string{b.workersKey(pipeline)}, []any{worker, ttl.Milliseconds()}
	var beat *redis.Cmd
	var registry registry
	_, _ = b.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its own error
		beat = p.Eval(ctx, beatScript, keys, args...)
		registry = b.askRegistry(ctx, p)
		return nil
	})
	if fullMemory(beat.Err()) {
		beat = must(ctx, b.rdb, beatScript, keys, args...)
	}
	fault.Point("heartbeat.after")
	if live, err = beat.StringSlice(); err != nil {
		return nil, nil, fmt.Errorf("heartbeat of worker %s: %w", worker, err)
	}
	slices.Sort(live)
	shards, err = registry.shards()
	return live, shards, err
}

// Leave removes the worker's heartbeat, and its consumers where they hold nothing pending.
func (b *Buffer) Leave(ctx context.Context, pipeline, worker string) error {
	fault.Point("leave.before")
	defer fault.Point("leave.after")
	if err := b.rdb.ZRem(ctx, b.workersKey(pipeline), worker).Err(); err != nil {
		return fmt.Errorf("worker %s leaves: %w", worker, err)
	}
	shards, err := b.Shards(ctx)
	if err != nil {
		return err
	}
	cmds, _ := b.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its own error
		for _, shard := range slices.Sorted(maps.Keys(shards)) {
			for _, l := range shards[shard] {
				p.Eval(ctx, forgetScript, []string{b.laneKey(shard, l)}, pipeline, worker)
			}
		}
		return nil
	})
	for _, c := range cmds {
		if c.Err() != nil {
			return fmt.Errorf("worker %s leaves: %w", worker, c.Err())
		}
	}
	return nil
}
