// Package fuzztest is what fuzz tests of decoders share.
package fuzztest

import (
	"runtime/metrics"
	"testing"
)

// Bounded runs a decoder and fails the test if it took more memory than bytes: a length that is read must not decide
// alone what is allocated. What other goroutines of the test take meanwhile counts as well.
func Bounded(t *testing.T, bytes int, decode func()) {
	t.Helper()
	before := allocated()
	decode()
	if took := allocated() - before; took > uint64(bytes) {
		t.Errorf("took %d bytes of memory, at most %d are due to an input of this size", took, bytes)
	}
}

func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
