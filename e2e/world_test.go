package e2e

import (
	"testing"

	"github.com/windrow-io/windrow/e2e/job"
)

// world is the stream that a test watches.
type world struct{ *job.Job }

func newWorld(t testing.TB, partitions int) *world {
	t.Helper()
	return &world{job.New(t, partitions)}
}
