package buffer

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// tidyEvery is how often consumers that are gone are looked for.
const tidyEvery = 10 * time.Minute

// tidied remembers when that was, per pipeline and shard.
type tidied struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (t *tidied) due(key string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.at[key]) < tidyEvery {
		return false
	}
	if t.at == nil {
		t.at = map[string]time.Time{}
	}
	t.at[key] = now
	return true
}

// tidy deletes the consumers of workers that are gone, where they hold nothing pending: each worker has a name of its
// own, and a lane would collect them for ever.
func (p *publication) tidy(ctx context.Context) error {
	b := p.b
	if !b.tidied.due(p.pipeline+" "+p.shard, time.Now()) {
		return nil
	}
	live, err := b.rdb.ZRange(ctx, b.workersKey(p.pipeline), 0, -1).Result()
	if err != nil || len(live) == 0 { // without heartbeats nobody is known to be gone
		return err
	}
	for _, m := range p.marks {
		key := b.laneKey(p.shard, m.Lane)
		cs, err := p.node.XInfoConsumers(ctx, key, p.pipeline).Result()
		if err != nil {
			if strings.HasPrefix(err.Error(), "NOGROUP") || strings.HasPrefix(err.Error(), "ERR no such key") {
				continue
			}
			return err
		}
		for _, c := range cs {
			if c.Pending == 0 && !slices.Contains(live, c.Name) {
				if err := p.node.Eval(ctx, forgetScript, []string{key}, p.pipeline, c.Name).Err(); err != nil {
					return err
				}
				b.log.Debug("the consumer of a worker that is gone is deleted", zap.String("lane", key), zap.String("worker", c.Name))
			}
		}
	}
	return nil
}
