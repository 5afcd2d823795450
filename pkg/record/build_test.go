package record

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// franz decodes batches with franz-go; ok is false if it finds fault with them. The CRC is checked if asked for.
func franz(batches []byte, crc bool) (rs []*kgo.Record, ok bool) {
	fetched, _ := kgo.ProcessFetchPartition(
		kgo.ProcessFetchPartitionOpts{KeepControlRecords: true, DisableCRCValidation: !crc, Topic: "t", Partition: 5},
		&kmsg.FetchResponseTopicPartition{Partition: 5, RecordBatches: batches, HighWatermark: 1 << 62},
		kgo.DefaultDecompressor(), nil)
	return fetched.Records, fetched.Err == nil
}

// sameAsFranz compares a decoded record with franz-go's.
func sameAsFranz(t *testing.T, got *Record, want *kgo.Record) {
	t.Helper()
	var hs []kgo.RecordHeader
	for h := range got.Headers() {
		hs = append(hs, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	if got.Offset != want.Offset || got.Timestamp != want.Timestamp.UnixMilli() || got.Topic != want.Topic || got.Partition != want.Partition ||
		!reflect.DeepEqual(got.Key, want.Key) || !reflect.DeepEqual(got.Value, want.Value) || !reflect.DeepEqual(hs, want.Headers) {
		t.Fatalf("got\n%+v, franz-go has\n%+v", got, want)
	}
}

func TestSealedBatchIsReadByFranz(t *testing.T) {
	eachCodec(t, func(t *testing.T, c Codec) {
		random := rand.New(rand.NewPCG(5, 6))
		var b Builder
		for range 2 {
			b.Reset()
			var want []Record
			for range 150 {
				r := someRecords()[random.IntN(len(someRecords()))]
				r.Timestamp = 1700000000000 + int64(random.IntN(1<<33))
				b.AddRecord(r.Timestamp, &r)
				want = append(want, r)
			}
			p, err := b.Seal(Producer{ID: 1 << 40, Epoch: 300}, 1<<31-1, true, c)
			if err != nil {
				t.Fatal(err)
			}
			var batch kmsg.RecordBatch
			if err := batch.ReadFrom(p); err != nil {
				t.Fatal(err)
			}
			if batch.Length != int32(len(p)-12) || batch.PartitionLeaderEpoch != -1 || batch.Magic != 2 || batch.Attributes != int16(c)|1<<4 ||
				batch.LastOffsetDelta != 149 || batch.NumRecords != 150 || batch.ProducerID != 1<<40 || batch.ProducerEpoch != 300 || batch.FirstSequence != 1<<31-1 ||
				batch.FirstTimestamp != want[0].Timestamp || batch.MaxTimestamp != slices.MaxFunc(want, func(a, b Record) int { return int(a.Timestamp - b.Timestamp) }).Timestamp {
				t.Fatalf("the header: %+v", batch)
			}
			rs, ok := franz(p, true)
			if !ok || len(rs) != len(want) {
				t.Fatalf("franz-go reads %d records, ok %t", len(rs), ok)
			}
			for i, r := range rs {
				want[i].Topic, want[i].Partition, want[i].Offset = "t", 5, int64(i)
				sameAsFranz(t, &want[i], r)
			}
		}
	})
}

func TestSealAgain(t *testing.T) {
	eachCodec(t, func(t *testing.T, c Codec) {
		var b Builder
		b.Add(1, []byte("k"), []byte("v"))
		for i := range 3 {
			b.Add(2, nil, bytes.Repeat([]byte("v"), 1000))
			for _, p := range []Producer{{ID: 1, Epoch: 1}, {ID: 2}} {
				z, err := b.Seal(p, int32(i), p.ID == 1, c)
				if err != nil {
					t.Fatal(err)
				}
				v := parse(t, z)
				if err := v.CheckCRC(); err != nil {
					t.Fatal(err)
				}
				if v.ProducerID != p.ID || v.ProducerEpoch != p.Epoch || v.BaseSequence != int32(i) || v.Transactional() != (p.ID == 1) {
					t.Fatalf("sealed for %+v: %+v", p, v)
				}
				if rs, err := decode(new(Decoder), &v, 0); err != nil || len(rs) != 2+i {
					t.Fatalf("%d records, %v", len(rs), err)
				}
			}
		}
	})
}

func TestBuilderSize(t *testing.T) {
	var b Builder
	for round := range 2 {
		if b.Len() != 0 || b.Size() != HeaderLen {
			t.Fatalf("an empty builder has %d records, %d bytes", b.Len(), b.Size())
		}
		for i, r := range someRecords() {
			most := b.SizeWith(len(r.Key), len(r.Value), HeadersSize(slices.Collect(r.Headers())...))
			b.AddRecord(int64(i)<<60, &r)
			if b.Size() > most || b.Size() < most-recordOverhead {
				t.Fatalf("%d bytes, at most %d were said", b.Size(), most)
			}
			if b.Len() != i+1 {
				t.Fatalf("%d records, want %d", b.Len(), i+1)
			}
		}
		p, err := b.Seal(Producer{}, 0, false, None)
		if err != nil {
			t.Fatal(err)
		}
		if len(p) != b.Size() {
			t.Fatalf("round %d: %d bytes, Size is %d", round, len(p), b.Size())
		}
		b.Reset()
	}
}

func TestSealRefuses(t *testing.T) {
	var b Builder
	if _, err := b.Seal(Producer{}, 0, false, None); err == nil {
		t.Error("a batch without records is sealed")
	}
	b.Add(0, nil, nil)
	for _, c := range []Codec{5, 7, -1} {
		if _, err := b.Seal(Producer{}, 0, false, c); err == nil {
			t.Errorf("%s is known", c)
		}
	}
}

func TestBuildAllocatesNothing(t *testing.T) {
	var b Builder
	h := Header{Key: "h", Value: []byte("v")}
	value := make([]byte, 200)
	if n := testing.AllocsPerRun(50, func() {
		b.Reset()
		for i := range 1000 {
			b.Add(int64(i), nil, value, h)
		}
		if _, err := b.Seal(Producer{}, 0, true, None); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for 1,000 records", n)
	}
}

// A batch that is taken apart and kept again, in part, has the records of that part at their own places.
func TestKeptRecordsKeepTheirPlaces(t *testing.T) {
	eachCodec(t, func(t *testing.T, c Codec) {
		var b Builder
		for round := range 2 {
			b.Reset()
			var want []Record
			offset := int64(1<<40 + round)
			for i, r := range someRecords() {
				r.Topic, r.Partition, r.Received = "t", 5, 0
				r.Offset, r.Timestamp = offset, 1700000000000-int64(i)
				offset += int64(i*i) + 1
				b.Keep(&r)
				want = append(want, r)
			}
			p, err := b.Seal(Producer{ID: -1, Epoch: -1}, -1, false, c)
			if err != nil {
				t.Fatal(err)
			}
			batch, rest, err := ParseBatch(p)
			if err != nil || len(rest) > 0 || batch.CheckCRC() != nil || batch.BaseOffset != want[0].Offset || batch.Next() != want[len(want)-1].Offset+1 {
				t.Fatalf("%+v, rest %d, %v", batch, len(rest), err)
			}
			read, ok := franz(p, true)
			if !ok || len(read) != len(want) {
				t.Fatalf("franz-go reads %d records, want %d", len(read), len(want))
			}
			for i := range want {
				sameAsFranz(t, &want[i], read[i])
			}
		}
		b.Reset()
		b.Add(1, nil, nil)
		p, err := b.Seal(Producer{}, 0, false, c)
		if err != nil {
			t.Fatal(err)
		}
		if batch, _, err := ParseBatch(p); err != nil || batch.BaseOffset != 0 || batch.LastOffsetDelta != 0 {
			t.Fatalf("after them: %+v, %v", batch, err)
		}
	})
}
