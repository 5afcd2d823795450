package replay

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Scan is scan.
func Scan(ctx context.Context, cluster []kgo.Opt, topic string, visit func(*kgo.Record)) (int, error) {
	n := 0
	err := scan(ctx, cluster, topic, func(r *kgo.Record) error { n++; visit(r); return nil })
	return n, err
}

// WriteOnly writes what PutBack has taken and does not commit it.
func (r *Replayer) WriteOnly(ctx context.Context) error {
	if err := r.client.BeginTransaction(); err != nil {
		return err
	}
	return r.client.ProduceSync(ctx, r.records...).FirstErr()
}
