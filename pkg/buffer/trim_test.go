package buffer

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/windrow-io/windrow/internal/redistest"
)

// markAt is the mark of a pipeline that has processed the lane up to the n-th entry of a turn.
func markAt(lt LaneTurn, n int) Mark {
	e := lt.Entries[n-1]
	return Mark{Lane: lt.Lane, Position: e.Next, Ms: e.Ms, Seq: e.Seq, Bytes: e.End(), Journal: 77}
}

func TestPublish(t *testing.T) {
	both(t, func(t *testing.T, b *Buffer, c *redis.Client) {
		ctx := t.Context()
		const lane, key = "t/0", "windrow:{s/t/0}:lane:t/0"
		a := b.Appender("t/0", lane)
		defer a.Close()
		must1(a.Tail(ctx))(t)
		for i := range int64(10) {
			appendRange(t, a, i, i+1) // 3 bytes each, the last one 4
		}
		turns := map[string]LaneTurn{}
		for _, p := range []string{"p", "q"} {
			r := b.Reader(p, "w", "t/0", []string{lane})
			defer r.Close()
			drain(t, r, lane) // by a scan, then by the group
			r.Rescan(lane)
			turns[p] = must1(r.Read(ctx, 0, 100))(t).Lanes[0]
			equal(t, len(turns[p].Entries), 10)
		}
		held := func() int64 { return must1(a.Tail(ctx))(t).Held }
		length := func() int64 { return must1(c.XLen(ctx, key).Result())(t) }
		waiting := func(p string) int64 { return must1(c.XPending(ctx, key, p).Result())(t).Count }
		publish := func(p string, n int, alive time.Duration) {
			t.Helper()
			noError(t, b.Publish(ctx, p, "t/0", []Mark{markAt(turns[p], n)}, alive, nil))
		}
		equal(t, []int64{held(), length(), waiting("p")}, []int64{31 + 10*entryCost, 10, 10})

		// Alone, p trims to its own mark.
		publish("p", 2, time.Minute)
		equal(t, []int64{held(), length(), waiting("p")}, []int64{25 + 8*entryCost, 8, 8})
		// Two: the least counts; what is gone stays gone, also when one comes that is further behind.
		publish("q", 1, time.Minute)
		publish("p", 6, time.Minute)
		equal(t, []int64{held(), length(), waiting("p")}, []int64{25 + 8*entryCost, 8, 4})
		publish("q", 5, time.Minute)
		equal(t, []int64{held(), length(), waiting("p")}, []int64{16 + 5*entryCost, 5, 4})
		// q stops: it no longer holds the lane.
		noError(t, c.HSet(ctx, b.trimKey("t/0"), markField("q", lane), Mark{Position: 5, Ms: 1, At: 1}.encode()).Err())
		publish("p", 8, time.Minute)
		equal(t, []int64{held(), length(), waiting("p")}, []int64{7 + 2*entryCost, 2, 2})

		equal(t, waiting("q") > 0, true) // each acknowledges its own

		marks := must1(b.Marks(ctx, "t/0"))(t)
		got := marks["p"][lane]
		if age := time.Now().UnixMilli() - got.At; age < -2000 || age > 5000 {
			t.Errorf("published %d ms ago", age)
		}
		got.At = 0
		equal(t, got, markAt(turns["p"], 8))

		// A pipeline that runs on the shard and has no mark here yet keeps the lane.
		noError(t, b.Publish(ctx, "new", "t/0", []Mark{{Lane: "u/0", Position: 1}}, time.Minute, nil))
		publish("p", 10, time.Minute)
		equal(t, []int64{length(), waiting("p")}, []int64{2, 0})
		// As does one that knows no entry.
		noError(t, b.Publish(ctx, "new", "t/0", []Mark{{Lane: lane, Position: 9}}, time.Minute, nil))
		publish("p", 10, time.Minute)
		equal(t, length(), 2)
		equal(t, held(), 7+2*entryCost)
		// All are behind the tail, the entries unknown: nothing counts any more.
		noError(t, b.Publish(ctx, "new", "t/0", []Mark{{Lane: lane, Position: 10}}, time.Minute, nil))
		equal(t, held(), 0)

		// The lane lost: what counts starts again, also while the marks are from before.
		noError(t, c.Del(ctx, key, b.tailKey("t/0", lane)).Err())
		equal(t, must1(a.Tail(ctx))(t), Tail{Bytes: 31 + 10*entryCost})
		appendRange(t, a, 3, 4)
		equal(t, held(), 3+entryCost)
		noError(t, c.FlushAll(ctx).Err())
		must1(a.Tail(ctx))(t)
		appendRange(t, a, 10, 20) // 5 bytes
		publish("p", 9, time.Minute)
		equal(t, held(), 5+entryCost)
	})
}

