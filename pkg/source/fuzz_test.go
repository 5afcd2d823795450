package source

import (
	"bytes"
	"errors"
	"testing"

	"github.com/windrow-io/windrow/internal/fuzztest"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
)

// FuzzClean gives the cleaner arbitrary bytes as what a broker sent: what it keeps are whole batches, in order, from the
// offset on; whatever it says is next is not before it.
func FuzzClean(f *testing.F) {
	batch := func(base byte) []byte {
		var b record.Builder
		b.Add(1, []byte("k"), []byte("v"))
		b.Add(2, nil, nil)
		p, err := b.Seal(record.Producer{}, 0, false, record.None)
		if err != nil {
			f.Fatal(err)
		}
		p = append([]byte{}, p...)
		p[7] = base // its offset is no part of the CRC
		return p
	}
	f.Add(batch(0), int64(0), int64(0), int32(-1))
	f.Add(append(batch(0), batch(2)...), int64(1), int64(0), int32(-1))
	f.Add(append(batch(0), batch(9)[:30]...), int64(0), int64(0), int32(3))
	f.Fuzz(func(t *testing.T, p []byte, offset, aborted int64, epoch int32) {
		if offset < 0 {
			return
		}
		fuzztest.Bounded(t, 1<<20+64*len(p), func() {
			var c cleaner
			in := &wire.Fetched{Topic: "in", Records: bytes.Clone(p), Aborted: []wire.Aborted{{ProducerID: 1, FirstOffset: aborted}, {ProducerID: -1, FirstOffset: 2}}}
			out, err := c.clean(in, offset, epoch)
			var corrupt *CorruptError
			if err != nil && !errors.As(err, &corrupt) && !errors.Is(err, errEpochFell) {
				t.Errorf("an error that nobody expects: %v", err)
			}
			if out.next < offset {
				t.Errorf("from %d it goes back to %d", offset, out.next)
			}
			next := int64(-1)
			for rest := out.batches; len(rest) > 0; {
				b, r, err := record.ParseBatch(rest)
				if err != nil {
					t.Fatalf("what is kept is no batch: %v", err)
				}
				if b.BaseOffset < next {
					t.Errorf("batch %d comes after offset %d", b.BaseOffset, next)
				}
				next, rest = b.BaseOffset, r
			}
		})
	})
}

// FuzzNames: a lane's name that is taken is the name of what it is taken for, as far as numbers are written as usual.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"t/0", "t/17@3", "a.b-c_d/2147483647", "t/4294967296", "t/1@0", "/0", "t", "direct/0", "a,/b.*/,c", "/(/", "//", "latest", "2026-01-31T12:00:00Z", "1790000000000", "00112233445566778899aabbccddeeff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if l, err := ParseLane(s); err == nil {
			again, err := ParseLane(l.String())
			if err != nil || again != l || l.Partition < 0 || l.Topic == "" {
				t.Errorf("%q is %+v, which is %+v, %v", s, l, again, err)
			}
		}
		if ts, err := ParseTopics(s); err == nil {
			if len(ts.Names())+len(ts.patterns) == 0 {
				t.Errorf("%q is taken for a list of nothing", s)
			}
			for _, n := range ts.Names() {
				if wire.CheckTopic(n) != nil {
					t.Errorf("%q holds %q", s, n)
				}
			}
		}
		if st, err := ParseStart(s); err == nil {
			again, err := ParseStart(st.String())
			if err != nil || again.String() != st.String() {
				t.Errorf("%q is %s, which is %s, %v", s, st, again, err)
			}
		}
		if id := ParseID(s); id.Known() && ParseID(id.String()) != id {
			t.Errorf("%q is %s, which is another", s, id)
		}
	})
}
