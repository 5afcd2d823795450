package ops

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the pause between attempts: it doubles from Min to Max, and each pause is drawn from its upper half, so that
// replicas that failed together don't come back together. Not safe for concurrent use.
type Backoff struct {
	Min, Max time.Duration // Min must not be 0

	next time.Duration
}

// Next returns the next pause.
func (b *Backoff) Next() time.Duration {
	b.next = min(max(b.next, b.Min), b.Max)
	pause := b.next/2 + rand.N(b.next/2+1)
	b.next *= 2
	return pause
}

// Reset makes the next pause the shortest: an attempt succeeded.
func (b *Backoff) Reset() { b.next = 0 }

// Wait pauses; the error is ctx's cause, if that is done before.
func (b *Backoff) Wait(ctx context.Context) error {
	t := time.NewTimer(b.Next())
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
