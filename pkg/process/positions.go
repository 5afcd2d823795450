package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/windrow-io/windrow/internal/fault"
	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/journal"
	"github.com/windrow-io/windrow/pkg/shard"
	"github.com/windrow-io/windrow/pkg/source"
)

const (
	// publishEvery is how often positions are published again and shown as the group's offsets in Kafka.
	publishEvery = 5 * time.Second
	// publishAlive is how long a pipeline that publishes nothing more still counts as running: the lanes are kept for it.
	publishAlive = time.Minute
)

// positions publishes how far the worker's shards have been checkpointed: in Redis, so that lanes are trimmed, and as the
// offsets of the pipeline's Kafka group, so that ordinary tools show its lag. Both are hints; what counts is the journal.
type positions struct {
	w     *Worker
	mu    sync.Mutex
	marks map[string][]buffer.Mark // of committed checkpoints, per shard

	streams map[string]string // journal → the stream it belongs to, where the name does not tell

	starting *semaphore.Weighted // one asks, the others wait
	start    *journal.Start

	warned bool
}

// publish tells of a checkpoint that is confirmed. Failing does no harm: it is done again.
func (w *Worker) publish(ctx context.Context, shard string, marks []buffer.Mark) {
	w.positions.mu.Lock()
	w.positions.marks[shard] = marks
	w.positions.mu.Unlock()
	if err := w.positions.put(ctx, shard, marks); err != nil && ctx.Err() == nil {
		w.log.Warn("could not publish the position and trim the buffer; doing it later", zap.String("shard", shard), zap.Error(err))
	}
}

func (p *positions) put(ctx context.Context, shard string, marks []buffer.Mark) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var required []string
	if shard == buffer.Direct {
		var err error
		if required, err = p.journaled(ctx); err != nil {
			return err
		}
	}
	return p.w.o.Buffer.Publish(ctx, p.w.o.Settings.Pipeline, shard, marks, publishAlive, required)
}

func (p *positions) forget(shard string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.marks, shard)
}

func (p *positions) all() map[string][]buffer.Mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := make(map[string][]buffer.Mark, len(p.marks))
	for shard, marks := range p.marks {
		c[shard] = slices.Clone(marks)
	}
	return c
}

func (p *positions) run(ctx context.Context) {
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		p.direct(ctx)
		marks := p.all()
		for _, shard := range slices.Sorted(maps.Keys(marks)) {
			if err := p.put(ctx, shard, marks[shard]); err != nil && ctx.Err() == nil {
				p.w.log.Warn("could not publish the position", zap.String("shard", shard), zap.Error(err))
			}
		}
		if err := p.commit(ctx, marks); err != nil && ctx.Err() == nil && !p.warned {
			p.warned = true
			p.w.log.Warn("could not show the pipeline's lag in Kafka; processing does not depend on it",
				zap.String("group", p.w.o.Settings.Pipeline), zap.Error(err))
		}
	}
}

// direct looks after the direct lane, which nobody else does: that the pipeline's part of it is kept, and that it does not grow
// unseen.
func (p *positions) direct(ctx context.Context) {
	attempt, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	err := p.w.o.Buffer.Enroll(attempt, p.w.o.Settings.Pipeline)
	if err == nil {
		err = p.w.o.Buffer.CheckDirect(attempt)
	}
	if ctx.Err() == nil {
		p.w.o.Conditions.Warn("direct", err)
	}
}

// commit shows the positions as the committed offsets of the group named like the pipeline. If that is the group of
// ingest, ingest does it: nobody else can commit for a group that has members.
func (p *positions) commit(ctx context.Context, marks map[string][]buffer.Mark) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	settings, ok, err := p.w.o.Buffer.Settings(ctx)
	if err != nil {
		return err
	}
	if ok && settings.Group == p.w.o.Settings.Pipeline {
		return nil
	}
	at := ownPositions(marks)
	if settings.Shards > 0 {
		if at, err = p.leastPositions(ctx, settings.Shards); err != nil {
			return err
		}
	}
	topics := map[string][]kafka.OffsetCommit{}
	for tp, offset := range at {
		topics[tp.Topic] = append(topics[tp.Topic], kafka.OffsetCommit{Partition: int(tp.Partition), Offset: offset, Metadata: p.w.metadata()})
	}
	if len(topics) == 0 {
		return nil
	}
	fault.Point("offsets.worker.before")
	defer fault.Point("offsets.worker.after")
	r, err := p.w.o.Source.Client().OffsetCommit(ctx, &kafka.OffsetCommitRequest{
		GroupID: p.w.o.Settings.Pipeline, GenerationID: -1, Topics: topics,
	})
	if err != nil {
		return err
	}
	for _, ps := range r.Topics {
		for _, x := range ps {
			err = errors.Join(err, x.Error)
		}
	}
	return err
}

