// Package lanetest reads lanes of the buffer as tests of ingest see them: straight from Redis, past pkg/buffer.
package lanetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/pkg/record"
)

// Entry is what an entry of a lane says and holds.
type Entry struct {
	ID         string
	From, Next int64
	Values     []string // of the records that count: From <= offset < Next
}

// Entries reads a lane, <topic>/<part>[@<epoch>], of a stream that is sharded by partition. A batch that is not whole
// fails the test.
func Entries(t testing.TB, rdb *redis.Client, stream, lane string) []Entry {
	t.Helper()
	shard, _, _ := strings.Cut(lane, "@")
	return EntriesOf(t, rdb, stream, shard, lane)
}

// EntriesOf is Entries for a lane of any shard.
func EntriesOf(t testing.TB, rdb *redis.Client, stream, shard, lane string) []Entry {
	t.Helper()
	messages, err := rdb.XRange(context.Background(), fmt.Sprintf("windrow:{%s/%s}:lane:%s", stream, shard, lane), "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	var es []Entry
	for _, m := range messages {
		e, err := entry(m)
		if err != nil {
			t.Fatalf("lane %s entry %s: %v", lane, m.ID, err)
		}
		es = append(es, e)
	}
	return es
}

// Lane is Entries, which must follow one another without gap or repeat.
func Lane(t testing.TB, rdb *redis.Client, stream, lane string) []Entry {
	t.Helper()
	es := Entries(t, rdb, stream, lane)
	Follow(t, lane, es)
	return es
}

// Follow checks that the entries of a lane follow one another without gap or repeat.
func Follow(t testing.TB, lane string, es []Entry) {
	t.Helper()
	for i, e := range es {
		if i > 0 && es[i-1].Next != e.From {
			t.Fatalf("lane %s: entry %s begins at %d, the one before ends at %d", lane, e.ID, e.From, es[i-1].Next)
		}
		if e.Next <= e.From {
			t.Fatalf("lane %s: entry %s covers %d to %d", lane, e.ID, e.From, e.Next)
		}
	}
}

func entry(m redis.XMessage) (Entry, error) {
	e := Entry{ID: m.ID}
	text := func(field string) string { v, _ := m.Values[field].(string); return v }
	if _, err := fmt.Sscan(text("f")+" "+text("n"), &e.From, &e.Next); err != nil {
		return e, err
	}
	var d record.Decoder
	for p := []byte(text("b")); len(p) > 0; {
		b, rest, err := record.ParseBatch(p)
		if err != nil {
			return e, err
		}
		if err := b.CheckCRC(); err != nil {
			return e, err
		}
		d.Reset()
		err = d.Decode(&b, &record.Record{}, e.From, func(r *record.Record) {
			if r.Offset < e.Next {
				e.Values = append(e.Values, string(r.Value))
			}
		})
		if err != nil {
			return e, err
		}
		p = rest
	}
	return e, nil
}

// Values are the records of a lane.
func Values(t testing.TB, rdb *redis.Client, stream, lane string) []string {
	t.Helper()
	var all []string
	for _, e := range Lane(t, rdb, stream, lane) {
		all = append(all, e.Values...)
	}
	return all
}

// Expect waits until a lane holds exactly these records.
func Expect(t testing.TB, rdb *redis.Client, stream, lane string, want []string) {
	t.Helper()
	var got []string
	await.True(t, fmt.Sprintf("lane %s holds %d records %s", lane, len(want), Brief(want)), func() bool {
		t.Helper()
		if got = Values(t, rdb, stream, lane); len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			t.Fatalf("lane %s: %d records %s, want %d %s", lane, len(got), Brief(got), len(want), Brief(want))
		}
		return len(got) == len(want)
	})
}

// Brief is the beginning and the end of a list, to be printed.
func Brief(vs []string) string {
	if len(vs) > 6 {
		vs = append(slices.Clone(vs[:3]), append([]string{"…"}, vs[len(vs)-3:]...)...)
	}
	return strings.Join(vs, " ")
}
