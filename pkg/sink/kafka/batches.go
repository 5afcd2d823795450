package kafka

import (
	"sync"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
)

// batchBytes is where a batch of several records is full; a single record may make a larger one, up to the topic's limit.
const batchBytes = 1 << 20

// batches are the batches of one topic under construction: one open batch a partition, and those that are full.
type batches struct {
	topic string
	limits
	list []wire.Batch      // in the order they were begun, hence in order within a partition
	open []*record.Builder // by partition
	home int32             // where records without a key go
	size int               // of the records
}

// builders is the memory of batches, shared by all shards: they seldom have much in hand at the same time.
var builders = sync.Pool{New: func() any { return new(record.Builder) }}

// begin prepares for a first record under these limits; home picks the partition of records without a key.
func (b *batches) begin(l limits, home uint32) {
	b.limits = l
	if len(b.open) < int(l.partitions) {
		b.open = make([]*record.Builder, l.partitions)
	}
	b.home = int32(home % uint32(l.partitions))
}

// begun reports whether begin was called since the last reset.
func (b *batches) begun() bool { return b.partitions > 0 }

// room is the builder for a record of these sizes in bytes.
func (b *batches) room(key []byte, value, headers int) *record.Builder {
	p := b.home
	if key != nil {
		p = partitionOf(key, b.partitions)
	}
	if o := b.open[p]; o != nil && o.SizeWith(len(key), value, headers) <= min(b.maxBytes, batchBytes) {
		return o
	}
	o := builders.Get().(*record.Builder)
	b.open[p] = o
	b.list = append(b.list, wire.Batch{Topic: b.topic, Partition: p, Builder: o})
	return o
}

// reset makes b empty and gives its memory back, unless it is larger than usual.
func (b *batches) reset() {
	for i := range b.list {
		if o := b.list[i].Builder; o.Size() <= 2*batchBytes {
			o.Reset()
			builders.Put(o)
		}
		b.open[b.list[i].Partition] = nil
	}
	clear(b.list)
	b.list = b.list[:0]
	b.size, b.limits = 0, limits{}
}
