package sim

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/windrow-io/windrow/pkg/record"
)

// Kafka's error codes, as far as the model gives them.
const (
	offsetOutOfRange       = 1
	unknownTopic           = 3
	notLeader              = 6
	requestTimedOut        = 7
	coordinatorLoading     = 14
	notCoordinator         = 16
	illegalGeneration      = 22
	unknownMember          = 25
	topicExists            = 36
	outOfOrderSequence     = 45
	invalidProducerEpoch   = 47
	invalidTxnState        = 48
	invalidProducerMapping = 49
	concurrentTransactions = 51
)

// kafkaModel is a Kafka cluster: partitions with idempotent and transactional producers, transaction coordinators that
// write their markers one by one after they have decided, groups and their offsets.
//
// An epoch is fenced where Kafka does it: by the coordinator at AddPartitionsToTxn and EndTxn, by a partition when it has
// seen a newer epoch there – in a batch, or in a marker. InitProducerID alone fences nothing at the partitions.
type kafkaModel struct {
	w      *world
	topics map[string]*topic
	txns   map[string]*txn
	groups map[string]*group
	nextID int64 // of producers
	moves  uint32
}

// coordinator is the broker that coordinates a transactional id.
func (k *kafkaModel) coordinator(name string) int32 {
	h := fnv.New32a()
	io.WriteString(h, name)
	return 1 + int32((h.Sum32()>>8+k.moves)%uint32(k.w.plan.brokers))
}

// move gives a partition, or what is coordinated, to the other broker.
func (k *kafkaModel) move() {
	k.w.count("leader moved")
	var all []*partition
	for _, name := range slices.Sorted(maps.Keys(k.topics)) {
		all = append(all, k.topics[name].partitions...)
	}
	i := k.w.rnd.IntN(len(all) + 1)
	if i == len(all) {
		k.moves++
		k.w.note("other brokers coordinate")
		return
	}
	all[i].leader = 1 + all[i].leader%k.w.plan.brokers
	k.w.note("broker %d leads %v", all[i].leader, all[i].at)
}

type topic struct {
	name       string
	id         [16]byte
	partitions []*partition
	compacted  bool
}

type tp struct {
	topic string
	part  int32
}

type partition struct {
	at        tp
	leader    int32
	batches   []batch
	start     int64
	next      int64 // high watermark and end
	producers map[int64]*producer
	aborted   []abortedTxn
	open      map[int64]int64 // producer → first offset of its open transaction
}

type batch struct {
	record.Batch
	aborted bool // known once its marker is written
}

type producer struct {
	epoch  int16
	recent []written // the last batches of the epoch
}

type written struct {
	first, last int32 // sequence numbers
	offset      int64
}

type abortedTxn struct{ id, first, last int64 }

type txn struct {
	name    string
	id      int64
	epoch   int16
	timeout time.Duration
	state   string // "" (empty or completed), ongoing, commit, abort
	done    string // how the last one was completed
	parts   map[tp]bool
	serial  int // of transactions, for the time-out
	left    int // markers to be written
}

// group is a consumer group: ingest's members, and the offsets.
type group struct {
	generation int32
	members    []*member
	assigned   map[*member][]tp
	offsets    map[tp]committed
}

type committed struct {
	offset   int64
	metadata string
}

func newKafka(w *world) *kafkaModel {
	return &kafkaModel{w: w, topics: map[string]*topic{}, txns: map[string]*txn{}, groups: map[string]*group{}, nextID: 1000}
}

func (k *kafkaModel) createTopic(name string, partitions int, compacted bool) *topic {
	t := &topic{name: name, compacted: compacted}
	copy(t.id[:], fmt.Sprintf("id-%-13s", name))
	for i := range partitions {
		t.partitions = append(t.partitions, &partition{at: tp{name, int32(i)}, leader: 1 + k.w.rnd.Int32N(k.w.plan.brokers), producers: map[int64]*producer{}, open: map[int64]int64{}})
	}
	k.topics[name] = t
	return t
}