func TestPublishAcknowledgesPages(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b, c, ctx := open(t, s.URL()), s.Client(), t.Context()
	const n = 2*pending + 5
	const lane = "t/0"
	key := b.laneKey(lane, lane)
	p := c.Pipeline()
	for i := range n {
		p.XAdd(ctx, &redis.XAddArgs{Stream: key, Values: []any{fieldFrom, i, fieldNext, i + 1, fieldBatches, "x"}})
	}
	must1(p.Exec(ctx))(t)
	r := b.Reader("p", "gone", lane, []string{lane})
	defer r.Close()
	must1(r.Read(ctx, 0, 2*n))(t)
	turn := must1(r.Read(ctx, 0, n-1))(t).Lanes[0]
	equal(t, []any{len(turn.Entries), turn.Cut}, []any{n - 1, true})
	e := turn.Entries[n-2]
	noError(t, b.Publish(ctx, "p", lane, []Mark{{Lane: lane, Position: e.Next, Ms: e.Ms, Seq: e.Seq}}, time.Minute, nil))
	equal(t, must1(c.XPending(ctx, key, "p").Result())(t).Count, 0)
	equal(t, must1(c.XLen(ctx, key).Result())(t), 1)
}

// A consumer goes when its worker is gone and holds nothing.
func TestConsumersOfTheGone(t *testing.T) {
	both(t, func(t *testing.T, b *Buffer, c *redis.Client) {
		ctx := t.Context()
		a := b.Appender("t/0", "t/0")
		defer a.Close()
		must1(a.Tail(ctx))(t)
		noError(t, b.Register(ctx, "t/0", "t/0"))
		appendRange(t, a, 0, 1)
		readers := map[string]*Reader{}
		for _, w := range []string{"gone", "holds", "live"} {
			readers[w] = b.Reader("p", w, "t/0", []string{"t/0"})
			defer readers[w].Close()
			must1(readers[w].Read(ctx, 0, 9))(t)
		}
		mark := markAt(must1(readers["gone"].Read(ctx, 0, 9))(t).Lanes[0], 1)
		appendRange(t, a, 1, 2)
		drain(t, readers["holds"], "t/0")
		appendRange(t, a, 2, 3)
		drain(t, readers["live"], "t/0")
		consumers := func() (names []string) {
			t.Helper()
			for _, c := range must1(c.XInfoConsumers(ctx, b.laneKey("t/0", "t/0"), "p").Result())(t) {
				names = append(names, c.Name)
			}
			return names
		}
		equal(t, consumers(), []string{"gone", "holds", "live"})
		beat(t, b, "live")
		noError(t, b.Publish(ctx, "p", "t/0", []Mark{mark}, time.Minute, nil))
		equal(t, consumers(), []string{"holds", "live"})
		noError(t, b.Leave(ctx, "p", "live"))
		equal(t, consumers(), []string{"holds", "live"})
		noError(t, c.XAck(ctx, b.laneKey("t/0", "t/0"), "p", must1(c.XRange(ctx, b.laneKey("t/0", "t/0"), "-", "+").Result())(t)[1].ID).Err())
		noError(t, b.Leave(ctx, "p", "live"))
		equal(t, consumers(), []string{"holds"})
	})
}
