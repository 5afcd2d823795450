package process

import (
	"testing"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/pkg/window"
)

// After an unclean election a lane's next epoch begins where the source had ended. Whoever sees it first, with or without
// Redis's memory, goes on there.
func TestAnEpochBeginsWhereTheSourceWasCutOff(t *testing.T) {
	for name, flush := range map[string]bool{"seen in Redis": false, "Redis lost it": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 1)
			stop := r.ingestShards(0, "")
			s := window.Settings{Emitter: "count", Size: 10}
			a := r.worker("a", s, nil)
			r.produce(1, 0, 100)
			r.consume("out", holds(100))
			a.stop()
			stop()
			r.redis.HSet("windrow:{s/in/0}:lane:in/0:tail", "next", "130") // as if it had had 30 more
			stop = r.ingestShards(0, "")
			await.True(t, "the lane has a new epoch", func() bool { return r.redis.Exists("windrow:{s/in/0}:lane:in/0@1:tail") || r.registered("in/0@1") })
			r.produce(1, 100, 150)
			if flush {
				stop()
				r.redis.FlushAll()
				r.ingestShards(0, "")
				await.True(t, "the lane is there again", func() bool { return r.registered("in/0@1") })
			}
			b := r.worker("b", s, nil)
			ws := r.consume("out", holds(150))
			b.stop()
			exact(t, ws, 1, 150)
		})
	}
}

func (r *rig) registered(lane string) bool {
	b := r.buffer()
	defer b.Close()
	shards, err := b.Shards(r.t.Context())
	if err != nil {
		return false
	}
	for _, lanes := range shards {
		for _, l := range lanes {
			if l == lane {
				return true
			}
		}
	}
	return false
}
