package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"reflect"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/internal/fuzztest"
)

func randomDecisions(r *rand.Rand, n int) []Decision {
	lanes := []string{"t/0", "t/1", "other/12", "direct/0", "t/0@3"}
	var ds []Decision
	d := Decision{K: r.Int63n(1 << 40), Now: 1_700_000_000_000}
	at := map[string]int64{}
	for range n {
		d.K++
		d.Now += r.Int63n(50)
		d.Positions, d.Receipts, d.Lanes, d.Settings = nil, nil, nil, nil
		for _, lane := range lanes[:r.Intn(len(lanes)+1)] {
			if d.Positions == nil {
				d.Positions = map[string]int64{}
			}
			for range r.Intn(3) {
				d.Receipts = append(d.Receipts, Receipt{Lane: lane, Offset: at[lane], Ms: d.Now - r.Int63n(9)})
			}
			if r.Intn(2) == 0 {
				d.Lanes = append(d.Lanes, Lane{Lane: lane, AtEnd: r.Intn(2) == 0, Got: r.Intn(2) == 0})
			}
			at[lane] += r.Int63n(1000)
			d.Positions[lane] = at[lane]
		}
		d.Outputs = r.Intn(4)
		if r.Intn(20) == 0 {
			d.Settings = json.RawMessage(`{"emitter":"fixed","interval":"1s"}`)
		}
		d.Flush = r.Intn(10) == 0
		ds = append(ds, d)
	}
	return ds
}

func TestDecisionsRoundTrip(t *testing.T) {
	r := rand.New(rand.NewSource(7))
	var e decisionEncoder
	lists := [][]Decision{
		nil,
		{{}},
		{{K: math.MaxInt64, Now: math.MinInt64, Positions: map[string]int64{"": math.MaxInt64}, Outputs: math.MaxInt32}, {K: math.MinInt64, Now: math.MaxInt64, Positions: map[string]int64{"": math.MinInt64}}},
	}
	for n := range 50 {
		lists = append(lists, randomDecisions(r, n))
	}
	for n, ds := range lists {
		h := decisionsHead{checkpoint: uint64(n), index: uint64(2 * n), delivered: int64(n) - 3}
		p := e.encode(nil, h, ds)
		got, back, err := decodeDecisions(p)
		if err != nil {
			t.Fatal(err)
		}
		if got != h || len(back) != len(ds) || len(ds) > 0 && !reflect.DeepEqual(back, ds) {
			t.Fatalf("list %d:\n got %+v %+v\nwant %+v %+v", n, got, back, h, ds)
		}
		if again := e.encode(nil, h, ds); !bytes.Equal(again, p) {
			t.Fatal("equal decisions are not equal bytes")
		}
		for cut := 0; cut < len(p); cut += 1 + len(p)/200 {
			if _, _, err := decodeDecisions(p[:cut]); !errors.Is(err, errFormat) {
				t.Fatalf("cut at %d of %d: %v", cut, len(p), err)
			}
		}
		if _, _, err := decodeDecisions(append(p, 0)); !errors.Is(err, errFormat) {
			t.Fatalf("a byte too many: %v", err)
		}
	}
}

// The usual decision takes few bytes, and Pending does not say too little.
func TestPending(t *testing.T) {
	var e decisionEncoder
	var ds []Decision
	for k := range int64(1000) {
		ds = append(ds, Decision{K: k + 1, Now: 1_700_000_000_000 + 3*k, Positions: map[string]int64{"events/3": 20 * k}})
	}
	if n := len(e.encode(nil, decisionsHead{}, ds)); n > 10*len(ds) || Pending(ds) < n || Pending(ds) > 2*n {
		t.Errorf("1000 decisions take %d bytes, Pending says %d", n, Pending(ds))
	}
	r := rand.New(rand.NewSource(8))
	for range 20 {
		ds := randomDecisions(r, 500)
		if n := len(e.encode(nil, decisionsHead{}, ds)); Pending(ds) < n {
			t.Errorf("%d bytes, Pending says %d", n, Pending(ds))
		}
	}
}

