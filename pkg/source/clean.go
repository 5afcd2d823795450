package source

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
)

// cleaned is what is left of one partition's answer.
type cleaned struct {
	batches []byte // whole data batches of committed transactions or none, side by side
	next    int64  // the offset after everything looked at, kept or dropped
	count   int    // batches kept
	records int64  // in them, by their headers
	epoch   int32  // the leader epoch of the last batch, kept or dropped; -1: there was none
}

// cleaner drops from an answer what is not data. Its zero value is ready; it reuses its memory.
type cleaner struct {
	aborting map[int64]bool // producers whose transaction at this point of the log was aborted
}

// clean moves the data batches of f at or after offset from together, within f.Records. The first may begin before from,
// for a batch can't be split. Only the batches dropped have had their CRC checked: a wrong bit must not drop data.
// lastEpoch is the leader epoch of the last batch before: a lower one ends the cleaning with errEpochFell.
//
// After an error what was cleaned before it is good.
func (c *cleaner) clean(f *wire.Fetched, from int64, lastEpoch int32) (cleaned, error) {
	out := cleaned{next: from, epoch: -1}
	clear(c.aborting)
	aborted := f.Aborted
	if len(aborted) > 1 {
		slices.SortFunc(aborted, func(a, b wire.Aborted) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	}
	kept := 0
	fail := func(err error) (cleaned, error) {
		out.batches = f.Records[:kept:kept]
		if errors.Is(err, errEpochFell) {
			return out, err
		}
		return out, &CorruptError{TopicPartition{f.Topic, f.Partition}, out.next, err}
	}
	for p := f.Records; len(p) > 0; {
		b, rest, err := record.ParseBatch(p)
		if errors.Is(err, record.ErrShort) {
			break // the answer's last batch is cut off
		}
		if errors.Is(err, record.ErrMagic) {
			return fail(fmt.Errorf("%w: it was written in the message format of Kafka 0.10 or older; copy the topic with a current producer", err))
		}
		if err != nil {
			return fail(err)
		}
		p = rest
		if b.Next() <= out.next {
			continue // wholly before what was asked for
		}
		if b.LeaderEpoch >= 0 {
			if b.LeaderEpoch < lastEpoch {
				return fail(errEpochFell)
			}
			lastEpoch = b.LeaderEpoch
			out.epoch = b.LeaderEpoch
		}
		drop := b.Control()
		if len(f.Aborted) > 0 && b.ProducerID >= 0 {
			for len(aborted) > 0 && aborted[0].FirstOffset < b.Next() {
				if c.aborting == nil {
					c.aborting = map[int64]bool{}
				}
				c.aborting[aborted[0].ProducerID] = true
				aborted = aborted[1:]
			}
			drop = drop || b.Transactional() && c.aborting[b.ProducerID]
		}
		if drop {
			if err := b.CheckCRC(); err != nil {
				return fail(err)
			}
			if b.Control() {
				// Commit or abort, whatever transaction of this producer was aborted before has its end here at the latest.
				delete(c.aborting, b.ProducerID)
			}
			out.next = b.Next()
			continue
		}
		at := len(f.Records) - len(rest) - len(b.Raw)
		if at > kept {
			copy(f.Records[kept:], b.Raw)
		}
		kept += len(b.Raw)
		out.next = b.Next()
		out.count++
		out.records += int64(b.Count)
	}
	out.batches = f.Records[:kept:kept]
	return out, nil
}

// errEpochFell: a batch was written under an older leader epoch than one before it, which one topic's log never shows.
var errEpochFell = errors.New("the leader epoch in the batches fell")

// nextCut finds where an entry of about size bytes ends in batches: behind the first batch that completes it. It
// checks the CRC of every batch on the way.
func nextCut(batches []byte, size int) (cut int, next, records int64, err error) {
	for p := batches; len(p) > 0 && cut < size; {
		b, rest, err := record.ParseBatch(p)
		if err == nil {
			err = b.CheckCRC()
		}
		if err != nil {
			return cut, next, records, err
		}
		p = rest
		cut = len(batches) - len(rest)
		next = b.Next()
		records += int64(b.Count)
	}
	return cut, next, records, nil
}
