package process

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/journal"
	"github.com/windrow-io/windrow/pkg/shard"
)

// errStream: what is known of the stream does not go together.
var errStream = errors.New("the stream's shards are not those that the pipeline began with")

// spread returns how the records of the stream are spread over its shards, for the owner of one of them; nil: they aren't.
// What Redis says now must be what the pipeline began with: an owner that kept the records of other keys would process
// some twice and some never. Where Redis has lost it, the journal knows.
func (w *Worker) spread(ctx context.Context, name string, s buffer.Settings, known bool) (*shard.Spread, error) {
	if name == buffer.Direct {
		return nil, nil
	}
	began, err := w.began(ctx)
	switch {
	case err != nil:
		return nil, err
	case !known:
		s.Shards, s.ShardKey = began.Shards, began.ShardKey
	case len(began.Offsets) > 0 && (began.Shards != s.Shards || began.ShardKey != s.ShardKey):
		return nil, fmt.Errorf("%w: it began with SHARDS=%d SHARD_KEY=%q, the stream has SHARDS=%d SHARD_KEY=%q now: start ingest with the former, or choose another STREAM",
			errStream, began.Shards, began.ShardKey, s.Shards, s.ShardKey)
	}
	w.hint.Do(func() { w.hintKeys(s) })
	if s.Shards == 0 {
		if _, ok := shard.Number(name); ok {
			return nil, fmt.Errorf("%w: the shard %s is of a stream with SHARDS", errStream, name)
		}
		return nil, nil
	}
	if n, ok := shard.Number(name); !ok || n >= s.Shards {
		return nil, fmt.Errorf("%w: the shard %s is none of SHARDS=%d", errStream, name, s.Shards)
	}
	return shard.New(s.Shards, s.ShardKey)
}

// hintKeys warns if the records of one key may be in several shards: each then has windows of its own for it.
func (w *Worker) hintKeys(s buffer.Settings) {
	key := w.o.Settings.Key
	switch {
	case key == "":
	case s.Shards > 0 && key != s.ShardKey:
		w.log.Warn("the stream is spread by another field than WINDOW_KEY: each shard counts a key for itself, unless the one follows from the other",
			zap.String("WINDOW_KEY", key), zap.String("SHARD_KEY", s.ShardKey))
	case s.Shards == 0 && key != "@key" && key != "@partition":
		w.log.Warn("each partition of the source counts a key for itself: unless the topic is partitioned by WINDOW_KEY, start ingest of a new STREAM with SHARDS and SHARD_KEY",
			zap.String("WINDOW_KEY", key))
	}
}

// began returns how the pipeline began.
func (w *Worker) began(ctx context.Context) (journal.Start, error) {
	p := w.positions
	if err := p.starting.Acquire(ctx, 1); err != nil {
		return journal.Start{}, err
	}
	defer p.starting.Release(1)
	if p.start == nil {
		s, err := w.journal.Start(ctx, w.proposeStart)
		if err != nil {
			return journal.Start{}, fmt.Errorf("read how the pipeline began: %w", err)
		}
		p.start = &s
	}
	return *p.start, nil
}
