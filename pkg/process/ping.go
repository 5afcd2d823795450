package process

import (
	"context"
	"fmt"
	"time"

	"github.com/windrow-io/windrow/internal/pause"
)

const (
	pingEvery   = time.Second
	pingTimeout = time.Second
)

// ping asks Kafka every second whether it is there: a worker with nothing to write would notice only with its next
// publication. One question that fails says little, a broker among others may have gone; two in a row are told.
func (w *Worker) ping(ctx context.Context) {
	for fails := 0; pause.For(ctx, pingEvery); {
		attempt, cancel := context.WithTimeout(ctx, pingTimeout)
		err := w.o.Output.Ping(attempt)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			fails = 0
			w.o.Conditions.Set("kafka", nil)
		default:
			if fails++; fails > 1 {
				w.o.Conditions.Set("kafka", fmt.Errorf("no broker answers: check KAFKA_OUTPUT_BROKERS, or KAFKA_BROKERS: %w", err))
			}
		}
	}
}
