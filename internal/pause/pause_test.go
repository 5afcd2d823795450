package pause

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	b := Backoff{Min: 100 * time.Millisecond, Max: time.Second}
	for round := range 2 {
		for i, want := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
			want *= time.Millisecond
			if got := b.Next(); got < want/2 || got > want {
				t.Errorf("round %d: pause %d is %v, want %v to %v", round, i, got, want/2, want)
			}
			if b.Fails != i+1 {
				t.Errorf("round %d: %d failures, want %d", round, b.Fails, i+1)
			}
		}
		b.Reset()
	}
}

// However often it fails, and however long the pauses are, none is over Max.
func TestBackoffStaysInBounds(t *testing.T) {
	for _, least := range []time.Duration{1, time.Millisecond, 100 * 365 * 24 * time.Hour} {
		b := Backoff{Min: least, Max: max(least, time.Hour)}
		for range 200 {
			if got := b.Next(); got < b.Min/2 || got > b.Max {
				t.Fatalf("from %v: after %d failures the pause is %v", least, b.Fails, got)
			}
		}
	}
}

func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b := Backoff{Min: time.Hour, Max: time.Hour}
		if !b.Wait(t.Context()) || time.Since(began) < time.Hour/2 {
			t.Errorf("waited %v", time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if b.Wait(ctx) || For(ctx, 0) {
			t.Error("ctx is said to be alive")
		}
	})
}
