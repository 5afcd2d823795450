package journal

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/windrow-io/windrow/internal/fault"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
)

const (
	chunkBytes   = 512 << 10 // of a checkpoint's chunk, at most
	recordBytes  = 256 << 10 // of a decisions record, about: a longer list is cut
	batchReserve = 4 << 10   // what a batch takes beside a record's value, at most: header, key, lengths
)

// Owner is one epoch's right to write. One commit at a time. After any error it is dead: every further call fails, nothing
// is resent or aborted under its epoch; Take anew.
type Owner struct {
	shard  string
	writer *writer
	dead   error

	checkpoint uint64 // number of the last checkpoint; 0: none
	index      uint64 // of the next decisions record after it

	// Used again from call to call.
	encoder decisionEncoder
	batches []wire.Batch
	builder record.Builder
	value   []byte
	key     []byte
}

// Commit writes outputs and decisions in one transaction. Every batch must be within its topic's limit; several of one
// partition keep their order. delivered is the newest mark of a sink outside the transaction, 0 if there is none.
//
// The error is ErrFenced, ErrUnknown, ErrTooLarge or ErrClock, wrapped; with any other the transaction was not committed
// and never will be. Delivered at least once, any other error may mean that outputs were written.
func (o *Owner) Commit(ctx context.Context, outputs []wire.Batch, decisions []Decision, delivered int64) error {
	if len(outputs) == 0 && len(decisions) == 0 && delivered == 0 {
		return o.alive()
	}
	return o.write("commit", func() error {
		records, n, err := o.decisionBatches(decisions, delivered)
		if err != nil {
			return err
		}
		if o.writer.j.o.AtLeastOnce {
			err = o.commitAtLeastOnce(ctx, outputs, records)
		} else {
			// The journal's record goes first: it shares a request with the outputs of its leader.
			o.batches = append(append(o.batches[:0], records...), outputs...)
			_, err = o.writer.commit(ctx, o.batches)
			clear(o.batches) // keeps no builder alive
		}
		if err == nil {
			o.index += n
		}
		return err
	})
}

// commitAtLeastOnce: the decisions are written when all their outputs are. A taker in between makes them again.
func (o *Owner) commitAtLeastOnce(ctx context.Context, outputs, records []wire.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, o.writer.j.o.Timeout)
	defer cancel()
	begin := time.Now()
	err := o.writer.deliver(ctx, outputs, records)
	transactions.WithLabelValues(outcome(err)).Inc()
	if err == nil {
		transactionSeconds.Observe(time.Since(begin).Seconds())
	}
	return err
}

func (w *writer) deliver(ctx context.Context, outputs, records []wire.Batch) error {
	if len(outputs) > 0 {
		if _, err := w.produce(ctx, outputs, false); err != nil {
			return refusal(err)
		}
	}
	if len(records) == 0 {
		return nil
	}
	// Right after a checkpoint the journal's partition is still in its transaction, and refuses others (48): not acted
	// on, the same may be sent again.
	at := place{w.j.o.Topic, w.partition}
	sequence := w.sequences[at]
	return refusal(w.repeat(ctx, kafka.InvalidTransactionState, func() error {
		w.sequences[at] = sequence
		_, err := w.produce(ctx, records, false)
		return err
	}))
}

// decisionBatches encodes decisions as one record, or as several if they are many; n is their number.
func (o *Owner) decisionBatches(ds []Decision, delivered int64) (batches []wire.Batch, n uint64, err error) {
	if len(ds) == 0 && delivered == 0 {
		return nil, 0, nil
	}
	for first := true; first || len(ds) > 0; first = false {
		take, size := 0, 0
		for take < len(ds) && (take == 0 || size+ds[take].size() <= recordBytes) {
			size += ds[take].size()
			take++
		}
		b := &o.builder
		if !first {
			b = new(record.Builder)
		}
		o.value = o.encoder.encode(o.value[:0], decisionsHead{o.checkpoint, o.index + n, delivered}, ds[:take])
		o.key = appendKey(o.key[:0], o.shard, kindDecision, o.index+n)
		if len(o.value)+batchReserve > o.writer.j.maxBatch {
			return nil, 0, fmt.Errorf("%w: a decision of %d bytes, and topic %s takes batches of %d: raise its max.message.bytes",
				ErrTooLarge, len(o.value), o.writer.j.o.Topic, o.writer.j.maxBatch)
		}
		b.Reset()
		b.Add(time.Now().UnixMilli(), o.key, o.value)
		batches = append(batches, o.writer.journalBatch(b))
		ds = ds[take:]
		n++
	}
	return batches, n, nil
}

// Checkpoint writes c, in chunks, in one transaction. Everything up to c.K must have been committed. It sets c.Offset.
func (o *Owner) Checkpoint(ctx context.Context, c *Checkpoint) error {
	return o.write("checkpoint", func() error {
		batches, err := o.chunks(c)
		if err != nil {
			return err
		}
		fault.Point("checkpoint.before")
		offsets, err := o.writer.commit(ctx, batches)
		fault.Point("checkpoint.after")
		if err != nil {
			return err
		}
		c.Offset = offsets[0]
		o.checkpoint, o.index = o.checkpoint+1, 0
		return nil
	})
}

// chunks encodes a checkpoint, one chunk a batch.
func (o *Owner) chunks(c *Checkpoint) ([]wire.Batch, error) {
	z, err := encodeCheckpoint(c)
	if err != nil {
		return nil, err
	}
	size := min(chunkBytes, o.writer.j.maxBatch-batchReserve)
	count := (len(z) + size - 1) / size
	if count > maxChunks {
		return nil, fmt.Errorf("%w: a checkpoint of %d bytes", ErrTooLarge, len(z))
	}
	checkpointBytes.Add(float64(len(z)))
	now := time.Now().UnixMilli()
	batches := make([]wire.Batch, 0, count)
	var value, key []byte
	for i := range count {
		x := chunk{checkpoint: o.checkpoint + 1, index: uint64(i), count: uint64(count), piece: z[i*size : min((i+1)*size, len(z))]}
		value, key = x.append(value[:0]), appendKey(key[:0], o.shard, kindChunk, uint64(i))
		b := new(record.Builder)
		b.Add(now, key, value)
		batches = append(batches, o.writer.journalBatch(b))
	}
	return batches, nil
}

func (w *writer) journalBatch(b *record.Builder) wire.Batch {
	return wire.Batch{Topic: w.j.o.Topic, Partition: w.partition, Builder: b}
}

func (o *Owner) alive() error {
	if o.dead != nil {
		return fmt.Errorf("shard %s has to be taken anew after an error: %w", o.shard, o.dead)
	}
	return nil
}

// write does one call of a living owner, which dies of any error.
func (o *Owner) write(what string, do func() error) error {
	if err := o.alive(); err != nil {
		return err
	}
	if err := do(); err != nil {
		o.dead = fmt.Errorf("%s of shard %s in journal %s: %w", what, o.shard, o.writer.j.o.Topic, err)
		return o.dead
	}
	return nil
}
