// Package kafka writes windows to a Kafka topic, in the transaction of the decision that made them.
//
// A window is one record: its key the window's key, its value the envelope, its timestamp the decision's `now`, its
// headers windrow-id, windrow-start and windrow-end (event time, Unix milliseconds in decimal). Templates may make other
// keys, and further headers. What has a key goes where Kafka's Java client would put it. What a shard writes without
// keys goes to one partition, in its order.
//
// Dead letters are records of a topic of their own, in the same transaction.
package kafka

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/internal/envelope"
	"github.com/windrow-io/windrow/pkg/sink/internal/meter"
	"github.com/windrow-io/windrow/pkg/template"
)

const (
	refreshEvery = time.Minute
	askTimeout   = 20 * time.Second

	// The topic of dead letters is made while a shard waits.
	deadTimeout = 10 * time.Second
	deadPause   = 10 * time.Second
)

// Options of a Kafka sink.
type Options struct {
	Topic     string
	DeadTopic string      // for dead letters; empty: Topic + ".dead". Made with the first dead letter if it is missing
	Output    sink.Output // empty: OutputWindow

	// Key makes the keys of windows, and Headers are headers besides windrow's own; not with OutputRecords. A window
	// without a key for which Key makes nothing has none. nil: the window's key.
	Key     *template.Template
	Headers []template.Named

	Logger *zap.Logger // nil: none
}

// Sink is a Kafka topic. Safe for concurrent use.
type Sink struct {
	o         Options
	log       *zap.Logger
	meter     *meter.Meter
	out, dead *topic

	ctx     context.Context // ends with Close
	close   context.CancelFunc
	refresh sync.Once

	notBefore atomic.Int64 // Unix milliseconds: the topic of dead letters could not be made, not to be tried again before
	done      sync.WaitGroup
}

var _ sink.Sink = (*Sink)(nil)

// New makes a Sink; it does not connect. The cluster must be the journal's, and outlive the Sink.
func New(cluster *wire.Cluster, o Options) *Sink {
	if o.DeadTopic == "" {
		o.DeadTopic = o.Topic + ".dead"
	}
	if o.Output == "" {
		o.Output = sink.OutputWindow
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	s := &Sink{o: o, log: o.Logger, meter: meter.New("kafka"),
		out:  &topic{cluster: cluster, name: o.Topic, log: o.Logger, one: semaphore.NewWeighted(1)},
		dead: &topic{cluster: cluster, name: o.DeadTopic, log: o.Logger, one: semaphore.NewWeighted(1)},
	}
	s.ctx, s.close = context.WithCancel(context.Background())
	return s
}

// Transactional is true: groups are written by their Batches.
func (s *Sink) Transactional() bool { return true }

// Check learns the partitions and limits of the topics, and makes the output topic if it is missing. From the first
// success on they are learned again every minute; to have a change seen at once (a batch was refused as too large), Check
// again. Groups must not be filled before Check has succeeded once.
func (s *Sink) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := s.out.learn(ctx, true); err != nil {
		return fmt.Errorf("kafka sink: %w", err)
	}
	if err := s.dead.learn(ctx, false); err != nil {
		return fmt.Errorf("kafka sink: dead letters: %w", err)
	}
	s.refresh.Do(func() { s.done.Go(s.keepLearning) })
	return nil
}

// keepLearning follows changes of the topics. What can't be asked stays as it was.
func (s *Sink) keepLearning() {
	t := time.NewTicker(refreshEvery)
	defer t.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-t.C:
		}
		for _, t := range []*topic{s.out, s.dead} {
			ctx, cancel := context.WithTimeout(s.ctx, askTimeout)
			err := t.learn(ctx, false)
			cancel()
			if err != nil && s.ctx.Err() == nil {
				s.meter.Failures.Inc()
				s.log.Warn("could not ask for the output topic's partitions and limits", zap.String("topic", t.name), zap.Error(err))
			}
		}
	}
}

// needDead makes the topic of dead letters if that has not been seen yet. It waits for the cluster, once in a
// pipeline's life. If it fails, the transaction with the dead letter will too, and be tried again.
func (s *Sink) needDead() {
	if s.dead.now.Load() != nil || time.Now().UnixMilli() < s.notBefore.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, deadTimeout)
	defer cancel()
	if err := s.dead.learn(ctx, true); err != nil {
		s.notBefore.Store(time.Now().Add(deadPause).UnixMilli())
		s.meter.Failures.Inc()
		s.log.Error("the topic of dead letters can't be made ready", zap.Error(err))
	}
}

// Group returns an empty group for a shard's windows.
func (s *Sink) Group(stream, pipeline, shard string) sink.Group {
	return &group{
		sink: s, names: envelope.Names{Stream: stream, Pipeline: pipeline, Shard: shard},
		out: batches{topic: s.out.name}, dead: batches{topic: s.dead.name},
		home: home(shard),
	}
}

// Close ends the Sink's own questions to the cluster.
func (s *Sink) Close(context.Context) error {
	s.close()
	s.done.Wait()
	return nil
}
