package record

import (
	"bytes"
	"reflect"
	"slices"
	"testing"
)

// someRecords have each field present, empty and absent.
func someRecords() []Record {
	long := bytes.Repeat([]byte("0123456789"), 900)
	rs := []Record{
		{},
		{Topic: "events", Partition: 3, Offset: 1 << 40, Timestamp: 1700000000000, Received: 1700000000001, Key: []byte("k"), Value: []byte("v")},
		{Topic: "events", Partition: -1, Offset: -1, Timestamp: -1, Key: []byte{}, Value: []byte{}},
		{Topic: "é", Value: long},
		{Key: long, Value: nil},
	}
	for i := range rs {
		withHeaders := rs[i]
		withHeaders.SetHeaders(Header{"a", []byte("1")}, Header{"", nil}, Header{"a", []byte{}}, Header{"b", long})
		rs = append(rs, withHeaders)
	}
	return rs
}

// equal compares records field by field, telling nil from empty.
func equal(t *testing.T, got, want *Record) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got record\n%+v, want\n%+v", got, want)
	}
}

func TestHeaders(t *testing.T) {
	hs := []Header{{"trace", []byte("1")}, {"", []byte{}}, {"trace", nil}, {"size", bytes.Repeat([]byte("x"), 200)}}
	var r Record
	if n := len(slices.Collect(r.Headers())); n != 0 {
		t.Fatalf("a record without headers has %d", n)
	}
	r.SetHeaders(hs...)
	if got := slices.Collect(r.Headers()); !reflect.DeepEqual(got, hs) {
		t.Fatalf("got headers %q, want %q", got, hs)
	}
	if got := HeadersSize(hs...); got != r.Size() {
		t.Fatalf("HeadersSize is %d, the record grew by %d", got, r.Size())
	}
	for range r.Headers() {
		break // must not go on
	}
	for _, c := range []struct {
		key   string
		value []byte
		ok    bool
	}{{"trace", nil, true}, {"", []byte{}, true}, {"size", hs[3].Value, true}, {"sizes", nil, false}} {
		if v, ok := r.Header(c.key); ok != c.ok || !reflect.DeepEqual(v, c.value) {
			t.Errorf("header %q is %q, %t, want %q, %t", c.key, v, ok, c.value, c.ok)
		}
	}
	r.SetHeaders()
	if r.headers != nil || HeadersSize() != 0 {
		t.Fatalf("no headers take %q", r.headers)
	}
}

func TestCopies(t *testing.T) {
	for _, r := range someRecords() {
		c := r.Clone()
		equal(t, &c, &r)

		c, arena := r.CopyTo(nil)
		equal(t, &c, &r)
		if len(arena) != r.Size() {
			t.Fatalf("the copy takes %d bytes, Size is %d", len(arena), r.Size())
		}
		c, arena = r.CopyTo([]byte("before"))
		equal(t, &c, &r)
		clear(arena)
		if len(c.Key) > 0 && c.Key[0] != 0 || len(c.Value) > 0 && c.Value[0] != 0 {
			t.Fatal("the copy does not alias the arena")
		}
	}
}

func TestBinary(t *testing.T) {
	var all []byte
	for _, r := range someRecords() {
		all = r.AppendBinary(all)
	}
	rest := all
	var got Record // used again and again, as a reader does
	for _, want := range someRecords() {
		var err error
		if rest, err = got.ReadBinary(rest); err != nil {
			t.Fatal(err)
		}
		equal(t, &got, &want)
	}
	if len(rest) != 0 {
		t.Fatalf("%d bytes are left", len(rest))
	}
}

func TestBinaryCutShort(t *testing.T) {
	r := someRecords()[6]
	p := r.AppendBinary(nil)
	for n := range p {
		var got Record
		if _, err := got.ReadBinary(p[:n]); err == nil {
			t.Fatalf("%d bytes of %d make a record", n, len(p))
		}
	}
}

func TestReadBinaryAllocatesNothing(t *testing.T) {
	p := someRecords()[6].AppendBinary(nil)
	var r Record
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.ReadBinary(p); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Fatalf("%v allocations a record", n)
	}
}
