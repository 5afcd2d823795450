package buffer

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/windrow-io/windrow/pkg/record"
)

func TestDirect(t *testing.T) {
	both(t, func(t *testing.T, b *Buffer, c *redis.Client) {
		ctx := t.Context()
		noError(t, b.Append(ctx, map[string]any{"a": 1}))
		noError(t, b.Append(ctx, []byte("raw"), WithKey([]byte("k")), WithTimestamp(time.UnixMilli(99))))
		noError(t, b.Append(ctx, json.RawMessage(`{"b":2}`)))
		noError(t, b.Append(ctx, "text"))
		if b.Append(ctx, make(chan int)) == nil {
			t.Error("a channel was appended")
		}
		key := b.laneKey(Direct, DirectLane)
		for _, fields := range [][]any{
			{"data", `{"c":3}`, "key", "x", "ts", "1234"},
			{"other", "y"}, {"data", ""}, {"ts", "nonsense", "data", "\xff\x00", "key", ""},
		} {
			noError(t, c.XAdd(ctx, &redis.XAddArgs{Stream: key, Values: fields}).Err())
		}
		r := b.Reader("p", "w", Direct, []string{DirectLane})
		defer r.Close()
		lt := must1(r.Read(ctx, 0, 100))(t).Lanes[0]
		equal(t, []any{lt.Tail, lt.High, lt.Rescan, lt.Cut}, []any{int64(-1), int64(-1), true, false})
		var got []record.Record
		last := int64(0)
		for _, e := range lt.Entries {
			equal(t, []int64{e.From, e.Next, e.Record.Offset}, []int64{Position(e.Ms, e.Seq), Position(e.Ms, e.Seq) + 1, e.From})
			if e.From < last {
				t.Errorf("position %d after %d", e.From, last)
			}
			last = e.Next
			rec := *e.Record
			if rec.Timestamp == e.Ms {
				rec.Timestamp = -1
			}
			rec.Offset = 0
			got = append(got, rec)
		}
		equal(t, got, []record.Record{
			{Topic: Direct, Value: []byte(`{"a":1}`), Timestamp: -1},
			{Topic: Direct, Value: []byte(`raw`), Key: []byte("k"), Timestamp: 99},
			{Topic: Direct, Value: []byte(`{"b":2}`), Timestamp: -1},
			{Topic: Direct, Value: []byte(`"text"`), Timestamp: -1},
			{Topic: Direct, Value: []byte(`{"c":3}`), Key: []byte("x"), Timestamp: 1234},
			{Topic: Direct, Timestamp: -1},
			{Topic: Direct, Value: []byte{}, Timestamp: -1},
			{Topic: Direct, Value: []byte("\xff\x00"), Key: []byte{}, Timestamp: -1},
		})

		// The direct lane is trimmed only behind every pipeline that is required.
		length := func() int64 { return must1(c.XLen(ctx, key).Result())(t) }
		publish := func(p string, n int) {
			t.Helper()
			noError(t, b.Publish(ctx, p, Direct, []Mark{{Lane: DirectLane, Position: lt.Entries[n-1].Next}}, time.Minute, []string{"p", "q"}))
		}
		publish("p", 3)
		equal(t, length(), 8)
		publish("q", 2)
		equal(t, length(), 6)
		noError(t, c.HSet(ctx, b.trimKey(Direct), markField("q", DirectLane), Mark{Position: 1, Ms: lt.Entries[1].Ms, Seq: lt.Entries[1].Seq, At: 1}.encode()).Err())
		publish("p", 8)
		equal(t, length(), 6)
		publish("q", 8)
		equal(t, length(), 0)
	})
}

// Each reader of the direct lane sees every record, also while another – an owner that was superseded and does not know it
// yet – still reads under the same pipeline: no tail would tell what the group had given to that one.
func TestDirectLaneIsReadByEachOwnerItself(t *testing.T) {
	both(t, func(t *testing.T, b *Buffer, c *redis.Client) {
		ctx := t.Context()
		values := func(r *Reader) (got []string) {
			t.Helper()
			for _, e := range must1(r.Read(ctx, 0, 100))(t).Lanes[0].Entries {
				got = append(got, string(e.Record.Value))
			}
			return got
		}
		old, owner := b.Reader("p", "old", Direct, []string{DirectLane}), b.Reader("p", "new", Direct, []string{DirectLane})
		defer old.Close()
		defer owner.Close()
		noError(t, b.Append(ctx, []byte("0")))
		equal(t, values(old), []string{"0"})
		equal(t, values(owner), []string{"0"})
		noError(t, b.Append(ctx, []byte("1")))
		equal(t, values(old), []string{"1"})
		noError(t, b.Append(ctx, []byte("2")))
		equal(t, values(owner), []string{"1", "2"})
		equal(t, values(owner), nil)

		// It waits for the next one.
		appended := make(chan error, 1)
		go func() { appended <- b.Append(context.WithoutCancel(ctx), []byte("3")) }()
		var got []Entry
		for len(got) == 0 {
			got = must1(owner.Read(ctx, time.Second, 100))(t).Lanes[0].Entries
		}
		equal(t, string(got[0].Record.Value), "3")
		noError(t, <-appended)
	})
}

// What Windrow did not write into an ordinary lane is passed over; the next entry shows the gap, if there is one.
func TestForeignEntries(t *testing.T) {
	both(t, func(t *testing.T, b *Buffer, c *redis.Client) {
		ctx := t.Context()
		a := b.Appender("t/0", "t/0")
		defer a.Close()
		must1(a.Tail(ctx))(t)
		key := b.laneKey("t/0", "t/0")
		appendRange(t, a, 0, 5)
		for _, fields := range [][]any{
			{"data", "x"}, {"f", "5", "n", "6"}, {"f", "x", "n", "6", "b", "y"}, {"f", "6", "n", "6", "b", "y"}, {"f", "-1", "n", "6", "b", "y"},
			{"f", "5", "n", "99999999999999999999", "b", "y"},
		} {
			noError(t, c.XAdd(ctx, &redis.XAddArgs{Stream: key, Values: fields}).Err())
		}
		appendRange(t, a, 5, 6)
		r := b.Reader("p", "w", "t/0", []string{"t/0"})
		defer r.Close()
		equal(t, drain(t, r, "t/0"), []span{{0, 5}, {5, 6}, {0, 5}, {5, 6}}) // by the scan, then by the new group
	})
}
