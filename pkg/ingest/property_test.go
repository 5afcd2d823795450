package ingest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/internal/lanetest"
	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/shard"
)

// TestLaneIsItsSource: whatever happens, and in whatever order, a lane is its source partition from some offset on that a
// published checkpoint covers: no gap, no repeat, no reordering.
func TestLaneIsItsSource(t *testing.T) { laneIsItsSource(t, 0) }

// TestLanesAreTheirSource: so are the lanes of a partition, each for its own keys.
func TestLanesAreTheirSource(t *testing.T) { laneIsItsSource(t, 3) }

func laneIsItsSource(t *testing.T, spread int) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))

	w := newWorld(t, 3, "a")
	b := w.buffer()
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	var plain []*kgo.Client
	for _, c := range codecs {
		plain = append(plain, w.client(kgo.ProducerBatchCompression(c)))
	}
	txn := w.client(kgo.TransactionalID("t"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	type sourced struct {
		offset int64
		value  string
	}
	var source [2][]sourced // committed records, as the producers were told
	shards := func(part int32) []string {
		if spread == 0 {
			return []string{fmt.Sprintf("a/%d", part)}
		}
		return []string{"0", "1", "2"}
	}
	published := map[string]int64{} // by shard and lane
	count := 0
	produce := func(p *kgo.Client, partition int32, n int) (rs []*kgo.Record) {
		for range n {
			rs = append(rs, &kgo.Record{Topic: "a", Partition: partition, Key: keyOf(count), Value: fmt.Appendf(nil, "%d", count)})
			count++
		}
		if err := p.ProduceSync(ctx, rs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		return rs
	}
	keep := func(rs []*kgo.Record) {
		for _, r := range rs {
			source[r.Partition] = append(source[r.Partition], sourced{r.Offset, string(r.Value)})
		}
	}

	// Two members of the group, and one of another group that takes the same partitions for its own.
	groups := []string{"s", "s", "rival"}
	ingests := make([]*running, len(groups))
	start := func(i int) {
		ingests[i] = w.start(Options{Topics: "a", Group: groups[i], ReadCommitted: true, MaxBytes: 64 << 10, Shards: spread})
	}
	start(0)
	var faults []*kfake.FaultHandle
	steps := map[string]int{}
	for range 250 {
		part := rnd.Int32N(2)
		step := "produce"
		switch x := rnd.IntN(100); {
		case x < 50:
			keep(produce(plain[rnd.IntN(len(plain))], part, 1+rnd.IntN(40)))
		case x < 65:
			step = "transaction"
			if err := txn.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			rs := produce(txn, part, 1+rnd.IntN(20))
			if rnd.IntN(2) == 0 {
				keep(produce(plain[0], part, 1)) // between its records and its marker
			}
			commit := rnd.IntN(2) == 0
			if err := txn.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
				t.Fatal(err)
			}
			if commit {
				keep(rs)
			}
		case x < 75:
			step = "checkpoint"
			shard, lane := shards(part)[rnd.IntN(max(spread, 1))], fmt.Sprintf("a/%d", part)
			if n := len(lanetest.EntriesOf(t, w.rdb, "s", shard, lane)); n > 0 {
				published[shard+" "+lane] = max(published[shard+" "+lane], w.publishSome(b, shard, lane, 1+rnd.IntN(n)))
			}
		case x < 79:
			step = "flush"
			w.flush()
		case x < 83:
			step = "redis refuses"
			w.redis.SetError("LOADING Redis is loading the dataset in memory")
			time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond) // the fault's length
			w.redis.SetError("")
		case x < 87:
			step = "leader moves"
			if err := w.kafka.MoveTopicPartition("a", part, rnd.Int32N(3)); err != nil {
				t.Fatal(err)
			}
		case x < 92:
			step = "broker refuses"
			errs := []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownTopicOrPartition, kerr.FencedLeaderEpoch, kerr.KafkaStorageError, kerr.CorruptMessage}
			faults = append(faults, w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: errs[rnd.IntN(len(errs))], Count: 1 + rnd.IntN(3)}))
		case x < 97:
			step = "start or stop"
			i := rnd.IntN(len(ingests))
			if ingests[i] == nil {
				start(i)
			} else {
				if err := ingests[i].stop(); err != nil {
					t.Fatal(err)
				}
				ingests[i] = nil
			}
		default:
			step = "pause"
			time.Sleep(time.Duration(rnd.IntN(100)) * time.Millisecond) // so that waiting states are reached
		}
		steps[step]++
	}
	t.Log(steps)
	for _, f := range faults {
		f.Remove()
	}
	if ingests[0] == nil {
		start(0)
	}
	for part := range source {
		lane := fmt.Sprintf("a/%d", part)
		slices.SortFunc(source[part], func(x, y sourced) int { return int(x.offset - y.offset) })
		last := source[part][len(source[part])-1]
		for n, shard := range shards(int32(part)) {
			at := shard + " " + lane
			// What the shard gets, of what a checkpoint of its own covers or not; the last entry may lie before the source's end.
			mine := slices.DeleteFunc(slices.Clone(source[part]), func(s sourced) bool { return spread > 0 && shardOf(t, spread, s.value) != n })
			await.True(t, at+" has its source's last record", func() bool {
				next, err := w.rdb.HGet(t.Context(), "windrow:{s/"+shard+"}:lane:"+lane+":tail", "next").Int64()
				if err == nil && next > last.offset {
					return true
				}
				for _, shard := range shards(int32(part)) { // room for the rest
					if es := lanetest.EntriesOf(t, w.rdb, "s", shard, lane); len(es) > 0 {
						published[shard+" "+lane] = max(published[shard+" "+lane], w.publishSome(b, shard, lane, len(es)))
					}
				}
				return false
			})
			es := lanetest.EntriesOf(t, w.rdb, "s", shard, lane)
			lanetest.Follow(t, at, es)
			from := published[at]
			var got []string
			if len(es) > 0 {
				if from = es[0].From; from > published[at] {
					t.Errorf("%s begins at %d, but the checkpoint covers only what is before %d", at, from, published[at])
				}
				for _, e := range es {
					got = append(got, e.Values...)
				}
			}
			var want []string
			for _, s := range mine {
				if s.offset >= from {
					want = append(want, s.value)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %d records %s, want %d %s", at, len(got), lanetest.Brief(got), len(want), lanetest.Brief(want))
			}
		}
	}
}

