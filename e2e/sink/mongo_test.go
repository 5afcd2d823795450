// Package sink lets the sinks go through their conformance suite on real servers.
package sink

import (
	"testing"

	"github.com/windrow-io/windrow/e2e/lab"
	"github.com/windrow-io/windrow/pkg/sink/mongo/mongotest"
	"github.com/windrow-io/windrow/pkg/sink/sinktest"
)

// Documents have MongoDB's own limit here.
func TestMongo(t *testing.T) { sinktest.Run(t, mongotest.Backend(lab.Mongo(t).URL)) }

func TestMongoModes(t *testing.T) { mongotest.Modes(t, lab.Mongo(t).URL) }
