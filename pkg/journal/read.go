package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
)

const (
	fetchBytes = 1 << 20                // of one fetch: as large as a batch usually may be
	fetchWait  = 250 * time.Millisecond // for other shards' transactions to end
	tellAfter  = 3 * time.Second        // of waiting for them
	tellAgain  = time.Minute            // a transaction that is open that long, Kafka itself should have ended
)

// errStop is what a visitor of scan returns when it has seen enough.
var errStop = errors.New("enough")

// scan visits a partition's committed records from an offset on, up to the offset end. The entry is the visitor's only
// during the call. Passing errors are overcome, as long as ctx lasts: reading changes nothing. Other shards' open
// transactions hold the readable end back; they are waited for.
func (j *Journal) scan(ctx context.Context, partition int32, from, end int64, visit func(*entry) error) error {
	r := reader{j: j, partition: partition, position: from, end: end, visit: visit}
	again := newBackoff()
	for r.position < r.end {
		err := r.fetch(ctx)
		switch {
		case err == nil:
			again.Reset()
		case errors.Is(err, errStop):
			return nil
		case !wire.Retry(err) || ctx.Err() != nil:
			return fmt.Errorf("read partition %d from offset %d: %w", partition, r.position, err)
		default:
			if !again.Wait(ctx) {
				return fmt.Errorf("read partition %d from offset %d: %w", partition, r.position, err)
			}
		}
	}
	return nil
}

type reader struct {
	j             *Journal
	partition     int32
	position, end int64
	visit         func(*entry) error

	buf     []byte
	decoder record.Decoder
	entry   entry
	since   time.Time // nothing has come
	tellAt  time.Time
}

func (r *reader) fetch(ctx context.Context) error {
	topic := r.j.o.Topic
	leader, err := r.j.cluster.Leader(ctx, topic, r.partition)
	if err != nil {
		return err
	}
	res, err := r.j.cluster.Fetch(ctx, wire.FetchRequest{
		Broker:     leader,
		Partitions: []wire.FetchPartition{{Topic: topic, Partition: r.partition, Offset: r.position, MaxBytes: fetchBytes}},
		MinBytes:   1, MaxBytes: fetchBytes, MaxWait: fetchWait, ReadCommitted: true, Buf: r.buf,
	})
	if err != nil {
		return err
	}
	r.buf = res.Buf
	if len(res.Partitions) == 0 { // so a broker answers who has used up his quota
		pause.For(ctx, fetchWait)
		return nil
	}
	f := &res.Partitions[0]
	if errors.Is(f.Err, kafka.OffsetOutOfRange) && r.position < f.LogStart {
		// Compaction moves no log start, but kafka-delete-records does. Whether what is left will do, its content tells.
		r.position = f.LogStart
		return nil
	}
	if f.Err != nil {
		return f.Err
	}
	before := r.position
	if err := r.batches(f); err != nil {
		return err
	}
	switch {
	case r.position > before:
		r.since = time.Time{}
	case f.LastStableOffset >= r.end && len(f.Records) == 0:
		r.position = r.end // compaction took the rest
	case len(f.Records) > 0:
		return fmt.Errorf("%w: at offset %d it gives a batch that ends before it", record.ErrCorrupt, r.position)
	default:
		r.tell(f)
	}
	return nil
}

func (r *reader) batches(f *wire.Fetched) error {
	aborted := abortedSet{list: f.Aborted}
	for p := f.Records; len(p) > 0; {
		b, rest, err := record.ParseBatch(p)
		if errors.Is(err, record.ErrShort) {
			return nil
		}
		if err == nil {
			err = b.CheckCRC()
		}
		if err != nil {
			return fmt.Errorf("at offset %d: %w", r.position, err)
		}
		p = rest
		if b.BaseOffset >= r.end {
			r.position = r.end
			return nil
		}
		drop, err := aborted.drop(&b)
		if err != nil {
			return err
		}
		if !drop {
			if err := r.visitAll(&b); err != nil {
				return err
			}
		}
		r.position = max(r.position, b.Next())
	}
	return nil
}

func (r *reader) visitAll(b *record.Batch) error {
	var verr error
	err := r.decoder.Decode(b, &record.Record{}, r.position, func(x *record.Record) {
		if verr != nil || x.Offset >= r.end {
			return
		}
		r.entry = entry{
			offset: x.Offset, key: x.Key, value: x.Value,
			producerID: b.ProducerID, producerEpoch: b.ProducerEpoch,
		}
		verr = r.visit(&r.entry)
	})
	r.decoder.Reset()
	if verr != nil {
		return verr
	}
	return err
}

// tell says what is being waited for.
func (r *reader) tell(f *wire.Fetched) {
	now := time.Now()
	if r.since.IsZero() {
		r.since, r.tellAt = now, now.Add(tellAfter)
	}
	if now.Before(r.tellAt) {
		return
	}
	r.tellAt = now.Add(tellAgain)
	fields := []zap.Field{zap.Int32("partition", r.partition), zap.Int64("stable", f.LastStableOffset), zap.Int64("end", r.end)}
	if now.Sub(r.since) < tellAgain {
		r.j.log.Warn("reading the journal waits for another shard's open transaction to end, or to time out", fields...)
		return
	}
	r.j.log.Error("reading the journal waits for another shard's transaction that Kafka seems to have left open: "+
		"kafka-transactions.sh find-hanging shows it, and abort ends it", fields...)
}

// abortedSet drops what a fetch's list of aborted transactions names, and control batches.
type abortedSet struct {
	list []wire.Aborted
	open map[int64]bool // producers whose aborted transaction is being passed
}

func (s *abortedSet) drop(b *record.Batch) (bool, error) {
	rest := s.list[:0]
	for _, a := range s.list {
		if a.FirstOffset >= b.Next() {
			rest = append(rest, a)
			continue
		}
		if s.open == nil {
			s.open = map[int64]bool{}
		}
		s.open[a.ProducerID] = true
	}
	s.list = rest
	if !b.Control() {
		return b.Transactional() && s.open[b.ProducerID], nil
	}
	if s.open[b.ProducerID] {
		abort, err := isAbort(b)
		if err != nil {
			return true, err
		}
		if abort {
			delete(s.open, b.ProducerID)
		}
	}
	return true, nil
}

// isAbort reports whether a control batch ends its producer's transaction by aborting it: the key is version, type.
func isAbort(b *record.Batch) (abort bool, err error) {
	var d record.Decoder
	err = d.Decode(b, &record.Record{}, b.BaseOffset, func(r *record.Record) {
		abort = len(r.Key) >= 4 && binary.BigEndian.Uint16(r.Key[2:]) == 0
	})
	return abort, err
}

// newBackoff is the pause after something that failed.
func newBackoff() pause.Backoff {
	return pause.Backoff{Min: time.Millisecond, Max: 250 * time.Millisecond}
}
