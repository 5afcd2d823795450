package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
)

// Refill reads a part of a partition: what a buffer has lost. Safe for concurrent use.
type Refill struct {
	cluster       *wire.Cluster
	readCommitted bool
	maxBytes      int32
}

// refillBytes is how much one Read gets, unless one batch alone is larger.
const refillBytes = 1 << 20

// refillPatience is how long one Read waits for a source that answers with nothing, refillRetries how often in a row it
// reads a batch again whose CRC fails.
const (
	refillWait     = 200 * time.Millisecond
	refillPatience = 5 * time.Second
	refillRetries  = 5
)

// NewRefill makes a Refill. readCommitted as for the Fetcher whose records are to be read again.
func NewRefill(c *wire.Cluster, readCommitted bool) *Refill {
	return &Refill{cluster: c, readCommitted: readCommitted, maxBytes: refillBytes}
}

// Range is a part of a partition.
type Range struct {
	TopicPartition
	ID       ID    // the topic's id, if it is known: another topic of the name is ErrRecreated
	From, To int64 // offsets [From, To)
}

// Read reads from the beginning of r what about 1 MiB holds, at least one batch: whole batches, whose first may begin
// before r.From and whose last may reach beyond r.To; records outside [r.From, r.To) are the caller's to skip. next is
// where to go on, at most r.To. batches may be empty though next moved: compaction leaves holes, transactions markers.
// It aliases buf, or memory made in its place, as long as the caller likes; give it back as the next buf.
//
// Passing errors (a leader that moves, a broker that restarts) are waited for until ctx is done. *LostError: the source
// no longer has the beginning of r, up to the error's To. *CorruptError: a batch can't be read, however often tried.
// ErrRecreated: the topic is another one now.
func (r *Refill) Read(ctx context.Context, part Range, buf []byte) (batches []byte, next int64, err error) {
	if part.From >= part.To {
		return buf[:0], part.From, nil
	}
	var c cleaner
	began, corrupt, beyond := time.Now(), 0, 0
	for again := newBackoff(time.Second); ; {
		batches, next, buf, err = r.read(ctx, &c, part, buf)
		var bad *CorruptError
		switch {
		case err == nil && next > part.From:
			refillReads.Inc()
			refillRead.Add(float64(len(batches)))
			return buf[:copy(buf[:cap(buf)], batches)], min(next, part.To), nil
		case err == nil:
			// Throttled, or the last stable offset of a new leader lags behind.
			if time.Since(began) > refillPatience {
				return nil, part.From, fmt.Errorf("topic %s partition %d: Kafka has nothing to give from offset %d, though the buffer had records up to %d",
					part.Topic, part.Partition, part.From, part.To)
			}
		case errors.Is(err, kafka.OffsetOutOfRange):
			err = r.outOfRange(ctx, part)
			if errors.Is(err, errBeyond) {
				if beyond++; beyond >= refillRetries {
					err = &LostError{part.TopicPartition, part.From, part.To}
				}
			}
			if err != nil && !errors.Is(err, errBeyond) && !wire.Retry(err) {
				return nil, part.From, err
			}
		case errors.As(err, &bad):
			refetches.WithLabelValues(part.Topic).Inc()
			if corrupt++; corrupt >= refillRetries || errors.Is(err, record.ErrMagic) {
				return nil, part.From, err
			}
		case wire.Retry(err):
		default:
			return nil, part.From, err
		}
		if !again.Wait(ctx) {
			if err == nil {
				err = ctx.Err()
			}
			return nil, part.From, fmt.Errorf("topic %s partition %d: reading offset %d again: %w", part.Topic, part.Partition, part.From, errors.Join(context.Cause(ctx), err))
		}
	}
}

// read does one fetch. The memory that comes back is the one to use next.
func (r *Refill) read(ctx context.Context, c *cleaner, part Range, buf []byte) ([]byte, int64, []byte, error) {
	if err := r.sameTopic(ctx, part); err != nil {
		return nil, part.From, buf, err
	}
	leader, err := r.cluster.Leader(ctx, part.Topic, part.Partition)
	if err != nil {
		return nil, part.From, buf, err
	}
	res, err := r.cluster.Fetch(ctx, wire.FetchRequest{
		Broker:     leader,
		Partitions: []wire.FetchPartition{{Topic: part.Topic, Partition: part.Partition, Offset: part.From, MaxBytes: r.maxBytes}},
		MinBytes:   1, MaxBytes: r.maxBytes, MaxWait: refillWait, ReadCommitted: r.readCommitted, Buf: buf[:0],
	})
	if err != nil {
		return nil, part.From, buf, err
	}
	buf = res.Buf
	if len(res.Partitions) != 1 {
		return nil, part.From, buf, fmt.Errorf("topic %s partition %d: Kafka answers a fetch for other partitions", part.Topic, part.Partition)
	}
	f := &res.Partitions[0]
	if f.Err != nil {
		return nil, part.From, buf, f.Err
	}
	out, err := c.clean(f, part.From, -1)
	good := out
	if err == nil || out.next > part.From {
		good.batches, good.next, err = r.verify(out, part)
	}
	return good.batches, good.next, buf, err
}

// verify checks the CRCs of what was cleaned, up to the end of part. What is good before a bad batch is not thrown away.
func (r *Refill) verify(out cleaned, part Range) ([]byte, int64, error) {
	good := 0
	for p := out.batches; len(p) > 0; {
		b, rest, err := record.ParseBatch(p)
		if err == nil && b.BaseOffset >= part.To {
			return out.batches[:good], part.To, nil
		}
		if err == nil {
			err = b.CheckCRC()
		}
		if err != nil {
			if good > 0 {
				return out.batches[:good], b.BaseOffset, nil
			}
			return nil, part.From, &CorruptError{part.TopicPartition, part.From, err}
		}
		p = rest
		good = len(out.batches) - len(rest)
	}
	return out.batches, out.next, nil
}

// outOfRange finds out why the broker refused the offset: nil if it would not any more.
func (r *Refill) outOfRange(ctx context.Context, part Range) error {
	first, err := r.cluster.Offsets(ctx, part.Topic, []int32{part.Partition}, wire.Earliest, false)
	if err != nil {
		return err
	}
	if start := first[part.Partition]; start > part.From {
		return &LostError{part.TopicPartition, part.From, min(start, part.To)}
	}
	end, err := r.cluster.Offsets(ctx, part.Topic, []int32{part.Partition}, wire.Latest, false)
	if err != nil {
		return err
	}
	if end[part.Partition] < part.From {
		return errBeyond
	}
	return nil
}

// errBeyond: the partition ends before the offset: for a moment, or for good after an unclean election.
var errBeyond = errors.New("the partition ends before this offset")

// sameTopic asks for the topic's id, where the caller knows which it should be.
func (r *Refill) sameTopic(ctx context.Context, part Range) error {
	if !part.ID.Known() {
		return nil
	}
	topics, err := r.cluster.Topics(ctx, part.Topic)
	switch {
	case err != nil:
		return err
	case len(topics) == 1 && topics[0].Err != nil:
		return topics[0].Err
	case len(topics) == 1 && part.ID.Differs(topics[0].ID):
		return fmt.Errorf("topic %s: %w: what was before is lost", part.Topic, ErrRecreated)
	}
	return nil
}
