package ingest

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/shard"
	"github.com/windrow-io/windrow/pkg/source"
)

// branch is what of a partition goes to one shard: a lane in Redis with a tail of its own. Without SHARDS a partition has
// one, which gets the source's batches as they are.
type branch struct {
	shard    string
	appender *buffer.Appender
	exists   bool  // it has a tail
	next     int64 // the tail as it was left
	held     int64 // bytes in it

	batches []byte // its part of the entry in hand
	records int64  // in them

	builder record.Builder // of its next batch, when records are spread
	first   int64          // the offset that begins it
	codec   record.Codec
}

// tail reads the tail.
func (b *branch) tail(ctx context.Context) (buffer.Tail, error) {
	tail, err := b.appender.Tail(ctx)
	if err == nil {
		b.exists, b.next, b.held = tail.Exists, tail.Next, tail.Held
	}
	return tail, err
}

// append appends the branch's part of an entry, or moves the tail alone if that is empty.
func (b *branch) append(ctx context.Context, e buffer.Append) error {
	e.From, e.Batches = b.next, b.batches
	tail, err := b.appender.Append(ctx, e)
	if err == nil {
		b.exists, b.next, b.held = true, e.Next, tail.Held
	}
	return err
}

// shards are the names of the shards that a partition's records go to.
func (in *Ingest) shards(tp source.TopicPartition) []string {
	if in.o.Shards == 0 {
		return []string{tp.String()}
	}
	names := make([]string, in.o.Shards)
	for i := range names {
		names[i] = shard.Name(i)
	}
	return names
}

// least is where the source is to be read from: nothing before is missing in any branch.
func (l *lane) least() int64 {
	return slices.MinFunc(l.branches, func(a, b *branch) int { return cmp.Compare(a.next, b.next) }).next
}

// fullest is the branch that holds most: all wait for it, for they are fed from one place of the source.
func (l *lane) fullest() *branch {
	return slices.MaxFunc(l.branches, func(a, b *branch) int { return cmp.Compare(a.held, b.held) })
}

// look reads the tails again, and sees whether they are where they were left.
func (l *lane) look() error {
	for _, b := range l.branches {
		exists, next := b.exists, b.next
		tail, err := b.tail(l.in.hard)
		if err != nil {
			return err
		}
		if tail.Exists != exists || exists && tail.Next != next {
			return errMoved
		}
		b.next = next // one that does not exist yet knows where it will begin
	}
	return nil
}

// share gives each branch its part of an entry.
func (l *lane) share(e *source.Entry) error {
	if l.spread != nil {
		return l.spread.entry(e, l.branches)
	}
	b := l.branches[0]
	b.batches, b.records = e.Batches, e.Records
	return nil
}

const (
	// entryShards bounds the source's part of an entry that is spread: so many times entryBytes.
	entryShards = 8
	// spreadBytes is what a batch holds at most, decompressed, before the next begins.
	spreadBytes = 1 << 20
)

// spread divides the records of a partition among its branches by their keys.
type spread struct {
	keys    *shard.Spread
	proto   record.Record
	decoder record.Decoder
	keyless prometheus.Counter
}

// newSpread returns what divides the records of a partition; nil: they all go to one shard.
func (in *Ingest) newSpread(tp source.TopicPartition) *spread {
	if in.o.Shards == 0 {
		return nil
	}
	keys, err := shard.New(in.o.Shards, in.o.ShardKey)
	if err != nil {
		panic(err) // New has seen that it works
	}
	return &spread{keys: keys, proto: record.Record{Topic: tp.Topic, Partition: tp.Partition}, keyless: keylessRecords.WithLabelValues(tp.Topic)}
}

// entry gives each branch the records that are its own and that it lacks. A batch that can't be decoded goes as it is to
// the shard of what has no key: its owner makes a dead letter of it.
func (s *spread) entry(e *source.Entry, branches []*branch) error {
	for _, b := range branches {
		b.batches, b.records = b.batches[:0], 0
		b.builder.Reset()
	}
	for rest := e.Batches; len(rest) > 0; {
		batch, r, err := record.ParseBatch(rest)
		if err != nil {
			return fmt.Errorf("%w: batches that were looked at before: %w", errSource, err)
		}
		rest = r
		codec := record.None
		if batch.Codec() != record.None {
			codec = record.LZ4 // the cheapest: the buffer is no archive
		}
		s.decoder.Reset()
		var sealing error
		err = s.keys.Batch(&s.decoder, &batch, &s.proto, e.From, func(n int, keyed bool, r *record.Record) {
			b := branches[n]
			if r.Offset < b.next || sealing != nil {
				return
			}
			if !keyed {
				s.keyless.Inc()
			}
			if b.builder.Len() > 0 && (b.codec != codec || b.builder.Size() >= spreadBytes || r.Offset-b.first >= math.MaxInt32) {
				sealing = b.seal()
			}
			if b.builder.Len() == 0 {
				b.first, b.codec = r.Offset, codec
			}
			b.builder.Keep(r)
		})
		if sealing != nil {
			return sealing
		}
		if err != nil {
			b := branches[s.keys.Keyless()]
			if err := b.seal(); err != nil {
				return err
			}
			if batch.Next() > b.next {
				b.batches = append(b.batches, batch.Raw...)
				b.records += int64(batch.Count)
			}
		}
	}
	for _, b := range branches {
		if err := b.seal(); err != nil {
			return err
		}
	}
	return nil
}

// seal ends the batch being built.
func (b *branch) seal() error {
	n := b.builder.Len()
	if n == 0 {
		return nil
	}
	raw, err := b.builder.Seal(record.Producer{ID: -1, Epoch: -1}, -1, false, b.codec)
	if err != nil {
		return fmt.Errorf("encode records for shard %s: %w", b.shard, err)
	}
	b.batches = append(b.batches, raw...)
	b.records += int64(n)
	b.builder.Reset()
	return nil
}