// keyOf is the key of the record of a number; every seventh has none.
func keyOf(count int) []byte {
	if count%7 == 0 {
		return nil
	}
	return fmt.Appendf(nil, "key %d", count%23)
}

// shardOf is where the record of a value belongs.
func shardOf(t *testing.T, shards int, value string) int {
	t.Helper()
	spread, err := shard.New(shards, "@key")
	if err != nil {
		t.Fatal(err)
	}
	count, err := strconv.Atoi(value)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := spread.Of(&record.Record{Key: keyOf(count)})
	return n
}

// publishSome is publish for at most n entries, of a lane that others write to meanwhile.
func (w *world) publishSome(b *buffer.Buffer, shard, lane string, n int) int64 {
	w.t.Helper()
	r := b.Reader("probe", "probe", shard, []string{lane})
	defer r.Close()
	turn, err := r.Read(w.t.Context(), 0, 1<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	m := buffer.Mark{Lane: lane}
	for i, e := range turn.Lanes[0].Entries {
		if i < n {
			m.Position, m.Ms, m.Seq, m.Bytes = e.Next, e.Ms, e.Seq, e.End()
		}
	}
	if m.Ms == 0 {
		return 0
	}
	if err := b.Publish(w.t.Context(), "p", shard, []buffer.Mark{m}, time.Minute, nil); err != nil {
		w.t.Fatal(err)
	}
	return m.Position
}
