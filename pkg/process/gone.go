package process

import (
	"errors"
	"fmt"

	"go.uber.org/zap"
)

// gone is told of records of a lane that are neither in the buffer nor in the source any more, and says up to where they are
// lost. With an error it is not known whether they are: the owner must end.
type gone func(lane string, from, to int64) (upTo int64, err error)

// piece is a part of a lane: the offsets in [from, to).
type piece struct{ from, to int64 }

// errGone ends an owner that found records gone. Whether they are lost, or processed by one that has taken the shard over
// meanwhile – trimmed from the buffer then, and perhaps removed from the source –, the next owner can tell: what it finds gone
// as well is still before its position, and that it read in the journal after they had been missed. The lease would not do:
// one that was late to fence may have worked without it, or have given it back.
var errGone = errors.New("the records are neither in the buffer nor in the source: the journal, read again, tells whether they were processed")

// goneFrom is a shard's gone. A loss is said loudly.
func (w *Worker) goneFrom(s *slot) gone {
	return func(lane string, from, to int64) (int64, error) {
		m := s.missed[lane]
		if from < m.from || from >= m.to {
			if s.missed == nil {
				s.missed = map[string]piece{}
			}
			s.missed[lane] = piece{from, to}
			return 0, fmt.Errorf("lane %s, offsets %d to %d: %w", lane, from, to-1, errGone)
		}
		to = min(to, m.to)
		lostRecords.WithLabelValues(lane).Add(float64(to - from))
		err := fmt.Errorf("DATA LOSS: the offsets %d to %d of lane %s are neither in the buffer nor in the source any more: the topic's retention is shorter than the pipeline was behind", from, to-1, lane)
		w.o.Conditions.Set("data "+lane, err)
		w.log.Error(err.Error(), zap.String("shard", s.shard))
		return to, nil
	}
}
