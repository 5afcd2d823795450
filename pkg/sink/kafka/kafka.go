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
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/internal/envelope"
	"github.com/windrow-io/windrow/pkg/sink/internal/meter"
	"github.com/windrow-io/windrow/pkg/template"
	"github.com/windrow-io/windrow/pkg/window"
)

const (
	refreshEvery = time.Minute
	askTimeout   = 20 * time.Second

	// Topics of dead letters, and those that a template makes, are made while a shard waits.
	makeTimeout = 10 * time.Second
	makePause   = 10 * time.Second

	// maxTopics bounds what a mistaken template does to the cluster.
	maxTopics = 1000
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

	// Name makes the topic of a window; where it makes nothing, and if it is nil, that is Topic. Topics that are missing
	// are made, at most 1,000. Reserved are those that no window may go to, besides that of dead letters and the one that
	// the window's records are from.
	Name     *template.Template
	Reserved []string

	Logger *zap.Logger // nil: none
}

// Sink is a Kafka topic. Safe for concurrent use.
type Sink struct {
	o         Options
	log       *zap.Logger
	meter     *meter.Meter
	cluster   *wire.Cluster
	out, dead *topic

	maxTopics int
	mu        sync.Mutex
	others    map[string]*topic // that Options.Name made

	ctx     context.Context // ends with Close
	close   context.CancelFunc
	refresh sync.Once

	done sync.WaitGroup
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
	s := &Sink{o: o, log: o.Logger, meter: meter.New("kafka"), cluster: cluster, others: map[string]*topic{}, maxTopics: maxTopics}
	s.out, s.dead = s.topic(o.Topic), s.topic(o.DeadTopic)
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
	for _, t := range s.topics() {
		if t == s.out {
			continue
		}
		if err := t.learn(ctx, false); err != nil {
			return fmt.Errorf("kafka sink: %w", err)
		}
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
		for _, t := range s.topics() {
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

// ready makes a topic that is written to for the first time, if it is missing. It waits for the cluster, once in a
// pipeline's life. If it fails, the transaction with what goes there will too, and be tried again.
func (s *Sink) ready(t *topic) {
	if t.now.Load() != nil || time.Now().UnixMilli() < t.notBefore.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, makeTimeout)
	defer cancel()
	if err := t.learn(ctx, true); err != nil {
		t.notBefore.Store(time.Now().Add(makePause).UnixMilli())
		s.meter.Failures.Inc()
		s.log.Error("the topic can't be made ready", zap.String("topic", t.name), zap.Error(err))
	}
}

// need returns the topic that a template made for w. An error says what is wrong with the name.
func (s *Sink) need(name string, w *window.Window) (*topic, error) {
	s.mu.Lock()
	t := s.others[name]
	s.mu.Unlock()
	if t != nil {
		return t, nil
	}
	if err := wire.CheckTopic(name); err != nil {
		return nil, fmt.Errorf("%.300s %w", name, err)
	}
	if from, _, _ := strings.Cut(w.Shard, "/"); name == from || name == s.dead.name || slices.Contains(s.o.Reserved, name) {
		return nil, fmt.Errorf("topic %s is read by the pipeline, or is its journal, or has its dead letters", name)
	}
	return s.add(name)
}

func (s *Sink) add(name string) (*topic, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.others[name]; t != nil {
		return t, nil
	}
	if len(s.others) >= s.maxTopics {
		return nil, fmt.Errorf("topic %s would be one more than the %d that a worker writes to: have OUTPUT_TOPIC make fewer", name, s.maxTopics)
	}
	t := s.topic(name)
	s.others[name] = t
	s.meter.Topics.Set(float64(len(s.others)))
	return t, nil
}

func (s *Sink) topic(name string) *topic {
	return &topic{cluster: s.cluster, name: name, log: s.log, one: semaphore.NewWeighted(1)}
}

// topics are those that the sink writes to, or may.
func (s *Sink) topics() []*topic {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(slices.Collect(maps.Values(s.others)), s.out, s.dead)
}

// Group returns an empty group for a shard's windows.
func (s *Sink) Group(stream, pipeline, shard string) sink.Group {
	return &group{
		sink: s, names: envelope.Names{Stream: stream, Pipeline: pipeline, Shard: shard},
		main: batches{topic: s.out.name}, others: map[string]*other{}, dead: batches{topic: s.dead.name},
		home: home(shard),
	}
}

// Close ends the Sink's own questions to the cluster.
func (s *Sink) Close(context.Context) error {
	s.close()
	s.done.Wait()
	return nil
}
