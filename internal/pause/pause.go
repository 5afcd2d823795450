// Package pause waits between attempts.
package pause

import (
	"context"
	"math/rand/v2"
	"time"
)

// Jitter draws a duration from [0, n). It is a variable for simulations, which leave nothing to chance.
var Jitter = rand.N[time.Duration]

// Backoff is the pause after failed attempts: it doubles with each from Min to Max, and is drawn from its upper half, so
// that replicas that failed together don't come back together. Not safe for concurrent use.
type Backoff struct {
	Min, Max time.Duration // 0 < Min <= Max
	Fails    int           // attempts that failed in a row
}

// Next counts a failure and returns how long to wait for the next attempt.
func (b *Backoff) Next() time.Duration {
	d := b.Max
	if b.Fails < 32 { // beyond it Min doubled so often may not be a time.Duration any more
		if doubled := b.Min << b.Fails; doubled>>b.Fails == b.Min {
			d = min(doubled, b.Max)
		}
	}
	b.Fails++
	return d/2 + Jitter(d/2+1)
}

// Reset says that an attempt succeeded: the next pause is the shortest.
func (b *Backoff) Reset() { b.Fails = 0 }

// Wait counts a failure, waits, and reports whether ctx is still alive.
func (b *Backoff) Wait(ctx context.Context) bool { return For(ctx, b.Next()) }

// For waits for d and reports whether ctx is still alive.
func For(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}
