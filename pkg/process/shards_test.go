package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/pkg/window"
)

// keys of the records that produceKeyed writes.
const keys = 24

// produceKeyed writes records n = from … to-1 to each partition, as {"p":partition,"n":n,"k":key}, in batches of one codec
// or the other. The key of record n is n modulo keys, in every partition.
func (r *rig) produceKeyed(partitions, from, to int) {
	r.t.Helper()
	var rs []*kgo.Record
	for n := from; n < to; n++ {
		for p := range partitions {
			rs = append(rs, &kgo.Record{Topic: "in", Partition: int32(p), Value: fmt.Appendf(nil, `{"p":%d,"n":%d,"k":"k%d"}`, p, n, n%keys)})
		}
	}
	if err := r.client.ProduceSync(context.Background(), rs...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

// exactKeyed checks that the records 0 … n-1 of each partition are in the windows exactly once; a key's windows are all of
// one shard, and hold each partition's records in order.
func exactKeyed(t *testing.T, ws []output, partitions, n int) {
	t.Helper()
	ids, shards, seqs := map[string]bool{}, map[string]string{}, map[string]int64{}
	slices.SortStableFunc(ws, func(a, b output) int { return int(a.Seq - b.Seq) })
	next := map[string]int{} // key/partition → n
	total := 0
	for _, w := range ws {
		if ids[w.ID] {
			t.Errorf("window %s came twice", w.ID)
		}
		ids[w.ID] = true
		if w.Seq != seqs[w.Shard] {
			t.Fatalf("shard %s: window %d has the number %d", w.Shard, seqs[w.Shard], w.Seq)
		}
		seqs[w.Shard]++
		key := fmt.Sprint(w.Key)
		if s, ok := shards[key]; ok && s != w.Shard {
			t.Errorf("key %s has windows of the shards %s and %s", key, s, w.Shard)
		}
		shards[key] = w.Shard
		for _, d := range w.Data {
			of := fmt.Sprintf("%s/%d", key, d.P)
			first, ok := next[of]
			if !ok {
				_, _ = fmt.Sscanf(key, "k%d", &first)
			}
			if d.N != first || d.N >= n || d.P >= partitions {
				t.Fatalf("key %s, partition %d: record %d where %d should be", key, d.P, d.N, first)
			}
			next[of] = first + keys
			total++
		}
	}
	if total != partitions*n {
		t.Errorf("%d records, want %d", total, partitions*n)
	}
	if len(seqs) < 2 {
		t.Errorf("windows of %d shards", len(seqs))
	}
}

var keyed20 = window.Settings{Emitter: "count", Size: 20, Key: "k"}

// One count of a key over all partitions, whoever works on its shard, and whatever Redis loses.
func TestShards(t *testing.T) {
	const partitions, n = 4, 40 * keys // of each key 160 records: 8 windows
	r := newRig(t, partitions)
	stop := r.ingestShards(8, "k")
	a, b := r.worker("a", keyed20, nil), r.worker("b", keyed20, nil)
	r.produceKeyed(partitions, 0, n/4)
	r.consume("out", holds(partitions*n/8))
	a.kill()
	r.produceKeyed(partitions, n/4, n/2)
	stop()
	r.redis.FlushAll()
	r.produceKeyed(partitions, n/2, n*3/4)
	r.ingestShards(8, "k")
	c := r.worker("c", keyed20, nil)
	r.consume("out", holds(partitions*n/2))
	r.redis.FlushAll()
	r.produceKeyed(partitions, n*3/4, n)
	ws := r.consume("out", holds(partitions*n))
	exactKeyed(t, ws, partitions, n)
	for _, w := range ws {
		if w.Count != 20 || w.Reason != "count" {
			t.Errorf("a window of %d closed by %s", w.Count, w.Reason)
		}
	}
	// The group of the pipeline shows the least of the shards' positions; none while one of them isn't known.
	admin := kadm.NewClient(r.client)
	for _, group := range []string{"s", "p"} {
		await.True(t, "group "+group+" is at the end", func() bool {
			at, err := admin.FetchOffsets(context.Background(), group)
			for p := range int32(partitions) {
				if o, ok := at.Lookup("in", p); err != nil || !ok || o.At > n {
					if ok && o.At > n {
						t.Fatalf("partition %d is committed at %d", p, o.At)
					}
					return false
				} else if o.At < n {
					return false
				}
			}
			return true
		})
	}
	b.stop()
	c.stop()
}

// Without SHARD_KEY the record's key decides; what has none goes to one shard, and is not lost.
func TestShardsWithoutKey(t *testing.T) {
	r := newRig(t, 2)
	r.ingestShards(4, "")
	var rs []*kgo.Record
	for n := range 40 {
		x := &kgo.Record{Topic: "in", Partition: int32(n % 2), Value: fmt.Appendf(nil, `{"p":%d,"n":%d}`, n%2, n/2)}
		if n >= 20 {
			x.Key = fmt.Appendf(nil, "key %d", n)
		}
		rs = append(rs, x)
	}
	if err := r.client.ProduceSync(context.Background(), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	a := r.worker("a", window.Settings{Emitter: "count", Size: 1}, nil)
	ws := r.consume("out", holds(40))
	a.stop()
	seen, keyless := map[string]bool{}, map[string]bool{}
	for _, w := range ws {
		seen[fmt.Sprint(w.Data)] = true
		if w.Data[0].N < 10 {
			keyless[w.Shard] = true
		}
	}
	if len(seen) != 40 || len(keyless) != 1 {
		t.Errorf("%d records came out, those without key of the shards %v", len(seen), keyless)
	}
}

// A record without the key is for the pipeline to judge: a dead letter, if it needs it.
func TestShardsKeyMissing(t *testing.T) {
	r := newRig(t, 2)
	r.ingestShards(4, "k")
	var rs []*kgo.Record
	for p := range int32(2) {
		for _, v := range []string{`{"n":1}`, `{"k":null}`, `not JSON`, ``, `{"p":0,"n":0,"k":"k0"}`} {
			rs = append(rs, &kgo.Record{Topic: "in", Partition: p, Value: []byte(v)})
		}
	}
	if err := r.client.ProduceSync(context.Background(), rs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	a := r.worker("a", window.Settings{Emitter: "count", Size: 2, Key: "k"}, nil)
	ws := r.consume("out", func(ws []output) bool { return len(ws) == 1 })
	if len(ws[0].Data) != 2 || fmt.Sprint(ws[0].Key) != "k0" {
		t.Errorf("got %+v", ws[0])
	}
	r.consume("out.dead", func(ws []output) bool { return len(ws) == 8 })
	a.stop()
}

func TestShardsUntilCaughtUp(t *testing.T) {
	const partitions, n = 3, 10 * keys
	r := newRig(t, partitions+1) // one is empty
	r.ingestShards(8, "k")
	r.produceKeyed(partitions, 0, n)
	if did, want := r.once("a", keyed20, false, nil), (Summary{Records: partitions * n, Windows: keys, Waiting: keys * 10}); did != want {
		t.Errorf("the first run: %+v, want %+v", did, want)
	}
	r.produceKeyed(partitions, n, 2*n)
	if did, want := r.once("b", keyed20, true, nil), (Summary{Records: partitions * n, Windows: 2 * keys}); did != want {
		t.Errorf("the second run: %+v, want %+v", did, want)
	}
	exactKeyed(t, r.consume("out", holds(2*partitions*n)), partitions, 2*n)
}

// Redis forgets SHARDS; the pipeline's journal doesn't.
func TestOtherShardsAreRefused(t *testing.T) {
	r := newRig(t, 2)
	stop := r.ingestShards(2, "k")
	a := r.worker("a", keyed20, nil)
	r.produceKeyed(2, 0, 10*keys)
	r.consume("out", holds(20*keys))
	a.stop()
	stop()
	r.redis.FlushAll()
	r.ingestShards(3, "k")
	c := &conditions{}
	b := r.worker("b", keyed20, func(o *Options) { o.Conditions = c })
	await.True(t, "the shard has a condition", func() bool { return c.get("shard 2") != nil })
	if err := c.get("shard 2"); !errors.Is(err, errStream) {
		t.Errorf("the shard's condition is %v", err)
	}
	b.stop()
}

// Keys that may be in several shards are counted in each: who has not meant that is told.
func TestHintsAtTheKey(t *testing.T) {
	for _, c := range []struct {
		shards   int
		by, key  string
		expected int
	}{{0, "", "k", 1}, {0, "", "@key", 0}, {2, "k", "k", 0}, {2, "", "k", 1}, {2, "", "", 0}} {
		r := newRig(t, 1)
		r.ingestShards(c.shards, c.by)
		core, logs := observer.New(zapcore.WarnLevel)
		a := r.worker("a", window.Settings{Emitter: "count", Size: 1, Key: c.key}, func(o *Options) { o.Logger = zap.New(core) })
		r.client.Produce(context.Background(), &kgo.Record{Topic: "in", Key: []byte("x"), Value: []byte(`{"k":"x"}`)}, nil)
		r.consume("out", holds(1))
		a.stop()
		if n := logs.FilterField(zap.String("WINDOW_KEY", c.key)).Len(); n != c.expected {
			t.Errorf("%+v: %d warnings", c, n)
		}
	}
}

// By time of receipt, over several lanes, with a takeover.
func TestShardsByTime(t *testing.T) {
	const partitions, n = 3, 10 * keys
	r := newRig(t, partitions)
	r.ingestShards(2, "k")
	s := window.Settings{Emitter: "fixed", Interval: 100 * time.Millisecond, Key: "k"}
	a := r.worker("a", s, nil)
	r.produceKeyed(partitions, 0, n/2)
	r.consume("out", holds(partitions*n/4))
	a.kill()
	r.produceKeyed(partitions, n/2, n)
	b := r.worker("b", s, nil)
	ws := r.consume("out", holds(partitions*n))
	b.stop()
	exactKeyed(t, ws, partitions, n)
}
