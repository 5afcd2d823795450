package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

var codecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

func eachCodec(t *testing.T, f func(t *testing.T, c Codec)) {
	for _, c := range codecs {
		t.Run(c.String(), func(t *testing.T) { f(t, c) })
	}
}

// decode returns clones of b's records.
func decode(d *Decoder, b *Batch, from int64) (rs []Record, err error) {
	err = d.Decode(b, &Record{Topic: "t", Partition: 5, Offset: 99, Key: []byte("ignored")}, from, func(r *Record) {
		rs = append(rs, r.Clone())
	})
	return rs, err
}

func TestDecodeGivesWhatWasBuilt(t *testing.T) {
	eachCodec(t, func(t *testing.T, c Codec) {
		random := rand.New(rand.NewPCG(3, 4))
		var b Builder
		var want []Record
		for i := range 200 {
			r := someRecords()[random.IntN(len(someRecords()))]
			if i%3 == 0 {
				r.Value = make([]byte, random.IntN(9000))
				for j := range r.Value {
					r.Value[j] = byte(random.Uint32()) // does not compress
				}
			}
			r.Topic, r.Partition, r.Offset, r.Received = "t", 5, 1000+int64(i), 0
			r.Timestamp = 1700000000000 + int64(random.IntN(1<<20)) - 1<<19
			if i%2 == 0 {
				b.AddRecord(r.Timestamp, &r)
			} else {
				b.Add(r.Timestamp, r.Key, r.Value, slices.Collect(r.Headers())...)
			}
			want = append(want, r)
		}
		p, err := b.Seal(Producer{ID: 1, Epoch: 2}, 3, false, c)
		if err != nil {
			t.Fatal(err)
		}
		binary.BigEndian.PutUint64(p, 1000)
		v := parse(t, p)
		var d Decoder
		for _, from := range []int64{0, 1000, 1001, 1100, 1199, 1200, 1 << 62} {
			got, err := decode(&d, &v, from)
			if err != nil {
				t.Fatal(err)
			}
			rest := want[min(max(from-1000, 0), 200):]
			if len(got) != len(rest) {
				t.Fatalf("from %d: %d records, want %d", from, len(got), len(rest))
			}
			for i := range got {
				equal(t, &got[i], &rest[i])
			}
		}
	})
}

func TestDecodeLogAppendTime(t *testing.T) {
	p := seal(t, None, 10)
	p[22] |= 1 << 3
	binary.BigEndian.PutUint64(p[35:], 1800000000000)
	v := parse(t, p)
	rs, err := decode(new(Decoder), &v, 0)
	if err != nil || len(rs) != 10 {
		t.Fatal(len(rs), err)
	}
	for _, r := range rs {
		if r.Timestamp != 1800000000000 {
			t.Fatalf("record %d has the timestamp %d", r.Offset, r.Timestamp)
		}
	}
}

// TestDecodeCompacted decodes what the log cleaner leaves: fewer records, offsets with holes, the last offset kept.
func TestDecodeCompacted(t *testing.T) {
	p := seal(t, None, 10)
	var body []byte
	i, n := HeaderLen, 0
	for offset := range 10 {
		length, j := varint(p, i)
		end := j + int(length)
		if offset%3 == 1 {
			body = append(body, p[i:end]...)
			n++
		}
		i = end
	}
	v := parse(t, framed(p, body, None, n))
	rs, err := decode(new(Decoder), &v, 2)
	if err != nil {
		t.Fatal(err)
	}
	if len(rs) != 2 || rs[0].Offset != 4 || rs[1].Offset != 7 || v.Next() != 10 {
		t.Fatalf("got %+v, then %d", rs, v.Next())
	}
	v = parse(t, framed(p, nil, None, 0))
	if rs, err := decode(new(Decoder), &v, 0); err != nil || len(rs) != 0 {
		t.Fatalf("an emptied batch: %d records, %v", len(rs), err)
	}
}

// framed puts body, which holds n records, behind the header of p.
func framed(p, body []byte, c Codec, n int) []byte {
	q := append(slices.Clone(p[:HeaderLen]), body...)
	binary.BigEndian.PutUint32(q[8:], uint32(len(q)-12))
	q[22] = q[22]&^7 | byte(c)
	binary.BigEndian.PutUint32(q[57:], uint32(n))
	return q
}

