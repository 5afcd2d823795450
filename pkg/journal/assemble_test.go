package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"reflect"
	"slices"
	"testing"
)

// compacted is a shard's log: owners append, a cleaner may at any moment drop, in any prefix, a record of whose key a newer
// one is in that prefix.
type compacted struct {
	r       *rand.Rand
	log     []entry
	next    int64
	epoch   int16
	number  uint64
	k       int64
	index   uint64
	encoder decisionEncoder
	want    History
	chunks  int
}

func (l *compacted) append(key, value []byte) {
	l.log = append(l.log, entry{offset: l.next, key: key, value: value, producerID: 7, producerEpoch: l.epoch})
	l.next += 1 + l.r.Int63n(2) // markers and other shards lie between
}

func (l *compacted) step() {
	switch l.r.Intn(6) {
	case 0:
		l.epoch++
		l.append(ownerKey("s"), []byte{version})
	case 1:
		l.number++
		c := checkpoint(l.k, binary.AppendUvarint(nil, l.r.Uint64()))
		c.Offset = l.next
		z, err := encodeCheckpoint(c)
		if err != nil {
			panic(err)
		}
		l.chunks = 1 + l.r.Intn(4)
		size := (len(z) + l.chunks - 1) / l.chunks
		for i := range l.chunks {
			x := chunk{checkpoint: l.number, index: uint64(i), count: uint64(l.chunks), piece: z[min(i*size, len(z)):min((i+1)*size, len(z))]}
			l.append(appendKey(nil, "s", kindChunk, uint64(i)), x.append(nil))
		}
		l.want = History{Checkpoint: c, Delivered: max(l.want.Delivered, c.Delivered)}
		l.index = 0
	case 2:
		l.clean()
	default:
		l.k++
		d := decision(l.k)
		p := l.encoder.encode(nil, decisionsHead{checkpoint: l.number, index: l.index}, []Decision{d})
		l.append(appendKey(nil, "s", kindDecision, l.index), p)
		l.index++
		l.want.Decisions = append(l.want.Decisions, d)
	}
}

func (l *compacted) clean() {
	prefix := l.r.Intn(len(l.log) + 1)
	newest := map[string]int{}
	for i, e := range l.log[:prefix] {
		newest[string(e.key)] = i
	}
	i := -1
	l.log = slices.DeleteFunc(l.log, func(e entry) bool {
		i++
		return i < prefix && newest[string(e.key)] != i && l.r.Intn(4) > 0
	})
}

// read reads the log record by record, the cleaner going on meanwhile.
func (l *compacted) read(from int64, cleaning bool) (*assembler, error) {
	a := newAssembler("s")
	for at := from; ; {
		i := slices.IndexFunc(l.log, func(e entry) bool { return e.offset >= at })
		if i < 0 {
			return a, nil
		}
		e := l.log[i]
		if err := a.add(&e); err != nil {
			return nil, err
		}
		at = e.offset + 1
		if cleaning && l.r.Intn(3) == 0 {
			l.clean()
		}
	}
}

// Whatever the cleaner takes, before and while the log is read, what is read is what was written last.
func TestAssembleDuringCompaction(t *testing.T) {
	for seed := range int64(500) {
		l := &compacted{r: rand.New(rand.NewSource(seed))}
		for range 5 + l.r.Intn(60) {
			l.step()
		}
		from := int64(0)
		if l.want.Checkpoint != nil && seed%2 == 0 {
			from = l.want.Checkpoint.Offset
		}
		a, err := l.read(from, true)
		if err != nil {
			t.Fatal(err)
		}
		h, err := a.history()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !reflect.DeepEqual(h, &l.want) {
			t.Fatalf("seed %d:\n got %s\nwant %s", seed, show(h), show(&l.want))
		}
	}
}

// A record that is lost for no such reason is noticed, unless it is the last one: of that nobody can know.
func TestAssembleNoticesLoss(t *testing.T) {
	lost := 0
	for seed := range int64(500) {
		l := &compacted{r: rand.New(rand.NewSource(seed))}
		for range 5 + l.r.Intn(40) {
			l.step()
		}
		var live []int // records that count
		for i, e := range l.log {
			if kind, n, ok := parseKey(e.key, "s"); ok && l.want.Checkpoint != nil && e.offset >= l.want.Checkpoint.Offset && kind != kindOwner &&
				!(kind == kindDecision && n+1 == l.index) {
				live = append(live, i)
			}
		}
		if len(live) == 0 {
			continue
		}
		i := live[l.r.Intn(len(live))]
		if l.chunks == 1 && l.index == 0 {
			continue // the last checkpoint is gone without a trace
		}
		what := fmt.Sprintf("offset %d, %s", l.log[i].offset, l.log[i].key)
		l.log = slices.Delete(l.log, i, i+1)
		a, err := l.read(0, false)
		if err != nil {
			t.Fatal(err)
		}
		if h, err := a.history(); !errors.Is(err, ErrLost) {
			t.Fatalf("seed %d, without %s: %s, %v, before %s", seed, what, show(h), err, show(&l.want))
		}
		lost++
	}
	if lost < 150 {
		t.Errorf("only %d cases", lost)
	}
}

// What a superseded owner writes after its successor does not count.
func TestAssembleIgnoresTheSuperseded(t *testing.T) {
	var e decisionEncoder
	at := int64(0)
	a := newAssembler("s")
	add := func(epoch int16, index uint64, k int64) {
		t.Helper()
		p := e.encode(nil, decisionsHead{index: index}, []Decision{decision(k)})
		at++
		if err := a.add(&entry{offset: at, key: appendKey(nil, "s", kindDecision, index), value: p, producerID: 9, producerEpoch: epoch}); err != nil {
			t.Fatal(err)
		}
	}
	add(1, 0, 1)
	if err := a.add(&entry{offset: 100, key: ownerKey("s"), value: []byte{version}, producerID: 9, producerEpoch: 2}); err != nil {
		t.Fatal(err)
	}
	at = 100
	add(1, 1, 2) // a zombie
	add(2, 1, 3)
	h, err := a.history()
	if err != nil || a.ignored != 1 {
		t.Fatal(err, a.ignored)
	}
	wantHistory(t, h, &History{Decisions: []Decision{decision(1), decision(3)}})
}