func (k *kafkaModel) partition(at tp) *partition {
	t := k.topics[at.topic]
	if t == nil || at.part < 0 || int(at.part) >= len(t.partitions) {
		return nil
	}
	return t.partitions[at.part]
}

func (k *kafkaModel) group(name string) *group {
	g := k.groups[name]
	if g == nil {
		g = &group{offsets: map[tp]committed{}, assigned: map[*member][]tp{}}
		k.groups[name] = g
	}
	return g
}

// stable is the last stable offset.
func (p *partition) stable() int64 {
	lso := p.next
	for _, first := range p.open {
		lso = min(lso, first)
	}
	return lso
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// add puts a batch at the log's end; raw becomes the model's.
func (p *partition) add(raw []byte) batch {
	binary.BigEndian.PutUint64(raw, uint64(p.next))
	binary.BigEndian.PutUint32(raw[12:], 0) // leader epoch
	b, rest, err := record.ParseBatch(raw)
	if err != nil || len(rest) > 0 {
		panic(fmt.Sprintf("sim: a batch that Kafka would refuse: %v", err))
	}
	if err := b.CheckCRC(); err != nil {
		panic(err)
	}
	p.batches = append(p.batches, batch{Batch: b})
	p.next = b.Next()
	return p.batches[len(p.batches)-1]
}

// append is what a leader does with a batch of a producer.
func (k *kafkaModel) append(p *partition, raw []byte, txnID string) (base int64, code int16) {
	b, _, err := record.ParseBatch(raw)
	if err != nil {
		panic(err)
	}
	s := p.producers[b.ProducerID]
	if s != nil && b.ProducerEpoch < s.epoch {
		k.w.count("fenced at a partition")
		return -1, invalidProducerEpoch
	}
	if b.Transactional() {
		if code := k.verify(p, &b, txnID); code != 0 {
			return -1, code
		}
	} else if _, open := p.open[b.ProducerID]; open {
		k.w.count("refused within another transaction")
		return -1, invalidTxnState
	}
	last := b.BaseSequence + b.Count - 1
	if s == nil || s.epoch < b.ProducerEpoch {
		if b.BaseSequence != 0 {
			return -1, outOfOrderSequence
		}
		s = &producer{epoch: b.ProducerEpoch}
	} else {
		for _, x := range s.recent {
			if x.first == b.BaseSequence && x.last == last {
				k.w.count("batch sent twice")
				return x.offset, 0
			}
		}
		want := int32(0)
		if n := len(s.recent); n > 0 {
			want = s.recent[n-1].last + 1
		}
		if b.BaseSequence != want {
			return -1, outOfOrderSequence
		}
	}
	p.producers[b.ProducerID] = s
	base = p.add(slices.Clone(raw)).BaseOffset
	s.recent = append(s.recent, written{b.BaseSequence, last, base})
	if len(s.recent) > 5 {
		s.recent = s.recent[1:]
	}
	if _, open := p.open[b.ProducerID]; b.Transactional() && !open {
		p.open[b.ProducerID] = base
	}
	return base, 0
}

// verify is what leaders ask coordinators since Kafka 3.6 before a producer's first batch of a transaction.
func (k *kafkaModel) verify(p *partition, b *record.Batch, txnID string) int16 {
	if _, open := p.open[b.ProducerID]; open || !k.w.plan.verify {
		return 0
	}
	t := k.txns[txnID]
	switch {
	case t == nil || t.id != b.ProducerID:
		return invalidProducerMapping
	case t.epoch != b.ProducerEpoch:
		k.w.count("fenced by the verification")
		return invalidProducerEpoch
	case t.state != "ongoing" || !t.parts[p.at]:
		k.w.count("refused by the verification")
		return invalidTxnState
	}
	return 0
}

// initProducer is InitProducerID.
func (k *kafkaModel) initProducer(name string, timeout time.Duration) (id int64, epoch, code int16) {
	t := k.txns[name]
	if t == nil {
		k.nextID++
		t = &txn{name: name, id: k.nextID, epoch: -1, parts: map[tp]bool{}}
		k.txns[name] = t
	}
	switch t.state {
	case "ongoing":
		k.w.count("transaction aborted by a newer epoch")
		k.bump(t)
		k.decide(t, "abort")
		return -1, -1, concurrentTransactions
	case "commit", "abort":
		k.w.count("concurrent transactions (51)")
		return -1, -1, concurrentTransactions
	}
	k.bump(t)
	t.timeout, t.done = timeout, ""
	return t.id, t.epoch, 0
}

func (k *kafkaModel) bump(t *txn) {
	if t.epoch == math.MaxInt16 {
		k.nextID++
		t.id, t.epoch = k.nextID, -1
	}
	t.epoch++
}

func (k *kafkaModel) current(name string, id int64, epoch int16) (*txn, int16) {
	t := k.txns[name]
	switch {
	case t == nil || t.id != id:
		return nil, invalidProducerMapping
	case t.epoch != epoch:
		k.w.count("fenced at the coordinator")
		return nil, invalidProducerEpoch
	}
	return t, 0
}

// addPartitions is AddPartitionsToTxn.
func (k *kafkaModel) addPartitions(name string, id int64, epoch int16, parts []tp) int16 {
	t, code := k.current(name, id, epoch)
	if code != 0 {
		return code
	}
	switch t.state {
	case "commit", "abort":
		k.w.count("concurrent transactions (51)")
		return concurrentTransactions
	case "":
		t.state, t.parts = "ongoing", map[tp]bool{}
		t.serial++
		serial := t.serial
		k.w.after(t.timeout, func() {
			if t.state == "ongoing" && t.serial == serial {
				k.w.note("the transaction of %s times out", t.name)
				k.w.count("transaction timed out")
				k.bump(t)
				k.decide(t, "abort")
			}
		})
	}
	for _, at := range parts {
		t.parts[at] = true
	}
	return 0
}

// end is EndTxn.
func (k *kafkaModel) end(name string, id int64, epoch int16, commit bool) int16 {
	t, code := k.current(name, id, epoch)
	if code != 0 {
		return code
	}
	want := "abort"
	if commit {
		want = "commit"
	}
	switch t.state {
	case "ongoing":
		k.decide(t, want)
		return 0
	case want:
		return concurrentTransactions
	case "":
		if t.done == want {
			return 0
		}
	}
	return invalidTxnState
}

// decide ends a transaction; its markers are written later, one by one.
func (k *kafkaModel) decide(t *txn, how string) {
	t.state, t.done = how, ""
	t.left = len(t.parts)
	parts := slices.SortedFunc(maps.Keys(t.parts), func(a, b tp) int { return compareTP(a, b) })
	for _, at := range parts {
		d := time.Duration(50_000 + k.w.rnd.Int64N(int64(2*time.Millisecond)))
		if k.w.chance(k.w.plan.slowMarkers) && !k.w.quiet {
			d = time.Duration(k.w.rnd.Int64N(int64(2 * time.Second)))
			k.w.count("slow marker")
		}
		p, id, epoch := k.partition(at), t.id, t.epoch
		k.w.after(d, func() {
			k.mark(p, id, epoch, how == "commit")
			if t.left--; t.left == 0 {
				t.state, t.done = "", how
			}
		})
	}
	if t.left == 0 {
		t.state, t.done = "", how
	}
}

// mark writes a marker.
func (k *kafkaModel) mark(p *partition, id int64, epoch int16, commit bool) {
	first, open := p.open[id]
	at := p.add(marker(id, epoch, commit)).BaseOffset
	s := p.producers[id]
	if s == nil || s.epoch < epoch {
		p.producers[id] = &producer{epoch: epoch}
	}
	if !open {
		return
	}
	delete(p.open, id)
	if commit {
		return
	}
	p.aborted = append(p.aborted, abortedTxn{id, first, at})
	for i := range p.batches {
		if b := &p.batches[i]; b.ProducerID == id && b.Transactional() && b.BaseOffset >= first && b.BaseOffset < at {
			b.aborted = true
		}
	}
}

// marker is a control batch.
func marker(id int64, epoch int16, commit bool) []byte {
	kind := byte(0)
	if commit {
		kind = 1
	}
	var b record.Builder
	b.Add(time.Now().UnixMilli(), []byte{0, 0, 0, kind}, []byte{0, 0, 0, 0, 0, 0})
	raw, err := b.Seal(record.Producer{ID: id, Epoch: epoch}, -1, true, record.None)
	if err != nil {
		panic(err)
	}
	raw[22] |= 0x20 // control
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], castagnoli))
	return raw
}

