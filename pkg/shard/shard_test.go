package shard

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/windrow-io/windrow/pkg/record"
)

// Where keys go must never change: records of a stream that is under way would go elsewhere.
func TestPlacesOfKeys(t *testing.T) {
	s, err := New(8, "device.id")
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]int{
		`{"device":{"id":"a"}}`: 3, `{"device":{"id":"b"}}`: 3, `{"device":{"id":7}}`: 7, `{"device":{"id":"7"}}`: 7,
		`{"device":{"id":"ein längerer Schlüssel, über 32 Bytes lang"}}`: 3,
	} {
		if got, keyed := s.Of(&record.Record{Value: []byte(value)}); got != want || !keyed {
			t.Errorf("%s: shard %d, %t, want %d", value, got, keyed, want)
		}
	}
	for _, value := range []string{`{"device":{}}`, `{"device":{"id":null}}`, `{"device"`, ``} {
		if got, keyed := s.Of(&record.Record{Value: []byte(value)}); got != s.Keyless() || keyed {
			t.Errorf("%s: shard %d, %t, want %d, without key", value, got, keyed, s.Keyless())
		}
	}
}

func TestSpreadsEvenly(t *testing.T) {
	for _, n := range []int{2, 8, 12, 64} {
		s, err := New(n, "@key")
		if err != nil {
			t.Fatal(err)
		}
		const each = 400
		count := make([]int, n)
		for i := range n * each {
			got, keyed := s.Of(&record.Record{Key: fmt.Appendf(nil, "sensor-%d", i)})
			if !keyed {
				t.Fatal("without key")
			}
			count[got]++
		}
		if least, most := slices.Min(count), slices.Max(count); least < each*3/4 || most > each*5/4 {
			t.Errorf("%d shards have from %d to %d keys, %d on average", n, least, most, each)
		}
	}
}

func TestBatch(t *testing.T) {
	s, err := New(4, "@key")
	if err != nil {
		t.Fatal(err)
	}
	var b record.Builder
	for i := range 20 {
		r := record.Record{Offset: int64(100 + 2*i), Timestamp: int64(i), Value: fmt.Appendf(nil, "%d", i)}
		if i%5 > 0 {
			r.Key = fmt.Appendf(nil, "k%d", i%3)
		}
		b.Keep(&r)
	}
	raw, err := b.Seal(record.Producer{}, 0, false, record.LZ4)
	if err != nil {
		t.Fatal(err)
	}
	batch, _, err := record.ParseBatch(raw)
	if err != nil {
		t.Fatal(err)
	}
	next := int64(110)
	var d record.Decoder
	err = s.Batch(&d, &batch, &record.Record{Topic: "t", Partition: 2}, 109, func(shard int, keyed bool, r *record.Record) {
		i := int(r.Offset-100) / 2
		want, _ := s.Of(&record.Record{Key: r.Key})
		if r.Offset != next || r.Topic != "t" || r.Partition != 2 || string(r.Value) != fmt.Sprint(i) || shard != want || keyed != (i%5 > 0) {
			t.Errorf("shard %d, %t: %+v", shard, keyed, r)
		}
		next += 2
	})
	if err != nil || next != 140 {
		t.Errorf("%v; the next would be %d", err, next)
	}
	broken := slices.Clone(raw)
	broken[record.HeaderLen-1]++ // one record more than there are
	if batch, _, err = record.ParseBatch(broken); err != nil {
		t.Fatal(err)
	}
	err = s.Batch(&d, &batch, &record.Record{}, 0, func(int, bool, *record.Record) { t.Error("a record of a batch that can't be decoded") })
	if !errors.Is(err, record.ErrCorrupt) {
		t.Errorf("a broken batch: %v", err)
	}
}

func TestNames(t *testing.T) {
	for i := range 100 {
		if n, ok := Number(Name(i)); n != i || !ok {
			t.Errorf("%d is read as %d, %t", i, n, ok)
		}
	}
	for _, name := range []string{"", "direct", "a/0", "01", "-1", "+1"} {
		if n, ok := Number(name); ok {
			t.Errorf("%q is read as %d", name, n)
		}
	}
	for _, bad := range []struct {
		n   int
		key string
	}{{0, "@key"}, {-1, "@key"}, {4, "a..b"}} {
		if _, err := New(bad.n, bad.key); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}
