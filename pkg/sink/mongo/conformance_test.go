package mongo_test

import (
	"testing"

	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/mongo"
	"github.com/windrow-io/windrow/pkg/sink/mongo/mongotest"
	"github.com/windrow-io/windrow/pkg/sink/sinktest"
)

// On a server in process, with small documents; e2e does it with real ones on a real server.
func TestConformance(t *testing.T) {
	b := mongotest.Backend(mongo.FakeURL(t))
	open := b.Open
	b.Limit = 64 << 10
	b.Open = func(t *testing.T, output sink.Output) sinktest.Target {
		x := open(t, output)
		x.Sink().(*mongo.Sink).SetLimit(b.Limit)
		return x
	}
	sinktest.Run(t, b)
}

// Documents of keys hold their newest window, whatever was written again, late, or at the same time.
func TestModes(t *testing.T) { mongotest.Modes(t, mongo.FakeURL(t)) }