// ownPositions are the positions in the last epoch of each partition, whose lane is in one shard.
func ownPositions(marks map[string][]buffer.Mark) map[source.TopicPartition]int64 {
	at := map[source.TopicPartition]int64{}
	for _, ms := range marks {
		for lane, position := range lastEpochs(slices.Values(ms)) {
			at[lane.TopicPartition] = position
		}
	}
	return at
}

// leastPositions are the least positions of all shards of the stream in the last epoch of each partition. Those that have
// lanes of it without a position are left out. The worker of the shard 0 shows them for all.
func (p *positions) leastPositions(ctx context.Context, shards int) (map[source.TopicPartition]int64, error) {
	if p.w.slot(shard.Name(0)) == nil {
		return nil, nil
	}
	least, have := map[source.Lane]int64{}, map[source.Lane]int{}
	for i := range shards {
		all, err := p.w.o.Buffer.Marks(ctx, shard.Name(i))
		if err != nil {
			return nil, err
		}
		for lane, position := range lastEpochs(maps.Values(all[p.w.o.Settings.Pipeline])) {
			if have[lane]++; have[lane] == 1 || position < least[lane] {
				least[lane] = position
			}
		}
	}
	at := map[source.TopicPartition]int64{}
	for lane, position := range least {
		if have[lane] == shards {
			at[lane.TopicPartition] = position
		}
	}
	return at, nil
}

// lastEpochs are the positions of a shard in the last epoch of each partition.
func lastEpochs(marks iter.Seq[buffer.Mark]) map[source.Lane]int64 {
	last := map[source.TopicPartition]source.Lane{}
	at := map[source.Lane]int64{}
	for m := range marks {
		l, err := source.ParseLane(m.Lane)
		if err != nil || m.Lane == buffer.DirectLane {
			continue
		}
		if before, ok := last[l.TopicPartition]; ok {
			if before.Epoch > l.Epoch {
				continue
			}
			delete(at, before)
		}
		last[l.TopicPartition], at[l] = l, m.Position
	}
	return at
}

// metadata marks the group's offsets as the positions of a pipeline with this journal.
func (w *Worker) metadata() string { return "windrow " + w.o.Journal.Topic }

// journaled returns the pipelines of the stream that have a journal of the derived name: their records in the direct lane,
// which has no source to be read again from, must be kept even if they don't run and Redis has lost that they are enrolled.
func (p *positions) journaled(ctx context.Context) (pipelines []string, err error) {
	topics, err := p.w.o.Output.Topics(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the journals: %w", err)
	}
	prefix, suffix := "windrow."+p.w.o.Settings.Stream+".", ".journal"
	for _, t := range topics {
		name, ok := strings.CutPrefix(t.Name, prefix)
		if !ok || !strings.HasSuffix(name, suffix) {
			continue
		}
		name = strings.TrimSuffix(name, suffix)
		if strings.Contains(name, ".") { // it may as well be of a stream whose name goes on behind the dot
			stream, err := p.streamOf(ctx, t.Name)
			if err != nil {
				return nil, err
			}
			if stream != p.w.o.Settings.Stream {
				continue
			}
		}
		pipelines = append(pipelines, name)
	}
	return pipelines, nil
}

// streamOf is the stream that a journal belongs to; empty as long as no pipeline has begun in it.
func (p *positions) streamOf(ctx context.Context, topic string) (string, error) {
	p.mu.Lock()
	stream := p.streams[topic]
	p.mu.Unlock()
	if stream != "" {
		return stream, nil
	}
	stream, _, err := journal.Of(ctx, p.w.o.Output, topic)
	if err == nil && stream != "" {
		p.mu.Lock()
		p.streams[topic] = stream
		p.mu.Unlock()
	}
	return stream, err
}

