package journal

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// The kinds of a shard's records.
const (
	kindChunk    = 'c'
	kindDecision = 'd'
	kindOwner    = 'o'
)

const startKey = "start"

const wayOut = "was the topic cut (kafka-delete-records, retention), or a broker's disk lost? Restore it, or start anew under another PIPELINE"

// appendKey appends `<shard>/c/<i>` or `<shard>/d/<i>`.
func appendKey(dst []byte, shard string, kind byte, i uint64) []byte {
	dst = append(dst, shard...)
	dst = append(dst, '/', kind, '/')
	return strconv.AppendUint(dst, i, 10)
}

const ownerSuffix = "/o"

func ownerKey(shard string) []byte { return []byte(shard + ownerSuffix) }

// parseKey tells the kind and index of a key, if it is one of the shard's. Names of shards may hold slashes.
func parseKey(key []byte, shard string) (kind byte, i uint64, ok bool) {
	rest, ok := strings.CutPrefix(string(key), shard)
	if ok && rest == ownerSuffix {
		return kindOwner, 0, true
	}
	if !ok || len(rest) < 4 || rest[0] != '/' || rest[2] != '/' {
		return 0, 0, false
	}
	i, err := strconv.ParseUint(rest[3:], 10, 63)
	return rest[1], i, err == nil
}

// entry is a record of the journal and the batch's producer.
type entry struct {
	offset        int64
	key, value    []byte
	producerID    int64
	producerEpoch int16
}

// assembler makes a shard's history out of its records in log order. Compaction may be at work while it reads: of older
// checkpoints and decisions it may see any part.
type assembler struct {
	shard string

	// The checkpoint that is being gathered: chunks 0 … len-1 have come. first is chunk 0's offset.
	gathering chunk
	gathered  []byte
	next      uint64 // index of the chunk to come; 0: nothing is being gathered
	first     int64

	base      uint64 // number of the last complete checkpoint; 0: none
	baseAt    int64
	compacted []byte // the last complete checkpoint as it was compressed

	records []decisionsRecord // of decisions, since then

	highest   uint64 // number of the newest checkpoint of which anything was seen
	delivered int64

	producerID    int64 // the newest epoch seen of a producer id
	producerEpoch int16
	ignored       int // records of an older epoch
}

type decisionsRecord struct {
	decisionsHead
	decisions []Decision
	offset    int64
}

// add takes the shard's next record; others it passes over.
func (a *assembler) add(e *entry) error {
	kind, i, ok := parseKey(e.key, a.shard)
	if !ok || len(e.value) == 0 {
		return nil // a tombstone is nobody's of ours
	}
	if a.superseded(e) {
		a.ignored++
		return nil
	}
	switch kind {
	case kindChunk:
		return a.chunk(e, i)
	case kindDecision:
		return a.decisions(e, i)
	}
	return nil
}

// superseded reports whether e was written by an epoch older than one already seen. The broker refuses such a record, so
// long as it remembers the producer, which it does for a day; without a transaction nothing else would.
func (a *assembler) superseded(e *entry) bool {
	if e.producerID < 0 {
		return false
	}
	if e.producerID == a.producerID && e.producerEpoch < a.producerEpoch {
		return true
	}
	a.producerID, a.producerEpoch = e.producerID, e.producerEpoch
	return false
}

func (a *assembler) chunk(e *entry, i uint64) error {
	c, err := decodeChunk(e.value)
	if err != nil {
		return a.unreadable(e, err)
	}
	if c.index != i {
		return a.unreadable(e, fmt.Errorf("%w: it says that it is chunk %d", errFormat, c.index))
	}
	a.highest = max(a.highest, c.checkpoint)
	switch {
	case i == 0:
		a.gathering, a.gathered, a.first = c, a.gathered[:0], e.offset
	case i != a.next, c.checkpoint != a.gathering.checkpoint, c.count != a.gathering.count:
		// The rest of an older checkpoint, whose head was compacted away; a part of it is no good.
		a.next = 0
		return nil
	}
	a.gathered = append(a.gathered, c.piece...)
	a.next = i + 1
	if a.next < c.count {
		return nil
	}
	a.base, a.baseAt = c.checkpoint, a.first
	a.compacted, a.gathered = a.gathered, nil
	a.records, a.next = a.records[:0], 0
	return nil
}

func (a *assembler) decisions(e *entry, i uint64) error {
	h, ds, err := decodeDecisions(e.value)
	if err != nil {
		return a.unreadable(e, err)
	}
	if h.index != i {
		return a.unreadable(e, fmt.Errorf("%w: it says that it is record %d", errFormat, h.index))
	}
	a.delivered = max(a.delivered, h.delivered)
	a.records = append(a.records, decisionsRecord{h, ds, e.offset})
	return nil
}

func (a *assembler) unreadable(e *entry, err error) error {
	return fmt.Errorf("offset %d, key %s: %w", e.offset, e.key, err)
}

// history is the shard's history, once everything has been added.
func (a *assembler) history() (*History, error) {
	if a.highest != a.base { // a checkpoint is one transaction: all of it, or nothing
		return nil, fmt.Errorf("%w: of shard %s's checkpoint %d only a part is there: %s", ErrLost, a.shard, a.highest, wayOut)
	}
	h := &History{Delivered: a.delivered}
	if a.base > 0 {
		c, err := decodeCheckpoint(a.compacted)
		if err != nil {
			return nil, fmt.Errorf("checkpoint %d of shard %s: %w", a.base, a.shard, err)
		}
		c.Offset = a.baseAt
		h.Checkpoint = c
		h.Delivered = max(h.Delivered, c.Delivered)
	}
	for n, r := range a.records {
		if r.checkpoint != a.base || r.index != uint64(n) {
			return nil, fmt.Errorf("%w: behind checkpoint %d of shard %s, decisions %d are missing: offset %d holds number %d behind checkpoint %d: %s",
				ErrLost, a.base, a.shard, n, r.offset, r.index, r.checkpoint, wayOut)
		}
		h.Decisions = append(h.Decisions, r.decisions...)
	}
	return h, nil
}

// complete reports whether a complete checkpoint has come.
func (a *assembler) complete() bool { return a.base > 0 }

func newAssembler(shard string) *assembler {
	return &assembler{shard: shard, producerID: math.MinInt64}
}
