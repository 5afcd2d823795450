package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
)

// batch builds a batch of n records at an offset whose values are their offsets.
func batch(t *testing.T, base int64, n int, change ...func(b []byte)) []byte {
	t.Helper()
	var b record.Builder
	b.Reset()
	for i := range n {
		b.Add(1, nil, fmt.Appendf(nil, "v%03d", base+int64(i)))
	}
	raw, err := b.Seal(record.Producer{ID: -1, Epoch: -1}, -1, false, record.None)
	if err != nil {
		t.Fatal(err)
	}
	raw = slices.Clone(raw)
	binary.BigEndian.PutUint64(raw, uint64(base))
	for _, f := range change {
		f(raw)
	}
	return raw
}

func leaderEpoch(e int32) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint32(b[12:], uint32(e)) }
}

func corrupt(b []byte) { b[len(b)-1] ^= 1 }

func cleanAll(t *testing.T, records []byte, from int64, epoch int32) (cleaned, error) {
	t.Helper()
	var c cleaner
	return c.clean(&wire.Fetched{Topic: "in", Partition: 3, Records: records}, from, epoch)
}

func TestCleanCutsOffWhatIsIncomplete(t *testing.T) {
	whole := slices.Concat(batch(t, 10, 5), batch(t, 15, 5))
	for _, cut := range []int{0, 1, 11, 40, len(whole)/2 - 1} {
		out, err := cleanAll(t, slices.Clone(whole[:len(whole)-cut]), 10, -1)
		next := int64(20)
		if cut > 0 {
			next = 15
		}
		if err != nil || out.next != next || out.records != next-10 {
			t.Errorf("%d bytes less: next %d, %d records, %v", cut, out.next, out.records, err)
		}
	}
}

func TestCleanBeginsInsideABatchAndLeapsOverHoles(t *testing.T) {
	out, err := cleanAll(t, slices.Concat(batch(t, 10, 5), batch(t, 15, 5), batch(t, 100, 1)), 17, -1)
	if err != nil || out.next != 101 || out.count != 2 || binary.BigEndian.Uint64(out.batches) != 15 {
		t.Fatalf("%+v %v", out, err)
	}
	if got := decode(t, out.batches, 17, 101); !slices.Equal(got, []string{"17:v017", "18:v018", "19:v019", "100:v100"}) {
		t.Fatal(got)
	}
}

func TestCleanRefusesOldFormats(t *testing.T) {
	old := batch(t, 11, 1, func(b []byte) { b[16] = 1 })
	out, err := cleanAll(t, slices.Concat(batch(t, 10, 1), old), 10, -1)
	var bad *CorruptError
	if !errors.As(err, &bad) || !errors.Is(err, record.ErrMagic) || bad.Offset != 11 || bad.Partition != 3 {
		t.Fatal(err)
	}
	if out.next != 11 || out.count != 1 {
		t.Fatalf("what is good before is lost: %+v", out)
	}
}

func TestCleanSeesTheLeaderEpochFall(t *testing.T) {
	log := slices.Concat(batch(t, 10, 1, leaderEpoch(7)), batch(t, 11, 1, leaderEpoch(7)), batch(t, 12, 1, leaderEpoch(6)))
	out, err := cleanAll(t, slices.Clone(log), 10, 5)
	if !errors.Is(err, errEpochFell) || out.next != 12 || out.epoch != 7 {
		t.Fatalf("%+v %v", out, err)
	}
	if out, err = cleanAll(t, slices.Clone(log), 10, 8); !errors.Is(err, errEpochFell) || out.next != 10 {
		t.Fatalf("%+v %v", out, err)
	}
	if out, err = cleanAll(t, slices.Concat(batch(t, 10, 1, leaderEpoch(-1)), batch(t, 11, 1, leaderEpoch(8))), 10, 8); err != nil || out.next != 12 {
		t.Fatalf("%+v %v", out, err)
	}
}

func chunkOf(batches []byte, from, next int64) *Chunk {
	return &Chunk{From: from, Next: next, tp: TopicPartition{"in", 0}, batches: batches, rest: from}
}

func TestEntriesAreWholeBatches(t *testing.T) {
	var log []byte
	for i := range 10 {
		log = append(log, batch(t, int64(i*10), 10)...)
	}
	one := len(log) / 10
	for _, size := range []int{1, one, one + 1, 3 * one, len(log), 10 * len(log)} {
		c := chunkOf(log, 5, 130) // what follows 100 was dropped
		var all []byte
		at := int64(5)
		for {
			e, ok, err := c.Entry(size)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if e.From != at || len(e.Batches)%one != 0 || len(e.Batches) > size+one || e.Next < 130 && len(e.Batches) < size {
				t.Fatalf("size %d: entry %d-%d of %d bytes", size, e.From, e.Next, len(e.Batches))
			}
			all = append(all, e.Batches...)
			at = e.Next
		}
		if at != 130 || !slices.Equal(all, log) {
			t.Fatalf("size %d: up to %d, %d of %d bytes", size, at, len(all), len(log))
		}
	}
	if e, ok, err := chunkOf(nil, 7, 9).Entry(1); err != nil || !ok || e.From != 7 || e.Next != 9 || len(e.Batches) != 0 {
		t.Fatalf("nothing but dropped batches: %+v %v %v", e, ok, err)
	}
}

func TestEntriesEndBeforeACorruptBatch(t *testing.T) {
	c := chunkOf(slices.Concat(batch(t, 0, 10), batch(t, 10, 10), batch(t, 20, 10, corrupt), batch(t, 30, 10)), 0, 40)
	e, ok, err := c.Entry(1 << 20)
	if err != nil || !ok || e.From != 0 || e.Next != 20 || e.Records != 20 {
		t.Fatalf("%+v %v %v", e, ok, err)
	}
	var bad *CorruptError
	if _, _, err = c.Entry(1 << 20); !errors.As(err, &bad) || !errors.Is(err, record.ErrCRC) || bad.Offset != 20 {
		t.Fatal(err)
	}
}

// TestDroppedBatchesAreChecked: a wrong bit must not turn data into something to drop.
func TestDroppedBatchesAreChecked(t *testing.T) {
	control := batch(t, 10, 1, func(b []byte) { b[22] |= 1 << 5 }) // the CRC does not cover this change
	out, err := cleanAll(t, control, 10, -1)
	if !errors.Is(err, record.ErrCRC) || out.next != 10 {
		t.Fatalf("%+v %v", out, err)
	}
}
