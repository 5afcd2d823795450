package ingest

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/pkg/buffer"
)

var errFull = errors.New("the lane is full")

const (
	pauseLeast  = 5 * time.Millisecond   // between looks whether there is room again, at first
	pauseAtMost = 500 * time.Millisecond // and after a while
	fullLong    = time.Second            // a lane that is full longer than this shows as back-pressure …
	fullGone    = 3 * time.Second        // … until it has not been so for this long
	resumeRoom  = 1 << 20                // room to wait for, in bytes; a quarter of a small lane
)

// room is how many bytes the next fetch may bring at most.
func (l *lane) room() int {
	if !l.oomSince.IsZero() {
		return 1 // one batch, to see whether Redis takes it
	}
	return int(min(max(l.in.o.MaxBytes-l.fullest().held, 1), math.MaxInt32))
}

// wait stops the partition's fetch until the lane has room, or for a while if Redis itself is full. Nothing is dropped: what
// was fetched and not appended is fetched again.
func (l *lane) wait(why error) error {
	l.feed.Pause()
	pausedLanes.Inc()
	defer pausedLanes.Dec()
	l.setFull(true)
	defer l.setFull(false)
	began := time.Now()
	oom := errors.Is(why, buffer.ErrFull)
	if oom {
		if l.oomSince.IsZero() {
			l.oomSince = began
		}
		began = l.oomSince
	}
	enough := l.in.o.MaxBytes - min(l.in.o.MaxBytes/4, resumeRoom)
	for {
		long := time.Since(began)
		if long >= fullLong {
			l.fullAt = time.Now()
			if !oom {
				why = l.tooFull()
			}
			l.in.waiting.set(conditionPressure, l.tp.String(), why)
		}
		// In proportion to the time it has lasted: a short stop ends quickly, a long one costs little.
		if !pause.For(l.ctx, min(max(long/20, pauseLeast), pauseAtMost)) {
			return l.ctx.Err()
		}
		if err := l.look(); err != nil {
			return err
		}
		if oom || l.fullest().held <= enough {
			l.feed.SeekTo(l.next, l.room())
			return nil
		}
	}
}

// tooFull says which lane is full, and what waits for it.
func (l *lane) tooFull() error {
	b := l.fullest()
	if l.spread == nil {
		return fmt.Errorf("lane %s holds %d MiB (BUFFER_MAX_BYTES): its pipelines don't keep up, or don't run", l.name, b.held>>20)
	}
	return fmt.Errorf("lane %s of shard %s holds %d MiB (BUFFER_MAX_BYTES) and holds up the partition for all shards: the pipelines don't keep up with this shard, or don't run", l.name, b.shard, b.held>>20)
}

// relax takes the back-pressure condition back once the lane has not been full for a while.
func (l *lane) relax(now time.Time) {
	if !l.fullAt.IsZero() && now.Sub(l.fullAt) > fullGone {
		l.fullAt = time.Time{}
		l.in.waiting.set(conditionPressure, l.tp.String(), nil)
	}
}

func (l *lane) setFull(full bool) {
	l.mu.Lock()
	l.at.full = full
	l.mu.Unlock()
}