// fetch returns batches from an offset on.
func (p *partition) fetch(offset int64, maxBytes int, readCommitted bool) (raw []byte, aborted []abortedTxn, code int16) {
	if offset < p.start || offset > p.next {
		return nil, nil, offsetOutOfRange
	}
	end := p.next
	if readCommitted {
		end = p.stable()
	}
	i, _ := slices.BinarySearchFunc(p.batches, offset, func(b batch, o int64) int {
		if b.Next() <= o {
			return -1
		}
		return 1
	})
	from, to := int64(-1), int64(0)
	for ; i < len(p.batches) && p.batches[i].BaseOffset < end; i++ {
		b := &p.batches[i]
		if len(raw) > 0 && len(raw)+len(b.Raw) > maxBytes {
			break
		}
		if from < 0 {
			from = b.BaseOffset
		}
		to = b.Next()
		raw = append(raw, b.Raw...)
	}
	if readCommitted && from >= 0 {
		for _, a := range p.aborted {
			if a.last >= from && a.first < to {
				aborted = append(aborted, a)
			}
		}
	}
	return raw, aborted, 0
}

// compact removes what a later committed record of the same key replaces, and what was aborted. Markers stay, and so does
// the log's last batch.
func (p *partition) compact() (removed int) {
	stable := p.stable()
	latest := map[string]int64{}
	key := func(b *batch) (k string) {
		var d record.Decoder
		if err := d.Decode(&b.Batch, &record.Record{}, b.BaseOffset, func(r *record.Record) { k = string(r.Key) }); err != nil {
			panic(err)
		}
		return k
	}
	for i := range p.batches {
		if b := &p.batches[i]; !b.Control() && !b.aborted && b.Next() <= stable {
			latest[key(b)] = b.BaseOffset
		}
	}
	last := len(p.batches) - 1
	kept := p.batches[:0:0]
	for i := range p.batches {
		b := &p.batches[i]
		gone := i < last && !b.Control() && b.Count == 1 && b.Next() <= stable && (b.aborted || latest[key(b)] != b.BaseOffset)
		if gone {
			removed++
			continue
		}
		kept = append(kept, *b)
	}
	p.batches = kept
	return removed
}

// retain removes whole batches before an offset: retention.
func (p *partition) retain(offset int64) {
	n := 0
	for n < len(p.batches)-1 && p.batches[n].Next() <= offset && p.batches[n].Next() <= p.stable() {
		n++
	}
	if n > 0 {
		p.start = p.batches[n].BaseOffset
		p.batches = p.batches[n:]
		p.aborted = slices.DeleteFunc(p.aborted, func(a abortedTxn) bool { return a.last < p.start })
	}
}

func compareTP(a, b tp) int {
	if a.topic != b.topic {
		if a.topic < b.topic {
			return -1
		}
		return 1
	}
	return int(a.part - b.part)
}