func TestCheckpointRoundTrip(t *testing.T) {
	for _, c := range []*Checkpoint{
		{Positions: map[string]int64{}, State: []byte{}},
		{K: 5, Now: -1, Positions: map[string]int64{"a": 1, "b": -2}, Settings: json.RawMessage(`{}`), State: bytes.Repeat([]byte("state"), 1000), Delivered: 4},
		{K: 5, Now: 9, Positions: map[string]int64{"a": 1, "b": 2}, Receipts: map[string]int64{"b": 12, "c": 10}, State: []byte{}},
	} {
		z, err := encodeCheckpoint(c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeCheckpoint(z)
		if err != nil || !reflect.DeepEqual(back, c) {
			t.Errorf("got %+v, %v, want %+v", back, err, c)
		}
		for _, i := range []int{0, len(z) / 2, len(z) - 1} {
			broken := bytes.Clone(z)
			broken[i] ^= 0x40
			if _, err := decodeCheckpoint(broken); !errors.Is(err, errFormat) {
				t.Errorf("byte %d broken: %v", i, err)
			}
		}
	}
}

func TestNewerVersion(t *testing.T) {
	var e decisionEncoder
	p := e.encode(nil, decisionsHead{}, nil)
	p[0] = version + 1
	if _, _, err := decodeDecisions(p); !errors.Is(err, errFormat) || !strings.Contains(err.Error(), "or a newer one") {
		t.Errorf("got %v", err)
	}
}

func TestKeys(t *testing.T) {
	for _, c := range []struct {
		shard, key string
		kind       byte
		i          uint64
		ok         bool
	}{
		{"t/0", "t/0/c/0", 'c', 0, true},
		{"t/0", "t/0/d/123", 'd', 123, true},
		{"t/0", "t/0/o/0", 'o', 0, true},
		{"t/0", "t/00/o", 0, 0, false},
		{"t/0", "t/00/d/1", 0, 0, false},
		{"t/0", "t/0/c/1/d/2", 0, 0, false},
		{"t/0/c/1", "t/0/c/1/d/2", 'd', 2, true},
		{"t/0", "t/0/d/-1", 0, 0, false},
		{"t/0", "t/0/d/", 0, 0, false},
		{"start", "start", 0, 0, false},
	} {
		kind, i, ok := parseKey([]byte(c.key), c.shard)
		if ok != c.ok || ok && (kind != c.kind || i != c.i) {
			t.Errorf("%s of %s: %c %d %v", c.key, c.shard, kind, i, ok)
		}
		if c.ok {
			if key := string(appendKey(nil, c.shard, c.kind, c.i)); key != c.key {
				t.Errorf("%s made again: %s", c.key, key)
			}
		}
	}
}

func FuzzDecisions(f *testing.F) {
	var e decisionEncoder
	r := rand.New(rand.NewSource(9))
	for n := range 8 {
		f.Add(e.encode(nil, decisionsHead{checkpoint: uint64(n)}, randomDecisions(r, n)))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var h decisionsHead
		var ds []Decision
		var err error
		fuzztest.Bounded(t, 1<<20+200*len(p), func() { h, ds, err = decodeDecisions(p) })
		if err != nil {
			if !errors.Is(err, errFormat) {
				t.Fatal(err)
			}
			return
		}
		var e decisionEncoder
		h2, ds2, err := decodeDecisions(e.encode(nil, h, ds))
		if err != nil || h2 != h || fmt.Sprint(ds2) != fmt.Sprint(ds) {
			t.Fatalf("%+v %+v, again %+v %+v, %v", h, ds, h2, ds2, err)
		}
	})
}

func FuzzChunk(f *testing.F) {
	c := chunk{checkpoint: 3, index: 1, count: 2, piece: []byte("piece")}
	f.Add(c.append(nil))
	f.Fuzz(func(t *testing.T, p []byte) {
		var c chunk
		var err error
		fuzztest.Bounded(t, 1<<20+10*len(p), func() { c, err = decodeChunk(p) })
		if err != nil {
			if !errors.Is(err, errFormat) {
				t.Fatal(err)
			}
			return
		}
		again, err := decodeChunk(c.append(nil))
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Fatalf("%+v, again %+v, %v", c, again, err)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	z, err := encodeCheckpoint(&Checkpoint{K: 3, Positions: map[string]int64{"t/0": 4}, Settings: json.RawMessage(`{}`), State: []byte("state")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(z)
	f.Fuzz(func(t *testing.T, z []byte) {
		if len(z) > 1<<16 {
			return
		}
		if _, err := decodeCheckpoint(z); err != nil && !errors.Is(err, errFormat) {
			t.Fatal(err)
		}
	})
}
