package lab

import (
	"testing"
	"time"
)

// pause between two looks at a condition.
const pause = 20 * time.Millisecond

// WaitFor looks again and again whether a condition holds, until it does; it fails the test after patience. What says
// what is waited for.
func WaitFor(t testing.TB, patience time.Duration, what string, holds func() bool) {
	t.Helper()
	if !holdsWithin(patience, holds) {
		t.Fatalf("waited %v in vain for %s", patience, what)
	}
}

func holdsWithin(patience time.Duration, holds func() bool) bool {
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		if holds() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}
