package buffer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/redistest"
)

// The source partition of the property test: every offset is a record, but those divisible by five (markers of
// transactions, say). A batch is the list of its records' offsets.
func isRecord(offset int64) bool { return offset%5 != 0 }

func sourceBatch(from, next int64) []byte {
	var b []byte
	for o := from; o < next; o++ {
		if isRecord(o) {
			b = append(strconv.AppendInt(b, o, 10), ' ')
		}
	}
	return b
}

const propShard, propLane = "t/0", "t/0"

// ingester appends the source to the lane until ctx ends, as ingest does: after whatever goes wrong it reads the tail.
func ingester(ctx context.Context, b *Buffer, committed *atomic.Int64, appended *atomic.Int64) {
	a := b.Appender(propShard, propLane)
	defer a.Close()
	rnd := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for ctx.Err() == nil {
		t, err := a.Tail(ctx)
		if err == nil && !t.Exists {
			t.Next = committed.Load()
		}
		for err == nil && ctx.Err() == nil {
			next := t.Next + 1 + rnd.Int64N(8)
			t, err = a.Append(ctx, Append{From: t.Next, Next: next, High: next, Batches: sourceBatch(t.Next, next)})
			if err == nil {
				appended.Add(1)
			}
		}
	}
}

// owner reads the lane until ctx ends, as the owner of a shard does, and holds that it sees every record once, in order.
// What it can't have from the lane it takes from the source.
type owner struct {
	position int64
	refilled int64
	mark     Mark
	fault    error
	until    int64 // 0: for ever
}

func (o *owner) run(ctx context.Context, b *Buffer, name string, committed *atomic.Int64) {
	r := b.Reader("p", name, propShard, []string{propLane})
	defer r.Close()
	o.mark = Mark{Lane: propLane}
	rescanned := int64(-1) // the position for which the lane was gone through from its start
	for ctx.Err() == nil && o.fault == nil && (o.until == 0 || o.position < o.until) {
		turn, err := r.Read(ctx, 20*time.Millisecond, 1+rand.IntN(50))
		if err != nil {
			continue
		}
		lt := turn.Lanes[0]
		missed := int64(-1)
		for _, e := range lt.Entries {
			if e.From > o.position {
				missed = e.From
				break
			}
			o.take(e)
		}
		if missed < 0 && len(lt.Entries) == 0 && !lt.Cut && lt.Tail > o.position {
			missed = lt.Tail
		}
		if missed >= 0 {
			if rescanned != o.position {
				rescanned = o.position
			} else {
				o.refilled += missed - o.position
				o.position = missed
			}
			r.Rescan(propLane)
			continue
		}
		if rand.IntN(20) == 0 && o.mark.Position > 0 {
			if b.Publish(ctx, "p", propShard, []Mark{o.mark}, time.Minute, nil) == nil && committed != nil {
				committed.Store(o.mark.Position)
			}
		}
	}
}

func (o *owner) take(e Entry) {
	if e.Next > o.position {
		var want, got []byte
		want = sourceBatch(o.position, e.Next)
		for f := range strings.FieldsSeq(string(e.Batches)) {
			if n, _ := strconv.ParseInt(f, 10, 64); n >= o.position {
				got = append(append(got, f...), ' ')
			}
		}
		if string(got) != string(want) {
			o.fault = fmt.Errorf("entry %d-%d covers [%d, %d), at position %d it has %q instead of %q", e.Ms, e.Seq, e.From, e.Next, o.position, got, want)
		}
		o.position = e.Next
	}
	if e.Ms > 0 {
		o.mark = Mark{Lane: propLane, Position: e.Next, Ms: e.Ms, Seq: e.Seq, Bytes: e.End()}
	}
}

// checkLane holds promise 1: the lane is its source partition, without gap, repeat or reordering.
func checkLane(ctx context.Context, b *Buffer, c *redis.Client) (entries int, err error) {
	var es *redis.XMessageSliceCmd
	var tail *redis.MapStringStringCmd
	if _, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		es = p.XRange(ctx, b.laneKey(propShard, propLane), "-", "+")
		tail = p.HGetAll(ctx, b.tailKey(propShard, propLane))
		return nil
	}); err != nil {
		return 0, err
	}
	at, bytes := int64(-1), int64(-1)
	for _, e := range es.Val() {
		n := map[string]int64{}
		for _, f := range []string{fieldFrom, fieldNext, fieldBefore} {
			n[f], err = strconv.ParseInt(fmt.Sprint(e.Values[f]), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", e.ID, err)
			}
		}
		got := fmt.Sprint(e.Values[fieldBatches])
		if at >= 0 && (n[fieldFrom] != at || n[fieldBefore] != bytes) {
			return 0, fmt.Errorf("%s begins at %d after %d bytes, the entry before it ends at %d after %d", e.ID, n[fieldFrom], n[fieldBefore], at, bytes)
		}
		if want := string(sourceBatch(n[fieldFrom], n[fieldNext])); got != want {
			return 0, fmt.Errorf("%s covers [%d, %d) and has %q", e.ID, n[fieldFrom], n[fieldNext], got)
		}
		at, bytes = n[fieldNext], n[fieldBefore]+int64(len(got))+entryCost
	}
	if len(tail.Val()) > 0 && at >= 0 {
		if last, next := tail.Val()[tailLast], tail.Val()[tailNext]; last != strconv.FormatInt(at, 10) || len(next) < len(last) {
			return 0, fmt.Errorf("the tail is at %s, its last entry at %s; the lane ends at %d", next, last, at)
		}
	}
	return len(es.Val()), nil
}

