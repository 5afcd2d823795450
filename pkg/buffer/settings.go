package buffer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/windrow-io/windrow/internal/fault"
)

// Settings belong to the stream, not to a pipeline.
type Settings struct {
	Shards   int    // SHARDS; 0: one shard per source partition
	ShardKey string // SHARD_KEY
	Start    string // KAFKA_START, for pipelines that begin
	Group    string // the Kafka group of ingest
	// Isolation is KAFKA_ISOLATION: what is read again from the source must be what ingest read.
	Isolation string
}

// Claim writes the stream's settings if it has none, and returns those it has. ErrSettings if Shards or ShardKey differ.
// The others are replaced.
func (b *Buffer) Claim(ctx context.Context, s Settings) (Settings, error) {
	fault.Point("claim.before")
	v, err := b.rdb.Eval(ctx, claimScript, []string{b.settingsKey()}, s.Shards, s.ShardKey, s.Start, s.Group, s.Isolation).StringSlice()
	fault.Point("claim.after")
	if err != nil {
		return Settings{}, fmt.Errorf("claim the stream %s: %w", b.stream, full(err))
	}
	have, err := b.settings(v)
	if err != nil {
		return Settings{}, err
	}
	if have.Shards != s.Shards || have.ShardKey != s.ShardKey {
		return have, fmt.Errorf("%w: %s has SHARDS=%d SHARD_KEY=%q, this start has SHARDS=%d SHARD_KEY=%q: use those it has, or another STREAM",
			ErrSettings, b.stream, have.Shards, have.ShardKey, s.Shards, s.ShardKey)
	}
	return have, nil
}

// Settings returns the stream's settings; ok is false if nobody has claimed the stream.
func (b *Buffer) Settings(ctx context.Context) (s Settings, ok bool, err error) {
	v, err := b.rdb.HMGet(ctx, b.settingsKey(), "shards", "shard_key", "start", "group", "isolation").Result()
	if err != nil {
		return Settings{}, false, fmt.Errorf("settings of the stream %s: %w", b.stream, err)
	}
	if v[0] == nil {
		return Settings{}, false, nil
	}
	f := make([]string, len(v))
	for i := range v {
		f[i], _ = v[i].(string)
	}
	s, err = b.settings(f)
	return s, err == nil, err
}

func (b *Buffer) settings(f []string) (Settings, error) {
	n, err := 0, errors.New("too few fields")
	if len(f) == 5 {
		n, err = strconv.Atoi(f[0])
	}
	if err != nil {
		return Settings{}, fmt.Errorf("the key %s is not what Windrow wrote: %w", b.settingsKey(), err)
	}
	return Settings{Shards: n, ShardKey: f[1], Start: f[2], Group: f[3], Isolation: f[4]}, nil
}

// Direct is the shard, DirectLane the lane, of records that programs append themselves.
const (
	Direct     = "direct"
	DirectLane = "direct/0"
)

// Register makes a shard and its lanes known. Lanes are added, in order, never removed; it is safe to repeat, and to be
// repeated when a tail is found gone: then Redis may have lost the registry as well.
func (b *Buffer) Register(ctx context.Context, shard string, lanes ...string) error {
	args := []any{shard}
	for _, l := range lanes {
		args = append(args, l)
	}
	fault.Point("register.before")
	defer fault.Point("register.after")
	if err := b.rdb.Eval(ctx, registerScript, []string{b.shardsKey()}, args...).Err(); err != nil {
		return fmt.Errorf("register shard %s: %w", shard, full(err))
	}
	return nil
}

// Shards returns the registered shards and their lanes in the order they were registered, the direct one among them as
// soon as its lane exists.
func (b *Buffer) Shards(ctx context.Context) (map[string][]string, error) {
	var registry registry
	_, _ = b.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its own error
		registry = b.askRegistry(ctx, p)
		return nil
	})
	return registry.shards()
}

// registry is a question for the registered shards, that is answered once its pipeline was sent.
type registry struct {
	stream string
	all    *redis.MapStringStringCmd
	direct *redis.IntCmd
}

func (b *Buffer) askRegistry(ctx context.Context, p redis.Pipeliner) registry {
	return registry{b.stream, p.HGetAll(ctx, b.shardsKey()), p.Exists(ctx, b.laneKey(Direct, DirectLane))}
}

func (r registry) shards() (map[string][]string, error) {
	if err := errors.Join(r.all.Err(), r.direct.Err()); err != nil {
		return nil, fmt.Errorf("shards of the stream %s: %w", r.stream, err)
	}
	m := make(map[string][]string, len(r.all.Val())+1)
	for shard, lanes := range r.all.Val() {
		m[shard] = strings.Fields(lanes)
	}
	if r.direct.Val() > 0 && !slices.Contains(m[Direct], DirectLane) {
		m[Direct] = append(m[Direct], DirectLane)
	}
	return m, nil
}
