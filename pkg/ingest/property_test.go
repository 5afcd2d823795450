package ingest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/internal/lanetest"
	"github.com/windrow-io/windrow/pkg/buffer"
)

// TestLaneIsItsSource: whatever happens, and in whatever order, a lane is its source partition from some offset on that a
// published checkpoint covers: no gap, no repeat, no reordering.
func TestLaneIsItsSource(t *testing.T) {
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
	var published [2]int64
	count := 0
	produce := func(p *kgo.Client, partition int32, n int) (rs []*kgo.Record) {
		for range n {
			rs = append(rs, &kgo.Record{Topic: "a", Partition: partition, Value: fmt.Appendf(nil, "%d", count)})
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
		ingests[i] = w.start(Options{Topics: "a", Group: groups[i], ReadCommitted: true, MaxBytes: 64 << 10})
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
			lane := fmt.Sprintf("a/%d", part)
			if n := len(w.entries(lane)); n > 0 {
				published[part] = max(published[part], w.publishSome(b, lane, 1+rnd.IntN(n)))
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
		await.True(t, lane+" has its source's last record", func() bool {
			es := w.entries(lane)
			if len(es) > 0 && es[len(es)-1].Next > last.offset {
				return true
			}
			if len(es) > 0 { // room for the rest
				published[part] = max(published[part], w.publishSome(b, lane, len(es)))
			}
			return false
		})
		es := w.lane(lane)
		if es[0].From > published[part] {
			t.Errorf("%s begins at %d, but the checkpoint covers only what is before %d", lane, es[0].From, published[part])
		}
		var want []string
		for _, s := range source[part] {
			if s.offset >= es[0].From {
				want = append(want, s.value)
			}
		}
		if got := w.values(lane); !slices.Equal(got, want) {
			t.Errorf("%s: %d records %s, want %d %s", lane, len(got), lanetest.Brief(got), len(want), lanetest.Brief(want))
		}
	}
}

// publishSome is publish for at most n entries, of a lane that others write to meanwhile.
func (w *world) publishSome(b *buffer.Buffer, lane string, n int) int64 {
	w.t.Helper()
	r := b.Reader("probe", "probe", lane, []string{lane})
	defer r.Close()
	turn, err := r.Read(w.t.Context(), 0, 1<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	m := buffer.Mark{Lane: lane}
	for i, e := range turn.Lanes[0].Entries {
		if i < n {
			m.Position, m.Ms, m.Seq, m.Bytes = e.Next, e.Ms, e.Seq, e.Bytes+int64(len(e.Batches))
		}
	}
	if m.Ms == 0 {
		return 0
	}
	if err := b.Publish(w.t.Context(), "p", lane, []buffer.Mark{m}, time.Minute, nil); err != nil {
		w.t.Fatal(err)
	}
	return m.Position
}
