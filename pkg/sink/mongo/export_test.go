package mongo

import "testing"

// FakeURL is the URL of a server in process.
func FakeURL(t *testing.T) string { return newFake(t).url() }

// SetLimit makes documents smaller than MongoDB would have them.
func (s *Sink) SetLimit(n int) { s.limit = n }
