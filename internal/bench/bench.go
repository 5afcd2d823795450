// Package bench measures Windrow next to a bare loop over the same Kafka, in the same run: records per second, processor
// time, memory, allocations, latency. It is what `windrow bench` runs.
//
// A job says what windows are made of; the sides that do it are ingest and workers with their Redis, and plain franz-go
// loops that do the same with no state, recovery or buffer, at least once or in transactions. Every side is a process of its
// own, or several, whose use of the machine is read from outside; they take turns, round by round, so that whatever else
// goes on hits all alike. Machines differ and are busy: the ratios are what counts.
//
// Each output is read back and checked, record by record. A round whose output is wrong has no figures.
package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/ops"
	"github.com/windrow-io/windrow/pkg/buffer"
)

// bench is a run.
type bench struct {
	Options
	kafka *cluster
	mongo *mongo.Database // nil: there is none
	id    string          // what all topics, groups and streams of the run begin with
}

// Run runs the jobs. Topics, groups and keys in Redis that it makes have names that begin with windrow-bench- and a random
// part, and are deleted at its end, also after an error. each is called with every series when it is complete.
func Run(ctx context.Context, o Options, each func(*Series)) (_ *Report, err error) {
	if _, err := cpuTime(os.Getpid()); err != nil {
		return nil, err
	}
	b := &bench{Options: o, id: "windrow-bench-" + strings.ToLower(rand.Text()[:6])}
	if b.kafka, err = openCluster(ctx, o.Kafka); err != nil {
		return nil, err
	}
	defer b.kafka.close()
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if cerr := b.kafka.forget(clean, b.id); cerr != nil {
			err = errors.Join(err, fmt.Errorf("topics and groups that begin with %s are left in Kafka: %w", b.id, cerr))
		}
	}()
	report := &Report{Version: ops.Build(), Time: time.Now().UTC(), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), CPUs: runtime.NumCPU()}
	if err := b.kafka.warm(ctx, b.id+".warm"); err != nil {
		return nil, err
	}
	buffer.ClientLog(zap.NewNop()) // it tells of every look whether a Redis is there already
	r, err := openRedis(ctx, o.RedisURL)
	if err != nil {
		return nil, err
	}
	report.Redis, err = r.version(ctx)
	r.close()
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	if slices.Contains(o.Sinks, sinkMongo) {
		client, err := openMongo(ctx, o.MongoURL)
		if err != nil {
			return nil, err
		}
		defer client.Disconnect(context.WithoutCancel(ctx))
		b.mongo = client.Database(o.Database)
	}
	values := o.Vary.Values
	if o.Vary.Size == "" {
		values = []int{0}
	}
	for _, name := range o.Jobs {
		j := jobs[slices.Index(JobNames(), name)]
		for _, compression := range o.Compressions {
			for _, sink := range o.Sinks {
				if j.live && sink != sinkKafka {
					continue
				}
				for _, value := range values {
					s := &Series{Job: name, Compression: compression, Sink: sink, Vary: o.Vary.Size, Params: j.sized(o, value), shape: j.shape, special: j.special}
					if err := j.run(b, ctx, s); err != nil {
						return nil, fmt.Errorf("%s: %w", s.name(), err)
					}
					s.setRatios()
					report.Series = append(report.Series, s)
					each(s)
				}
			}
		}
	}
	return report, nil
}

// side is how one side does a round.
type side struct {
	name string
	do   func(ctx context.Context, round string) (*Round, error)
}

// rounds has the sides do their rounds in turn, another one first each time.
func (b *bench) rounds(ctx context.Context, s *Series, sides ...side) error {
	for _, x := range sides {
		s.Sides = append(s.Sides, &Side{Name: x.name})
	}
	for i := range b.Rounds {
		for k := range sides {
			k = (k + i) % len(sides)
			begin := time.Now()
			r, err := sides[k].do(ctx, fmt.Sprintf("%s.%s.%s.%s.%d-%d", b.id, s.Job, s.Compression, s.Sink, i+1, k))
			if err != nil {
				return fmt.Errorf("round %d of %s: %w", i+1, sides[k].name, err)
			}
			s.Sides[k].Rounds = append(s.Sides[k].Rounds, r)
			b.Progress("%s, round %d of %d: %s: %s (%v)", s.name(), i+1, b.Rounds, sides[k].name, r, time.Since(begin).Round(100*time.Millisecond))
		}
	}
	return nil
}

// String is the round in short.
func (r *Round) String() string {
	switch {
	case r.Latency != nil:
		return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, %.1f %% of a core", r.Latency.P50, r.Latency.P99, r.Core)
	case r.Rate == 0:
		return fmt.Sprintf("%.2f %% of a core", r.Core)
	}
	return fmt.Sprintf("%.0f records/s, %.3f CPU-seconds per million", r.Rate, r.CPU)
}
