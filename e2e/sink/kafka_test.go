package sink

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/windrow-io/windrow/e2e/lab"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/kafka/kafkatest"
	"github.com/windrow-io/windrow/pkg/sink/sinktest"
)

func TestKafka(t *testing.T) {
	k := lab.Kafka(t)
	var topics atomic.Int64
	sinktest.Run(t, kafkatest.Backend(func(t *testing.T, output sink.Output) *kafkatest.Target {
		return kafkatest.Open(t, []string{k.Addr}, fmt.Sprintf("out-%d", topics.Add(1)), output)
	}))
}