// TestLaneIsItsSource lets two ingesters append at once over connections that break at any byte, while Redis is emptied,
// reloaded, and set back to an older state. Two owners of the same pipeline read.
func TestLaneIsItsSource(t *testing.T) {
	t.Parallel()
	t.Run("miniredis", func(t *testing.T) {
		m := miniredis.RunT(t)
		property(t, m.Addr(), time.Second, []func(ctx context.Context, c *redis.Client){
			func(ctx context.Context, c *redis.Client) { _ = c.FlushAll(ctx).Err() },
			func(ctx context.Context, c *redis.Client) { _ = c.Del(ctx, "windrow:{s/t/0}:lane:t/0").Err() },
		})
	})
	t.Run("redis", func(t *testing.T) {
		s := redistest.Start(t, "--enable-debug-command", "yes")
		old := filepath.Join(s.Dir, "old.rdb")
		dump := filepath.Join(s.Dir, "dump.rdb")
		property(t, s.Addr, 3*time.Second, []func(ctx context.Context, c *redis.Client){
			func(ctx context.Context, c *redis.Client) { _ = c.FlushAll(ctx).Err() },
			func(ctx context.Context, c *redis.Client) { _ = c.Do(ctx, "DEBUG", "RELOAD").Err() },
			func(ctx context.Context, c *redis.Client) {
				_ = c.XTrimMaxLen(ctx, "windrow:{s/t/0}:lane:t/0", 0).Err()
			},
			func(ctx context.Context, c *redis.Client) { // the newest writes are lost, as after a failover
				if c.Save(ctx).Err() != nil || os.Rename(dump, old) != nil {
					return
				}
				time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
				s.Kill()
				_ = os.Rename(old, dump)
				s.Restart()
				_ = os.Remove(dump)
			},
		})
	})
}

func property(t *testing.T, addr string, length time.Duration, chaos []func(context.Context, *redis.Client)) {
	proxy := newFlaky(t, addr)
	proxy.every.Store(20_000)
	c := redis.NewClient(&redis.Options{Addr: addr, Protocol: 2})
	defer func() { _ = c.Close() }()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	end := time.Now().Add(length)
	var committed, appended atomic.Int64
	var wg sync.WaitGroup
	buffers := make([]*Buffer, 4)
	for i := range buffers {
		b, err := Open(Options{URL: "redis://" + proxy.addr, Stream: "s", Logger: zap.NewNop()})
		noError(t, err)
		defer func() { _ = b.Close() }()
		buffers[i] = b
	}
	for i := range 2 {
		wg.Go(func() { ingester(ctx, buffers[i], &committed, &appended) })
	}
	var owners [2]owner
	wg.Go(func() { owners[0].run(ctx, buffers[2], "w1", &committed) })
	wg.Go(func() { owners[1].run(ctx, buffers[3], "w2", nil) })
	most, checks := 0, 0
	for ctx.Err() == nil && (time.Now().Before(end) || appended.Load() < 200) {
		n, err := checkLane(t.Context(), buffers[0], c)
		var re redis.Error
		if err != nil && !errors.As(err, &re) && ctx.Err() == nil {
			t.Error(err)
			break
		}
		most = max(most, n)
		checks++
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
		chaos[rand.IntN(len(chaos))](ctx, c)
	}
	stop()
	wg.Wait()
	if _, err := checkLane(t.Context(), buffers[0], c); err != nil {
		t.Error(err)
	}
	// In quiet the owners reach the end, whatever state all was left in.
	proxy.every.Store(0)
	proxy.cut()
	a := buffers[0].Appender(propShard, propLane)
	defer a.Close()
	tail := must1(a.Tail(t.Context()))(t)
	for i := range owners {
		o := &owners[i]
		end := max(o.position, tail.Next)
		o.until = end
		quiet, stop := context.WithTimeout(t.Context(), 5*time.Second)
		o.run(quiet, buffers[2+i], fmt.Sprint("w", 1+i), nil)
		stop()
		if o.fault != nil {
			t.Error(o.fault)
		}
		if o.position < end {
			t.Errorf("owner %d stands at %d, the tail at %d", i, o.position, tail.Next)
		}
	}
	t.Logf("%d appends, %d checks, up to %d entries at once, owners at %d and %d, of which refilled %d and %d",
		appended.Load(), checks, most, owners[0].position, owners[1].position, owners[0].refilled, owners[1].refilled)
	if appended.Load() < 200 {
		t.Error("hardly anything was appended")
	}
}