// startOf returns where the pipeline starts in a lane: as it was fixed when the pipeline first ran; lanes that came up
// later from their first record. That of a partition's later epoch ingest has noted with the offset it commits: after an
// unclean election it is where the source had ended, and what is before belongs to the lane before.
func (w *Worker) startOf(ctx context.Context, lane string) (int64, error) {
	s, err := w.began(ctx)
	if err != nil {
		return 0, err
	}
	if at, ok := s.Offsets[lane]; ok || lane == buffer.DirectLane {
		return at, nil
	}
	l, err := source.ParseLane(lane)
	if err != nil || l.Epoch == 0 {
		return 0, err
	}
	stream, _, err := w.o.Buffer.Settings(ctx)
	if err != nil {
		return 0, err
	}
	committed, err := source.FetchCommitted(ctx, w.o.Source, cmp.Or(stream.Group, w.o.Settings.Stream), []source.TopicPartition{l.TopicPartition})
	if err != nil {
		return 0, fmt.Errorf("where lane %s begins: %w", lane, err)
	}
	return source.NoteOf(committed[l.TopicPartition]).Starts[l.Epoch], nil
}

// proposeStart resolves KAFKA_START for all partitions of the stream's topics at this moment. It refuses to begin a
// pipeline that is known to have begun before: its journal is gone, and everything would be processed twice.
func (w *Worker) proposeStart(ctx context.Context) (journal.Start, error) {
	settings, known, err := w.o.Buffer.Settings(ctx)
	if err != nil {
		return journal.Start{}, err
	}
	start, err := source.ParseStart(settings.Start)
	if err != nil {
		return journal.Start{}, fmt.Errorf("the stream's KAFKA_START: %w", err)
	}
	shards, err := w.o.Buffer.Shards(ctx)
	if err != nil {
		return journal.Start{}, err
	}
	names := map[string]bool{}
	for _, lanes := range shards {
		for _, lane := range lanes {
			if lane == buffer.DirectLane {
				continue
			}
			l, err := source.ParseLane(lane)
			if err != nil {
				return journal.Start{}, err
			}
			names[l.Topic] = true
		}
	}
	s := journal.Start{Created: time.Now().UnixMilli(), Shards: settings.Shards, ShardKey: settings.ShardKey, Offsets: map[string]int64{}}
	if len(names) == 0 {
		return s, nil
	}
	if !known {
		return s, fmt.Errorf("the stream %s has no settings: redis has lost them, and ingest writes them again", w.o.Settings.Stream)
	}
	topics, err := w.o.Source.Topics(ctx, slices.Sorted(maps.Keys(names))...)
	if err != nil {
		return s, err
	}
	for _, t := range topics {
		if t.Err != nil {
			return s, fmt.Errorf("topic %s: %w", t.Name, t.Err)
		}
		var partitions []int32
		for _, p := range t.Partitions {
			partitions = append(partitions, p.ID)
		}
		at, err := start.Offsets(ctx, w.o.Source, t.Name, partitions, false)
		if err != nil {
			return s, fmt.Errorf("where to start in topic %s (KAFKA_START=%s): %w", t.Name, start, err)
		}
		known := make([]source.TopicPartition, 0, len(at))
		for p, offset := range at {
			tp := source.TopicPartition{Topic: t.Name, Partition: p}
			s.Offsets[source.Lane{TopicPartition: tp}.String()] = offset
			known = append(known, tp)
		}
		committed, err := source.FetchCommitted(ctx, w.o.Source, w.o.Settings.Pipeline, known)
		if err != nil {
			return s, err
		}
		for tp, c := range committed {
			if c.Metadata == w.metadata() {
				return s, w.journalLost(tp.String(), c.Offset)
			}
		}
	}
	return s, nil
}

// journalLost says that a lane was processed up to a position which the journal knows nothing of.
func (w *Worker) journalLost(lane string, position int64) error {
	return fmt.Errorf("%w: the topic %s has nothing of lane %s, but the pipeline %s has processed it up to offset %d: restore the topic, or choose another PIPELINE to begin anew (every record is then processed again)",
		journal.ErrLost, w.o.Journal.Topic, lane, w.o.Settings.Pipeline, position)
}
