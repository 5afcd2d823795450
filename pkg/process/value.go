package process

import (
	"context"

	"github.com/windrow-io/windrow/pkg/expression"
	"github.com/windrow-io/windrow/pkg/window"
)

// valueOf is the Handler that makes of each window what an expression says. A window for which it can't be computed is a
// dead letter at once: trying again would change nothing.
func valueOf(x *expression.Result) Handler {
	return func(_ context.Context, w *window.Window) (any, error) {
		result, err := x.Of(&expression.Window{
			ID: w.ID(0), Stream: w.Stream, Pipeline: w.Pipeline, Shard: w.Shard, Emitter: w.Emitter, Reason: string(w.Reason),
			Key: string(w.Key), Seq: int(w.Seq), Start: int(w.Start), End: int(w.End), Count: w.Count(),
			Revision: int(w.Revision), Final: w.Final,
		}, w.Records, w.Aggregate)
		if err != nil {
			return nil, Refuse(err)
		}
		return result, nil
	}
}
