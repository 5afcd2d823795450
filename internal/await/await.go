// Package await lets tests wait for what comes about by itself.
package await

import (
	"testing"
	"time"
)

// Patience is how long a test waits for something that takes moments, on a machine however busy.
const Patience = 60 * time.Second

const pause = 3 * time.Millisecond // between two looks

// True looks until holds does, and fails the test after Patience. What says what is waited for.
func True(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !holds(); time.Sleep(pause) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}

// Clock waits until timestamps, which count milliseconds, are later than those made before the call, and returns a
// time between the two.
func Clock(t testing.TB) time.Time {
	t.Helper()
	later := func(than time.Time) {
		True(t, "the clock goes on", func() bool { return time.Now().UnixMilli() > than.UnixMilli() })
	}
	later(time.Now())
	between := time.Now()
	later(between)
	return between
}