func TestDecodeCorrupt(t *testing.T) {
	body := func(fields ...[]byte) []byte {
		record := slices.Concat(fields...)
		return append(appendVarint(nil, int64(len(record))), record...)
	}
	v := func(n int64) []byte { return appendVarint(nil, n) }
	fine := func(delta int64) []byte {
		return body([]byte{0}, v(0), v(delta), v(1), []byte("k"), v(1), []byte("v"), v(0))
	}
	const huge = 1<<62 + 1
	for name, bad := range map[string][]byte{
		"nothing":                     {},
		"no length":                   {0x80},
		"endless length":              bytes.Repeat([]byte{0xff}, 40),
		"negative length":             v(-5),
		"zero length":                 v(0),
		"length beyond the batch":     v(1000),
		"huge length":                 v(huge),
		"attributes alone":            body([]byte{0}),
		"no offset delta":             body([]byte{0}, v(0)),
		"no key":                      body([]byte{0}, v(0), v(1)),
		"key beyond the record":       body([]byte{0}, v(0), v(1), v(9), []byte("k"), v(0), v(0)),
		"huge key":                    body([]byte{0}, v(0), v(1), v(huge), []byte("k"), v(0), v(0)),
		"no value":                    body([]byte{0}, v(0), v(1), v(-1)),
		"value beyond the record":     body([]byte{0}, v(0), v(1), v(-1), v(9), []byte("v"), v(0)),
		"huge value":                  body([]byte{0}, v(0), v(1), v(-1), v(huge), []byte("v"), v(0)),
		"no headers":                  body([]byte{0}, v(0), v(1), v(-1), v(-1)),
		"negative number of headers":  body([]byte{0}, v(0), v(1), v(-1), v(-1), v(-1)),
		"headers missing":             body([]byte{0}, v(0), v(1), v(-1), v(-1), v(1)),
		"a huge number of headers":    body([]byte{0}, v(0), v(1), v(-1), v(-1), v(huge), v(0), v(0)),
		"header without a key":        body([]byte{0}, v(0), v(1), v(-1), v(-1), v(1), v(-1), v(0)),
		"header beyond the record":    body([]byte{0}, v(0), v(1), v(-1), v(-1), v(1), v(5), []byte("h")),
		"bytes behind the headers":    body([]byte{0}, v(0), v(1), v(-1), v(-1), v(0), []byte("x")),
		"offset again":                fine(0),
		"negative offset delta":       fine(-1),
		"offset behind the last":      fine(3),
		"bytes behind the last":       append(fine(1), "garbage"...),
		"one record more than stated": append(fine(1), fine(2)...),
	} {
		for _, c := range []Codec{None, Snappy} {
			p := append(fine(0), bad...)
			if c != None {
				var err error
				if p, err = compress(nil, c, p); err != nil {
					t.Fatal(err)
				}
			}
			b := parse(t, framed(seal(t, None, 3), p, c, 2))
			rs, err := decode(new(Decoder), &b, 0)
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: got %v, want %v", name, err, ErrCorrupt)
			}
			if len(rs) < 1 || string(rs[0].Value) != "v" {
				t.Errorf("%s: the record before the fault is missing", name)
			}
		}
	}
}

// TestDecodeAllRecordSizes has every way in which a record's numbers can be of one byte, two, or more.
func TestDecodeAllRecordSizes(t *testing.T) {
	sizes := []int{-1, 0, 1, 50, 63, 64, 100, 8000, 8191, 8192, 8300}
	bytesOf := func(n int) []byte {
		if n < 0 {
			return nil
		}
		return bytes.Repeat([]byte{'x'}, n)
	}
	for _, first := range []int64{0, 1, 63, 64, 8191, 8192, 1 << 40} {
		for _, k := range sizes {
			for _, v := range sizes {
				var b Builder
				b.Add(0, nil, nil)
				b.Add(first, bytesOf(k), bytesOf(v))
				b.Add(-first, bytesOf(v), bytesOf(k))
				p, err := b.Seal(Producer{}, 0, false, None)
				if err != nil {
					t.Fatal(err)
				}
				batch := parse(t, p)
				rs, err := decode(new(Decoder), &batch, 1)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, &rs[0], &Record{Topic: "t", Partition: 5, Offset: 1, Timestamp: first, Key: bytesOf(k), Value: bytesOf(v)})
				equal(t, &rs[1], &Record{Topic: "t", Partition: 5, Offset: 2, Timestamp: -first, Key: bytesOf(v), Value: bytesOf(k)})
			}
		}
	}
}

// TestRecordsStayUntilReset decodes many batches, without a Reset, and looks at the records only then.
func TestRecordsStayUntilReset(t *testing.T) {
	eachCodec(t, func(t *testing.T, c Codec) {
		var d Decoder
		for round := range 3 {
			d.Reset()
			var got []Record
			var want []string
			for i := range 25 {
				var b Builder
				for j := range 1 + i*i {
					value := fmt.Sprintf(`{"round":%d,"batch":%d,"record":%d}`, round, i, j)
					b.Add(0, nil, []byte(value))
					want = append(want, value)
				}
				p, err := b.Seal(Producer{}, 0, false, c)
				if err != nil {
					t.Fatal(err)
				}
				v := parse(t, p)
				if err := d.Decode(&v, &Record{}, 0, func(r *Record) { got = append(got, *r) }); err != nil {
					t.Fatal(err)
				}
			}
			if len(got) != len(want) {
				t.Fatalf("%d records, want %d", len(got), len(want))
			}
			for i := range got {
				if string(got[i].Value) != want[i] {
					t.Fatalf("record %d is %s, want %s", i, got[i].Value, want[i])
				}
			}
		}
	})
}

func TestDecodeDoesNotCopy(t *testing.T) {
	v := parse(t, seal(t, None, 3))
	if err := new(Decoder).Decode(&v, &Record{}, 0, func(r *Record) {
		if at := bytes.Index(v.Raw, r.Value); &v.Raw[at] != &r.Value[0] {
			t.Error("the value is a copy")
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// TestDecodeAllocatesNothing allows for the few allocations that the libraries' own pools make, at random under the race
// detector, but for none per record.
func TestDecodeAllocatesNothing(t *testing.T) {
	eachCodec(t, func(t *testing.T, c Codec) {
		const records, batches, runs = 1000, 3, 5
		v := sensorBatch(t, c, records)
		var d Decoder
		n := 0
		got := testing.AllocsPerRun(runs, func() {
			d.Reset()
			for range batches {
				if err := d.Decode(&v, &Record{Topic: "t"}, 0, func(*Record) { n++ }); err != nil {
					t.Fatal(err)
				}
			}
		})
		if got > records*batches/100 || got > 0 && c == None {
			t.Errorf("%v allocations for %d batches of %d records", got, batches, records)
		}
		if n != (runs+1)*batches*records {
			t.Fatalf("%d records", n)
		}
	})
}
