package ingest

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/source"
)

const (
	lostAlarm   = 5 * time.Minute        // how long a loss stays a warning condition; the metric stays for ever
	cutOffTries = 6                      // looks at a partition that ends before the lane's tail, until that is believed
	cutOffPause = 500 * time.Millisecond // between them
)

// outOfRange finds out why the source has no record at the lane's tail, nor an end there. nil: go on.
func (l *lane) outOfRange() error {
	for try := 1; ; try++ {
		topics, err := l.in.cluster.Topics(l.in.hard, l.tp.Topic)
		if err == nil && len(topics) == 1 {
			err = topics[0].Err
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errSource, err)
		}
		if differ(idText(topics[0].ID), l.topic) {
			l.in.watch.Refresh()
			return source.ErrRecreated
		}
		first, err := l.offset(wire.Earliest)
		if err != nil {
			return err
		}
		end, err := l.offset(wire.Latest)
		if err != nil {
			return err
		}
		switch {
		case l.next < first:
			return l.overtaken(first, end)
		case l.next <= end:
			l.feed.SeekTo(l.next, l.room()) // it has come back
			return nil
		case try >= cutOffTries:
			return l.cutOff(end)
		}
		if !pause.For(l.ctx, cutOffPause) {
			return l.ctx.Err()
		}
	}
}

func (l *lane) offset(at int64) (int64, error) {
	found, err := l.in.cluster.Offsets(l.in.hard, l.tp.Topic, []int32{l.tp.Partition}, at, false)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errSource, err)
	}
	return found[l.tp.Partition], nil
}

// overtaken goes on at the oldest record there is. Retention removed those before it: unread, unless Redis has lost what
// the lane had, and every pipeline has processed it.
func (l *lane) overtaken(first, end int64) error {
	c, ok, err := l.in.offsets.committed(l.in.hard, l.tp)
	if err != nil {
		return fmt.Errorf("%w: %w", errSource, err)
	}
	unread := l.next
	if n := source.NoteOf(c); ok && n.Epoch == l.name.Epoch && !differ(n.Topic, l.topic) {
		unread = max(unread, c.Offset)
	}
	if unread < first {
		l.lost(&source.LostError{TopicPartition: l.tp, From: unread, To: first})
	} else {
		l.log.Info("the source no longer has what the lane lacks, and every pipeline has processed it",
			zap.Int64("from", l.next), zap.Int64("to", first), zap.Int64("committed", c.Offset))
	}
	for _, b := range l.branches {
		if b.next >= first {
			continue
		}
		if !b.exists {
			b.next = first
			continue
		}
		// The tail moves at once: a restart must not find, and count, the same loss again.
		tail, err := b.appender.Append(l.in.hard, buffer.Append{From: first, Next: first, High: max(first, end), Gap: true, Topic: l.topic})
		if err != nil {
			return err
		}
		b.next, b.held = first, tail.Held
	}
	l.next = l.least()
	l.moved()
	l.feed.SeekTo(l.next, l.room())
	return nil
}

// cutOff begins a new epoch of the lane at the source's end, which lies before the lane's: an unclean election lost
// records that the lane already has, and others will take their offsets. Without topic ids it may as well be another topic.
func (l *lane) cutOff(end int64) error {
	if l.topic == "" {
		return source.ErrRecreated
	}
	l.lost(fmt.Errorf("topic %s partition %d ends at offset %d, but had records up to %d: an unclean leader election lost them (set unclean.leader.election.enable=false)",
		l.tp.Topic, l.tp.Partition, end, l.next-1))
	lostRecords.WithLabelValues(l.tp.Topic).Add(float64(l.next - end))
	l.cutAt = &end
	l.epoch()
	return errEpoch
}

// lost raises the alarm.
func (l *lane) lost(err error) {
	if e, ok := err.(*source.LostError); ok {
		lostRecords.WithLabelValues(l.tp.Topic).Add(float64(e.To - e.From))
	}
	l.log.Error("the source has lost records", zap.Error(err))
	part := l.tp.String()
	l.in.waiting.set(conditionLost, part, err)
	time.AfterFunc(lostAlarm, func() { l.in.waiting.set(conditionLost, part, nil) })
}
