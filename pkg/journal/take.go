package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/fault"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
)

// Take makes a new epoch of the shard (asking again while Kafka completes the old owner's transaction) and only then
// reads the shard's part of the journal back, up to the mark that it writes after that; from hint on, a lower bound that
// need not be right, or from the start (hint 0). keep is asked before every InitProducerID: is the shard's lease still
// ours? Its error ends Take.
func (j *Journal) Take(ctx context.Context, shard string, hint int64, keep func(context.Context) error) (*Owner, *History, error) {
	begin := time.Now()
	o, h, err := j.take(ctx, shard, hint, keep)
	if err != nil {
		takeovers.WithLabelValues(outcome(err)).Inc()
		return nil, nil, fmt.Errorf("journal %s: take shard %s: %w", j.o.Topic, shard, err)
	}
	takeovers.WithLabelValues("done").Inc()
	takeoverSeconds.Observe(time.Since(begin).Seconds())
	return o, h, nil
}

func (j *Journal) take(ctx context.Context, shard string, hint int64, keep func(context.Context) error) (*Owner, *History, error) {
	w := &writer{j: j, txn: j.transaction(shard), partition: j.partition(shard)}
	end, err := j.fence(ctx, w, ownerKey(shard), keep)
	if err != nil {
		return nil, nil, err
	}
	a, err := j.readFromHint(ctx, shard, w.partition, hint, end)
	if err != nil {
		return nil, nil, err
	}
	if a == nil {
		a = newAssembler(shard)
		if err := j.scan(ctx, w.partition, 0, end, a.add); err != nil {
			return nil, nil, err
		}
	}
	if a.ignored > 0 {
		j.log.Warn("ignored what an owner wrote after it had been superseded", zap.String("shard", shard), zap.Int("records", a.ignored))
	}
	h, err := a.history()
	if err != nil {
		return nil, nil, err
	}
	return &Owner{shard: shard, writer: w, checkpoint: a.base, index: uint64(len(a.records))}, h, nil
}

// fence makes a new epoch and shows it to the journal's partition by a mark. It returns the mark's offset: everything
// that an older epoch ever committed is before it. What is asked again is asked under an epoch of its own: a mark whose
// fate is not known belongs to an epoch that is over.
func (j *Journal) fence(ctx context.Context, w *writer, key []byte, keep func(context.Context) error) (end int64, err error) {
	pauses := newBackoff()
	told, begin, refused := false, time.Now(), 0
	for {
		if keep != nil {
			if err := keep(ctx); err != nil {
				return 0, err
			}
		}
		if end, err = w.epoch(ctx, key); err == nil {
			return end, nil
		}
		again := wire.Retry(err)
		if errors.Is(err, kafka.InvalidTransactionState) {
			refused++
			again = refused < refusedMarks
		}
		if !again || ctx.Err() != nil {
			return 0, w.remedy(err)
		}
		if !told && time.Since(begin) > tellAfter {
			told = true
			j.log.Warn("a takeover waits for Kafka", zap.String("transactionalID", w.txn.ID()), zap.Error(err))
		}
		if !pauses.Wait(ctx) {
			return 0, err
		}
	}
}

// refusedMarks is how often a mark may meet an open transaction (48): a newer epoch's, which the next attempt ends, or one
// that nobody will end.
const refusedMarks = 6

// epoch makes one, and marks the partition with it.
func (w *writer) epoch(ctx context.Context, key []byte) (end int64, err error) {
	if w.producer, err = w.txn.Init(ctx); err != nil {
		return 0, err
	}
	w.sequences = map[place]int32{}
	end, err = w.mark(ctx, key)
	if wire.Fenced(err) {
		err = fmt.Errorf("%w: %w", ErrFenced, err)
	}
	return end, err
}

// remedy adds what to do about an answer that only an administrator can change.
func (w *writer) remedy(err error) error {
	switch {
	case errors.Is(err, kafka.TransactionalIDAuthorizationFailed):
		return fmt.Errorf("%w: grant WRITE and DESCRIBE on the transactional id %s, or on those with its prefix", err, w.txn.ID())
	case errors.Is(err, kafka.InvalidTransactionTimeout):
		return fmt.Errorf("%w: raise the brokers' transaction.max.timeout.ms to %d", err, w.j.o.Timeout.Milliseconds())
	case errors.Is(err, kafka.InvalidTransactionState):
		// The coordinator has ended all that older epochs had begun, and does not know of a transaction that the partition
		// holds open: seen with lone brokers, which after a restart take their topics for deleted and skip their markers.
		return fmt.Errorf("%w: kafka has left a transaction of %s open in partition %d, as a lone broker can that is killed, or "+
			"loses its session, while it completes it: find it with kafka-transactions.sh find-hanging and abort it in every "+
			"partition that is named; if it was completed in others, their output of that one transaction comes again",
			err, w.txn.ID(), w.partition)
	}
	return err
}

// mark writes a record outside any transaction: readers pass over it.
func (w *writer) mark(ctx context.Context, key []byte) (offset int64, err error) {
	var b record.Builder
	b.Add(time.Now().UnixMilli(), key, []byte{version})
	fault.Point("mark.before")
	offsets, err := w.produce(ctx, []wire.Batch{{Topic: w.j.o.Topic, Partition: w.partition, Builder: &b}}, false)
	fault.Point("mark.after")
	if err != nil {
		return 0, err
	}
	return offsets[0], nil
}

var errHint = errors.New("the hint is of no use")

// readFromHint reads from the place where the shard's last checkpoint is said to be. It returns nil unless a complete
// checkpoint begins exactly there: anything else might be a part of what there is.
func (j *Journal) readFromHint(ctx context.Context, shard string, partition int32, hint, end int64) (*assembler, error) {
	if hint <= 0 || hint >= end {
		return nil, nil
	}
	a := newAssembler(shard)
	first := true
	err := j.scan(ctx, partition, hint, end, func(e *entry) error {
		if first {
			if kind, i, ok := parseKey(e.key, shard); !ok || e.offset != hint || kind != kindChunk || i != 0 {
				return errHint
			}
			first = false
		}
		return a.add(e)
	})
	if errors.Is(err, errHint) || err == nil && !a.complete() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}
