package buffer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/windrow-io/windrow/internal/redistest"
)

func TestMain(m *testing.M) {
	ClientLog(zap.NewNop())
	os.Exit(m.Run())
}

func open(t testing.TB, url string) *Buffer {
	t.Helper()
	b, err := Open(Options{URL: url, Stream: "s", Logger: zaptest.NewLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// both runs a test on miniredis and on a real server.
func both(t *testing.T, f func(t *testing.T, b *Buffer, c *redis.Client)) {
	t.Run("miniredis", func(t *testing.T) {
		m := miniredis.RunT(t)
		c := redis.NewClient(&redis.Options{Addr: m.Addr(), Protocol: 2})
		t.Cleanup(func() { _ = c.Close() })
		f(t, open(t, "redis://"+m.Addr()), c)
	})
	t.Run("redis", func(t *testing.T) {
		s := redistest.Start(t)
		f(t, open(t, s.URL()), s.Client())
	})
}

func must1[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T any](t testing.TB, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// payload is what the tests store as the batches of [from, next).
func payload(from, next int64) []byte { return fmt.Appendf(nil, "%d-%d", from, next) }

func appendRange(t testing.TB, a *Appender, from, next int64) Tail {
	t.Helper()
	return must1(a.Append(t.Context(), Append{From: from, Next: next, High: next + 5, Batches: payload(from, next), Topic: "id"}))(t)
}

func TestAppend(t *testing.T) {
	both(t, func(t *testing.T, b *Buffer, c *redis.Client) {
		ctx := t.Context()
		a, other := b.Appender("t/0", "t/0"), b.Appender("t/0", "t/0")
		defer a.Close()
		defer other.Close()
		equal(t, must1(a.Tail(ctx))(t), Tail{})
		equal(t, must1(other.Tail(ctx))(t), Tail{})

		equal(t, appendRange(t, a, 7, 10), Tail{Exists: true, Next: 10, Bytes: 4 + entryCost, High: 15, Held: 4 + entryCost, Topic: "id"})
		equal(t, appendRange(t, a, 10, 20).Next, 20)
		if _, err := other.Append(ctx, Append{From: 7, Next: 10, Batches: payload(7, 10)}); !errors.Is(err, ErrConflict) {
			t.Fatalf("the other's append: %v", err)
		}
		equal(t, must1(other.Tail(ctx))(t).Next, 20)
		equal(t, appendRange(t, other, 20, 30).Next, 30)
		if _, err := a.Append(ctx, Append{From: 20, Next: 30, Batches: payload(20, 30)}); !errors.Is(err, ErrConflict) {
			t.Fatalf("append of what is there: %v", err)
		}
		if _, err := a.Append(ctx, Append{From: 30, Next: 40, Batches: payload(30, 40)}); !errors.Is(err, ErrConflict) {
			t.Fatalf("append without reading the tail: %v", err)
		}
		must1(a.Tail(ctx))(t)
		for _, bad := range []Append{{From: 31, Next: 40, Batches: payload(31, 40)}, {From: 29, Next: 40, Batches: payload(29, 40), Gap: true}} {
			if _, err := a.Append(ctx, bad); !errors.Is(err, ErrConflict) {
				t.Fatalf("%v: %v", bad, err)
			}
			must1(a.Tail(ctx))(t)
		}
		// Without batches the tail moves, and the next entry begins where the last one ended.
		must1(a.Append(ctx, Append{From: 30, Next: 33}))(t)
		must1(a.Append(ctx, Append{From: 33, Next: 35, Batches: []byte{}}))(t)
		appendRange(t, a, 35, 40)
		// What the source has lost stays visible as a gap.
		must1(a.Append(ctx, Append{From: 50, Next: 60, Batches: payload(50, 60), Gap: true}))(t)

		var got [][3]string
		for _, m := range must1(c.XRange(ctx, "windrow:{s/t/0}:lane:t/0", "-", "+").Result())(t) {
			got = append(got, [3]string{m.Values["f"].(string), m.Values["n"].(string), m.Values["b"].(string)})
		}
		equal(t, got, [][3]string{{"7", "10", "7-10"}, {"10", "20", "10-20"}, {"20", "30", "20-30"}, {"30", "40", "35-40"}, {"50", "60", "50-60"}})
	})
}

type span struct{ from, next int64 }

// drain reads until a turn gives nothing, and returns what the lane gave.
func drain(t testing.TB, r *Reader, lane string) (got []span) {
	t.Helper()
	for {
		turn := must1(r.Read(t.Context(), 0, 3))(t)
		n, scan := 0, false
		for _, l := range turn.Lanes {
			n += len(l.Entries)
			scan = scan || l.Rescan || l.Cut
			if l.Lane != lane {
				continue
			}
			for _, e := range l.Entries {
				if e.Batches != nil {
					equal(t, string(e.Batches), string(payload(e.From, e.Next)))
				}
				got = append(got, span{e.From, e.Next})
			}
		}
		if n == 0 && !scan {
			return got
		}
	}
}

func TestRead(t *testing.T) {
	both(t, func(t *testing.T, b *Buffer, c *redis.Client) {
		ctx := t.Context()
		a := b.Appender("t/0", "t/0")
		defer a.Close()
		r := b.Reader("p", "w1", "t/0", []string{"t/0", "u/0"})
		defer r.Close()
		equal(t, drain(t, r, "t/0"), nil)

		must1(a.Tail(ctx))(t)
		for i := range int64(10) {
			appendRange(t, a, i, i+1)
		}
		before := time.Now().UnixMilli()
		turn := must1(r.Read(ctx, time.Second, 4))(t)
		if d := turn.Now - before; d < -2000 || d > 2000 {
			t.Errorf("TIME is off by %d ms", d)
		}
		l := turn.Lanes[0]
		equal(t, []any{l.Lane, len(l.Entries), l.Cut, l.Rescan, l.Tail, l.High}, []any{"t/0", 4, true, false, int64(10), int64(15)})
		equal(t, l.Entries[2].Bytes, 6+2*entryCost)
		equal(t, string(l.Entries[0].Batches), "0-1")
		r.Release()
		next := must1(r.Read(ctx, time.Second, 100))(t)
		equal(t, []any{len(next.Lanes[0].Entries), next.Lanes[0].Cut}, []any{6, false})

		// Another worker sees it all again.
		all := []span{{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 6}, {6, 7}, {7, 8}, {8, 9}, {9, 10}}
		r2 := b.Reader("p", "w2", "t/0", []string{"t/0"})
		defer r2.Close()
		equal(t, drain(t, r2, "t/0"), all)
		r.Rescan("t/0")
		equal(t, drain(t, r, "t/0"), all)

		// A tail that moves without an entry is told as an entry without batches.
		must1(a.Append(ctx, Append{From: 10, Next: 12}))(t)
		equal(t, drain(t, r, "t/0"), []span{{10, 12}})
		equal(t, drain(t, r, "t/0"), nil)

		// A lane cut away: the tail tells.
		noError(t, c.XTrimMaxLen(ctx, r.lanes[0].key, 0).Err())
		appendRange(t, a, 12, 20)
		noError(t, c.XTrimMaxLen(ctx, r.lanes[0].key, 0).Err())
		turn = must1(r.Read(ctx, 0, 10))(t)
		equal(t, []any{len(turn.Lanes[0].Entries), turn.Lanes[0].Tail}, []any{0, int64(20)})
	})
}

func TestReadWaits(t *testing.T) {
	both(t, func(t *testing.T, b *Buffer, c *redis.Client) {
		a := b.Appender("t/0", "t/0")
		defer a.Close()
		must1(a.Tail(t.Context()))(t)
		r := b.Reader("p", "w", "t/0", []string{"t/0"})
		defer r.Close()
		drain(t, r, "t/0")
		start := time.Now()
		turn := must1(r.Read(t.Context(), 50*time.Millisecond, 1))(t)
		if d := time.Since(start); len(turn.Lanes[0].Entries) != 0 || d < 40*time.Millisecond || d > time.Second {
			t.Errorf("%d entries after %v", len(turn.Lanes[0].Entries), d)
		}
		done := make(chan error, 1)
		go func() {
			_, err := a.Append(context.WithoutCancel(t.Context()), Append{From: 0, Next: 1, Batches: payload(0, 1)})
			done <- err
		}()
		got := 0
		for got == 0 {
			got = len(must1(r.Read(t.Context(), time.Second, 1))(t).Lanes[0].Entries)
		}
		noError(t, <-done)
	})
}

func TestLeases(t *testing.T) {
	both(t, func(t *testing.T, b *Buffer, c *redis.Client) {
		ctx := t.Context()
		const ttl = time.Minute
		equal(t, must1(b.TakeLease(ctx, "p", "t/0", "w1", ttl))(t), true)
		equal(t, must1(b.TakeLease(ctx, "p", "t/0", "w1", ttl))(t), true)
		equal(t, must1(b.TakeLease(ctx, "p", "t/0", "w2", ttl))(t), false)
		equal(t, must1(b.TakeLease(ctx, "q", "t/0", "w2", ttl))(t), true)
		equal(t, must1(b.TakeLease(ctx, "p", "t/1", "w2", ttl))(t), true)
		equal(t, must1(b.RenewLeases(ctx, "p", []string{"t/0", "t/1", "t/2"}, "w1", ttl))(t), map[string]bool{"t/0": true})
		equal(t, must1(b.Leases(ctx, "p", []string{"t/0", "t/1", "t/2"}))(t), map[string]string{"t/0": "w1", "t/1": "w2"})
		noError(t, b.ReleaseLease(ctx, "p", "t/0", "w2"))
		noError(t, b.ReleaseLease(ctx, "p", "t/1", "w2"))
		equal(t, must1(b.Leases(ctx, "p", []string{"t/0", "t/1", "t/2"}))(t), map[string]string{"t/0": "w1"})
		equal(t, must1(c.PTTL(ctx, b.leaseKey("p", "t/0")).Result())(t) > 50*time.Second, true)

		equal(t, beat(t, b, "w2"), []string{"w2"})
		equal(t, beat(t, b, "w1"), []string{"w1", "w2"})
		noError(t, c.ZAdd(ctx, b.workersKey("p"), redis.Z{Score: 5, Member: "old"}, redis.Z{Score: 9e12, Member: "future"}).Err())
		equal(t, beat(t, b, "w1"), []string{"w1", "w2"})
		noError(t, b.Leave(ctx, "p", "w2"))
		equal(t, beat(t, b, "w1"), []string{"w1"})
	})
}

// beat is a round's heartbeat: the workers that live.
func beat(t *testing.T, b *Buffer, worker string) []string {
	t.Helper()
	live, shards, err := b.Round(t.Context(), "p", worker, time.Minute)
	noError(t, err)
	equal(t, shards, must1(b.Shards(t.Context()))(t))
	return live
}

func TestSettings(t *testing.T) {
	both(t, func(t *testing.T, b *Buffer, c *redis.Client) {
		ctx := t.Context()
		if _, ok, err := b.Settings(ctx); ok || err != nil {
			t.Fatal(ok, err)
		}
		s := Settings{Shards: 4, ShardKey: "device.id", Start: "earliest", Group: "g"}
		equal(t, must1(b.Claim(ctx, s))(t), s)
		s.Start, s.Group = "latest", "h"
		equal(t, must1(b.Claim(ctx, s))(t), s)
		for _, bad := range []Settings{{Shards: 5, ShardKey: "device.id"}, {Shards: 4}} {
			got, err := b.Claim(ctx, bad)
			if !errors.Is(err, ErrSettings) {
				t.Fatalf("%v: %v", bad, err)
			}
			equal(t, got, s)
		}
		got, ok, err := b.Settings(ctx)
		noError(t, err)
		equal(t, ok, true)
		equal(t, got, s)

		noError(t, b.Register(ctx, "t/0", "t/0"))
		noError(t, b.Register(ctx, "0", "t/0", "t/1"))
		noError(t, b.Register(ctx, "0", "t/1", "t/0", "t/1@5"))
		want := map[string][]string{"t/0": {"t/0"}, "0": {"t/0", "t/1", "t/1@5"}}
		equal(t, must1(b.Shards(ctx))(t), want)
		noError(t, b.Append(ctx, 5))
		want[Direct] = []string{DirectLane}
		equal(t, must1(b.Shards(ctx))(t), want)
		noError(t, b.Check(ctx))
	})
}
