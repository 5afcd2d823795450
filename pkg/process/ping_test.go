package process

import (
	"testing"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/internal/kafkatest"
	"github.com/windrow-io/windrow/internal/ops"
	"github.com/windrow-io/windrow/internal/wire"
)

// A worker that has nothing to do says that Kafka is away.
func TestIdleWorkerMissesKafka(t *testing.T) {
	r := newRig(t, 1)
	k := kafkatest.Start(t, 1)
	c := wire.New(wire.Config{Brokers: k.ListenAddrs(), ClientID: "output"})
	t.Cleanup(c.Close)
	conditions := ops.NewConditions(zap.NewNop())
	is := func(ok bool) func() bool {
		return func() bool {
			for _, x := range conditions.List() {
				if x.Name == "kafka" {
					return x.OK == ok
				}
			}
			return false
		}
	}
	a := r.worker("a", count100, func(o *Options) { o.Conditions, o.Output = conditions, c })
	await.True(t, "kafka is there", is(true))
	k.Close()
	await.True(t, "kafka is missed", is(false))
	a.kill()
}
