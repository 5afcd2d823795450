package record

import (
	"errors"
	"testing"
)

// FuzzDecode decodes arbitrary bytes: nothing panics, all errors are the documented ones, and records that come out are
// those that franz-go reads from the same bytes.
func FuzzDecode(f *testing.F) {
	for _, c := range codecs {
		f.Add(seal(f, c, 1))
		f.Add(seal(f, c, 40))
		f.Add(seal(f, c, 3)[:70])
	}
	var b Builder
	for _, r := range someRecords() {
		r.Key, r.Value = r.Key[:min(len(r.Key), 40)], r.Value[:min(len(r.Value), 40)]
		b.Add(r.Timestamp, r.Key, r.Value, Header{"h", nil}, Header{"", []byte("v")})
	}
	p, err := b.Seal(Producer{}, 0, false, None)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p)
	f.Add(framed(p, xerialFrame(p[HeaderLen:], 100), Snappy, b.Len()))
	f.Fuzz(func(t *testing.T, p []byte) {
		for len(p) > 0 {
			b, rest, err := ParseBatch(p)
			if err != nil {
				if !errors.Is(err, ErrShort) && !errors.Is(err, ErrMagic) && !errors.Is(err, ErrCorrupt) {
					t.Fatal(err)
				}
				return
			}
			p = rest
			_ = b.CheckCRC()
			decodeBoth(t, &b)
		}
	})
}

// FuzzRecords is FuzzDecode for what stands behind a valid header.
func FuzzRecords(f *testing.F) {
	for _, c := range codecs {
		f.Add(int8(c), uint8(1), seal(f, c, 1)[HeaderLen:])
		f.Add(int8(c), uint8(20), seal(f, c, 20)[HeaderLen:])
	}
	f.Add(int8(Snappy), uint8(2), xerialFrame(seal(f, None, 2)[HeaderLen:], 10))
	head := seal(f, None, 256)
	f.Fuzz(func(t *testing.T, codec int8, count uint8, body []byte) {
		b, _, err := ParseBatch(framed(head, body, Codec(codec&7), int(count)))
		if err != nil {
			t.Fatal(err)
		}
		decodeBoth(t, &b)
	})
}

// decodeBoth decodes b with both implementations.
func decodeBoth(t *testing.T, b *Batch) {
	d := Decoder{MaxSize: 1 << 20}
	rs, err := decode(&d, b, 0)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	for i := range rs {
		if o := rs[i].Offset; o < b.BaseOffset || o >= b.Next() || i > 0 && o <= rs[i-1].Offset {
			t.Fatalf("offset %d in a batch from %d to %d", o, b.BaseOffset, b.Next())
		}
	}
	if got := d.decompressor.arena.held(); got > 8<<20 {
		t.Fatalf("%d bytes were allocated under a limit of 1 MiB", got)
	}
	// franz-go minds checksums within lz4 and zstd frames, and may so refuse more.
	theirs, ok := franz(b.Raw, false)
	if err != nil || !ok {
		return
	}
	if len(theirs) != len(rs) {
		t.Fatalf("%d records, franz-go has %d", len(rs), len(theirs))
	}
	for i := range rs {
		sameAsFranz(t, &rs[i], theirs[i])
	}
}

// FuzzBuild builds a batch of two records and reads them with both implementations.
func FuzzBuild(f *testing.F) {
	f.Add(int8(None), int64(0), int64(0), []byte("key"), []byte("value"), "header", []byte("header's"))
	f.Add(int8(LZ4), int64(-1), int64(1<<40), []byte{}, []byte(nil), "", []byte(nil))
	f.Fuzz(func(t *testing.T, codec int8, first, second int64, key, value []byte, hk string, hv []byte) {
		c := Codec(uint8(codec) % 5)
		// time.Time, in which franz-go has timestamps, holds less than Kafka's milliseconds.
		first, second = first>>16, second>>16
		var b Builder
		b.Add(first, key, value, Header{hk, hv})
		b.Add(second, nil, key)
		p, err := b.Seal(Producer{ID: 1}, 2, false, c)
		if err != nil {
			t.Fatal(err)
		}
		v, rest, err := ParseBatch(p)
		if err != nil || len(rest) != 0 {
			t.Fatal(err, len(rest))
		}
		rs, err := decode(new(Decoder), &v, 0)
		if err != nil || len(rs) != 2 {
			t.Fatal(err, len(rs))
		}
		if rs[0].Timestamp != first || rs[1].Timestamp != second || string(rs[0].Key) != string(key) || string(rs[0].Value) != string(value) {
			t.Fatalf("got %+v", rs)
		}
		if got, ok := rs[0].Header(hk); !ok || string(got) != string(hv) {
			t.Fatalf("header %q is %q", hk, got)
		}
		theirs, ok := franz(p, true)
		if !ok || len(theirs) != 2 {
			t.Fatalf("franz-go reads %d records, ok %t", len(theirs), ok)
		}
		for i := range rs {
			sameAsFranz(t, &rs[i], theirs[i])
		}
	})
}

// FuzzRecordBinary reads arbitrary bytes as a stored record: what can be read, written and read again, is the same.
func FuzzRecordBinary(f *testing.F) {
	for _, r := range someRecords() {
		r.Key, r.Value = r.Key[:min(len(r.Key), 40)], r.Value[:min(len(r.Value), 40)]
		f.Add(r.AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var r, again Record
		rest, err := r.ReadBinary(p)
		if err != nil {
			return
		}
		if len(rest) > len(p) {
			t.Fatalf("%d bytes are left of %d", len(rest), len(p))
		}
		n := 0
		for range r.Headers() {
			n++
		}
		if _, ok := r.Header(""); ok && n == 0 {
			t.Fatal("there is a header where there are none")
		}
		if rest, err := again.ReadBinary(r.AppendBinary(nil)); err != nil || len(rest) != 0 {
			t.Fatal(err, len(rest))
		}
		equal(t, &again, &r)
	})
}
