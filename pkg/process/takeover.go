package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/journal"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/shard"
	"github.com/windrow-io/windrow/pkg/source"
	"github.com/windrow-io/windrow/pkg/window"
)

var (
	errLease  = errors.New("the shard's lease is another worker's")
	errReplay = errors.New("the replay does not give what the journal says")
)

// takeover makes an owner of the shard, by the same path whatever happened before: fence, read the journal back, replay
// its decisions, go on after the last. The shard's lease must be held.
func (w *Worker) takeover(ctx context.Context, s *slot) (o *owner, err error) {
	begin, name, lanes := time.Now(), s.shard, s.known()
	log := w.log.With(zap.String("shard", name))
	marks, err := w.o.Buffer.Marks(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read the published positions: %w", err)
	}
	own := marks[w.o.Settings.Pipeline]
	stream, known, err := w.o.Buffer.Settings(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the stream's settings: %w", err)
	}
	jo, history, err := w.journal.Take(ctx, name, hint(own), func(ctx context.Context) error {
		held, err := w.o.Buffer.RenewLeases(ctx, w.o.Settings.Pipeline, []string{name}, w.o.Name, w.o.LeaseTTL)
		if err == nil && !held[name] {
			err = errLease
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take the journal over: %w", err)
	}
	if history.Checkpoint == nil {
		for lane, m := range own {
			if m.Journal > 0 {
				return nil, w.journalLost(lane, m.Position)
			}
		}
	}
	spread, err := w.spread(ctx, name, stream, known)
	if err != nil {
		return nil, err
	}
	o = &owner{
		w: w, shard: name, log: log, journal: jo,
		handling: newHandling(w),
	}
	o.feed = &feed{
		reader: w.o.Buffer.Reader(w.o.Settings.Pipeline, w.o.Name, name, nil),
		refill: w.refill[stream.Isolation != "read_uncommitted"], log: log, gone: w.goneFrom(s), id: func(ctx context.Context, lane string) source.ID { return w.topicOf(ctx, name, lane) }, count: firstCount, clock: &clock{},
		undec:  func(r *record.Record, err error) { o.reject(r, "undecodable", err) },
		spread: spread,
	}
	if spread != nil {
		o.feed.shard, _ = shard.Number(name)
	}
	reader := o.feed.reader
	defer func() {
		if err != nil {
			reader.Close()
		}
	}()
	o.group = o.newGroup()
	o.free = append(o.free, o.newGroup())
	if history.Checkpoint == nil {
		err = o.begin(ctx, lanes)
	} else {
		err = o.resume(ctx, history, lanes)
	}
	if err != nil {
		return nil, err
	}
	takeovers.Inc()
	takeoverSeconds.Observe(time.Since(begin).Seconds())
	log.Info("took the shard over", zap.Int64("decision", o.k), zap.Int("replayed", len(history.Decisions)),
		zap.Any("positions", o.feed.positions()), zap.Duration("took", time.Since(begin)))
	return o, nil
}

// topicOf returns the id of the topic that a lane's records came from, as far as ingest has noted it.
func (w *Worker) topicOf(ctx context.Context, shard, lane string) source.ID {
	a := w.o.Buffer.Appender(shard, lane)
	defer a.Close()
	tail, err := a.Tail(ctx)
	if err != nil {
		return source.ID{} // not known: what is read is checked by its offsets alone
	}
	return source.ParseID(tail.Topic)
}

// hint is where the journal's last checkpoint is known to be.
func hint(own map[string]buffer.Mark) (offset int64) {
	for _, m := range own {
		offset = max(offset, m.Journal)
	}
	return offset
}

// begin starts a shard that the pipeline never worked on. Its first checkpoint fixes where.
func (o *owner) begin(ctx context.Context, lanes []string) (err error) {
	if err := o.addLanes(ctx, nil, lanes); err != nil {
		return err
	}
	if o.machine, err = window.New(o.w.o.Settings, o.shard); err != nil {
		return err
	}
	p, marks := o.snapshot()
	if err := o.journal.Checkpoint(ctx, p); err != nil {
		return fmt.Errorf("first checkpoint: %w", err)
	}
	o.w.publish(ctx, o.shard, marksAt(marks, p.Offset))
	return nil
}

func marksAt(marks []buffer.Mark, offset int64) []buffer.Mark {
	for i := range marks {
		marks[i].Journal = offset
	}
	return marks
}

// addLanes makes lanes known to the feed: at their positions, where they have one, else where the pipeline starts.
func (o *owner) addLanes(ctx context.Context, positions map[string]int64, lanes []string) error {
	for _, lane := range slices.Sorted(maps.Keys(positions)) {
		if err := o.feed.add(lane, positions[lane], true); err != nil {
			return err
		}
	}
	for _, lane := range lanes {
		if o.feed.lane(lane) != nil {
			continue
		}
		at, err := o.w.startOf(ctx, lane)
		if err != nil {
			return err
		}
		if err := o.feed.add(lane, at, false); err != nil {
			return err
		}
	}
	return nil
}

// resume replays what the journal has behind its last checkpoint, sending nothing.
func (o *owner) resume(ctx context.Context, h *journal.History, lanes []string) (err error) {
	var s window.Settings
	if err := json.Unmarshal(h.Checkpoint.Settings, &s); err != nil {
		return fmt.Errorf("read the checkpoint's settings: %w", err)
	}
	if o.machine, err = window.Restore(s, o.shard, h.Checkpoint.State); err != nil {
		return fmt.Errorf("restore the checkpoint %d: %w", h.Checkpoint.K, err)
	}
	o.k, o.now = h.Checkpoint.K, h.Checkpoint.Now
	if !o.w.o.Sink.Transactional() {
		o.delivered = h.Delivered
	}
	if err := o.addLanes(ctx, h.Checkpoint.Positions, lanes); err != nil {
		return err
	}
	for lane, ms := range h.Checkpoint.Receipts {
		if l := o.feed.lane(lane); l != nil {
			l.receipt = ms
		}
	}
	o.replaying, o.feed.keep = true, true
	for i := range h.Decisions {
		if err := o.repeat(ctx, &h.Decisions[i]); err != nil {
			return err
		}
	}
	o.replaying, o.feed.keep = false, false
	o.committed = o.k
	o.moved = len(h.Decisions) > 0 // a checkpoint frees what was replayed: ingest may wait for that room, and nothing else come
	o.handled()
	o.w.publish(ctx, o.shard, o.checkpointMarks(h.Checkpoint))
	return o.change(ctx, h)
}

// checkpointMarks are the marks of a checkpoint of which only the positions are known.
func (o *owner) checkpointMarks(c *journal.Checkpoint) (ms []buffer.Mark) {
	for _, lane := range slices.Sorted(maps.Keys(c.Positions)) {
		ms = append(ms, buffer.Mark{Lane: lane, Position: c.Positions[lane], Journal: c.Offset})
	}
	return ms
}

// repeat makes decision d again.
func (o *owner) repeat(ctx context.Context, d *journal.Decision) error {
	if d.K != o.k+1 {
		return fmt.Errorf("%w: after decision %d of shard %s comes %d", journal.ErrLost, o.k, o.shard, d.K)
	}
	for _, lane := range slices.Sorted(maps.Keys(d.Positions)) {
		if err := o.read(ctx, lane, d.Positions[lane]); err != nil {
			return err
		}
	}
	again := journal.Decision{K: d.K, Now: d.Now, Lanes: d.Lanes, Settings: d.Settings, Flush: d.Flush}
	if d.Settings != nil {
		if err := o.changeTo(&again); err != nil {
			return err
		}
	} else {
		o.decide(&again, d.Positions, repeatReceipts(d))
	}
	o.k = d.K
	if again.Outputs != d.Outputs && o.feed.losses == 0 {
		return fmt.Errorf("%w: decision %d of shard %s made %d windows, again it makes %d: the program that replays it is not the one that made it. Run the former version once, until it has stopped gracefully, then this one",
			errReplay, d.K, o.shard, d.Outputs, again.Outputs)
	}
	o.handling.decided(ctx, again)
	return nil
}

// read reads lane up to the position: from the buffer, and from the source what the buffer no longer has.
func (o *owner) read(ctx context.Context, name string, to int64) error {
	l := o.feed.lane(name)
	if l == nil {
		if err := o.addLanes(ctx, nil, []string{name}); err != nil {
			return err
		}
		l = o.feed.lane(name)
	}
	if !l.joined {
		o.feed.join(l)
	}
	for l.read < to {
		before := l.read
		if _, err := o.feed.fill(ctx, 0); err != nil {
			return err
		}
		if l.read == before && !l.cut && !l.rescan && l.refillTo <= l.read {
			l.refillTo = to
		}
	}
	return nil
}

// change carries the shard over to the pipeline's settings if they are not those its state was made under. That is a
// decision like any other: it is journaled with the windows it gives, and replayed.
func (o *owner) change(ctx context.Context, h *journal.History) error {
	current := h.Checkpoint.Settings
	for i := range h.Decisions {
		if s := h.Decisions[i].Settings; s != nil {
			current = s
		}
	}
	if bytes.Equal(compact(current), compact(o.w.settingsJSON)) {
		return nil
	}
	o.log.Info("the settings have changed", zap.ByteString("from", current), zap.ByteString("to", o.w.settingsJSON))
	d := journal.Decision{K: o.k + 1, Now: max(o.now, o.feed.clock.now()), Settings: o.w.settingsJSON}
	if err := o.changeTo(&d); err != nil {
		return err
	}
	o.k++
	o.handling.decided(ctx, d)
	o.handled()
	return nil
}

func (o *owner) changeTo(d *journal.Decision) error {
	var s window.Settings
	if err := json.Unmarshal(d.Settings, &s); err != nil {
		return fmt.Errorf("read the settings of decision %d: %w", d.K, err)
	}
	o.inStep = d
	m, err := o.machine.Change(s, d.Now, o)
	o.inStep = nil
	if err != nil {
		return fmt.Errorf("carry the shard's state over to the new settings: %w", err)
	}
	o.machine, o.now = m, d.Now
	return nil
}

func compact(j []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, j) != nil {
		return j
	}
	return b.Bytes()
}
