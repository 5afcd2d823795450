// Package shard says which of a stream's own shards, 0 … SHARDS-1, a record belongs to. Ingest spreads by it what it
// appends; an owner keeps by it its part of what it reads from the source itself. That both find the same is what lets a
// record reach one shard, and only one, whatever the buffer has lost.
//
// The package is pure: what it says depends on the record's bytes alone.
package shard

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/record"
)

// Spread spreads records over shards. Not safe for concurrent use.
type Spread struct {
	shards uint64
	key    field.Ref
	text   []byte
	batch  []record.Record // the one in hand
}

// New makes a Spread over so many shards, at least 1, by the field that key refers to (SHARD_KEY, see field.Parse).
func New(shards int, key string) (*Spread, error) {
	if shards < 1 {
		return nil, errors.New("there is no shard to spread over")
	}
	ref, err := field.Parse(key)
	if err != nil {
		return nil, fmt.Errorf("SHARD_KEY=%s: %w", key, err)
	}
	return &Spread{shards: uint64(shards), key: ref}, nil
}

// Name is the name of the i-th shard.
func Name(i int) string { return strconv.Itoa(i) }

// Number is the number of the shard of that name; ok is false if it is the name of no such shard: one of a source
// partition, or the direct one.
func Number(name string) (i int, ok bool) {
	i, err := strconv.Atoi(name)
	return i, err == nil && i >= 0 && Name(i) == name
}

// Keyless is the shard of records that lack the key (no such field, null, a value that is not JSON), and of batches that
// can't be read: whatever becomes of them is the pipeline's to say, by its own settings.
func (s *Spread) Keyless() int { return s.of(nil) }

// Of returns r's shard: the hash (xxHash64) of the key's text, modulo the number of shards. keyed is false if it has
// none.
func (s *Spread) Of(r *record.Record) (shard int, keyed bool) {
	var err error
	if s.text, err = s.key.Text(s.text[:0], r); err != nil {
		return s.Keyless(), false
	}
	return s.of(s.text), true
}

func (s *Spread) of(key []byte) int { return int(xxhash.Sum64(key) % s.shards) }

// Batch decodes b with d and calls f for each record with an offset >= from, in offset order, as record.Decoder does, with
// what Of says of it. What the record aliases is valid until d is reset. A batch that can't be decoded is one thing,
// Keyless's: f is called for none of it.
func (s *Spread) Batch(d *record.Decoder, b *record.Batch, proto *record.Record, from int64, f func(shard int, keyed bool, r *record.Record)) error {
	s.batch = s.batch[:0]
	defer func() { clear(s.batch) }() // keeps no batch alive
	if err := d.Decode(b, proto, from, func(r *record.Record) { s.batch = append(s.batch, *r) }); err != nil {
		return err
	}
	for i := range s.batch {
		r := &s.batch[i]
		shard, keyed := s.Of(r)
		f(shard, keyed, r)
	}
	return nil
}
