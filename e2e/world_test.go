package e2e

import (
	"testing"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// world is the stream that a test watches.
type world struct{ *job.Job }

func newWorld(t testing.TB, partitions int) *world {
	t.Helper()
	return &world{job.New(t, partitions)}
}

// privateWorld is the main job on a Kafka of its own.
func privateWorld(t *testing.T, redis *lab.RedisServer, options ...lab.KafkaOption) *world {
	t.Helper()
	w := &world{job.On(t, lab.Kafka(t, append(options, lab.WithoutAutoCreate())...), redis)}
	w.CreateTopics(mainPartitions)
	return w
}
