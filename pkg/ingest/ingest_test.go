package ingest

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/internal/kafkatest"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/buffer"
)

func TestCopiesTopics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, "a", "b", "other")
	w.produce("a", 0, "x", 0, 100)
	w.produce("b", 1, "x", 0, 50)
	w.produce("other", 1, "x", 0, 5)
	in := w.start(Options{Topics: "a, /b.*/"})
	w.expect("a/0", values("x", 0, 0, 100))
	w.expect("b/1", values("x", 1, 0, 50))
	w.produce("a", 0, "x", 100, 10)
	w.produce("a", 1, "x", 0, 10)
	w.expect("a/0", values("x", 0, 0, 110))
	w.expect("a/1", values("x", 1, 0, 10))
	for _, c := range []string{conditionKafka, conditionTopics, conditionGroup, conditionRedis} {
		in.conditions.met(t, c)
	}
	shards, err := w.buffer().Shards(t.Context())
	if err != nil || len(shards) != 4 || !slices.Equal(shards["a/0"], []string{"a/0"}) {
		t.Errorf("registered: %v, %v", shards, err)
	}
	if s, ok, err := w.buffer().Settings(t.Context()); err != nil || !ok || s.Start != "earliest" || s.Group != "s" {
		t.Errorf("settings %+v %v %v", s, ok, err)
	}
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	// What came meanwhile is found by the next one.
	w.produce("a", 0, "x", 110, 10)
	w.start(Options{Topics: "a"})
	w.expect("a/0", values("x", 0, 0, 120))
}

func TestRefusesBadOptions(t *testing.T) {
	t.Parallel()
	_, err := New(Options{Topics: "a b", Start: "yesterday", Shards: 3, ShardKey: "@nothing", MaxBytes: -1})
	for _, word := range []string{"KAFKA_TOPICS", "KAFKA_START", "KAFKA_GROUP", "SHARD_KEY=@nothing", "BUFFER_MAX_BYTES"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not speak of %s: %v", word, err)
		}
	}
}

func TestFindsPartitionsAndTopics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "a")
	in := w.start(Options{Topics: "a,named,/more-.*/", Start: "latest"})
	in.conditions.says(t, conditionTopics, "named does not exist")
	w.produce("a", 0, "x", 0, 1) // may come before the start is found
	await.True(t, "a has started", func() bool { return w.committed("a", 1) >= 0 })
	kafkatest.SetPartitions(t, w.p, "a", 4)
	w.p = w.client()
	w.produce("a", 3, "x", 0, 20)
	w.createTopic("named", 1)
	w.produce("named", 0, "n", 0, 30)
	w.createTopic("more-1", 2)
	w.produce("more-1", 1, "m", 0, 40)
	w.createTopic("windrow.s.p.journal", 1)
	// However late they are noticed: from their beginning on.
	w.expect("a/3", values("x", 3, 0, 20))
	w.expect("named/0", values("n", 0, 0, 30))
	w.expect("more-1/1", values("m", 1, 0, 40))
	in.conditions.met(t, conditionTopics)
}

func TestStart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		at   func(mark time.Time) string
		want []string
	}{
		{"earliest", func(time.Time) string { return "earliest" }, values("x", 0, 0, 30)},
		{"latest", func(time.Time) string { return "latest" }, values("x", 0, 20, 10)},
		{"time", func(m time.Time) string { return m.UTC().Format(time.RFC3339Nano) }, values("x", 0, 10, 20)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, "a")
			w.produce("a", 0, "x", 0, 10)
			mark := await.Clock(t)
			w.produce("a", 0, "x", 10, 10)
			in := w.start(Options{Topics: "/a|later/", Start: c.at(mark)})
			// The start of every partition is committed before anything is appended, that of empty ones too.
			await.True(t, "the starts are committed", func() bool { return w.committed("a", 0) >= 0 && w.committed("a", 1) == 0 })
			w.produce("a", 0, "x", 20, 10)
			w.expect("a/0", c.want)
			// A start is made once: whoever comes later goes on from there.
			_ = in.stop()
			w.createTopic("later", 1)
			w.produce("later", 0, "l", 0, 10)
			w.flush()
			w.start(Options{Topics: "/a|later/", Start: "latest"})
			w.expect("a/0", c.want)
			w.expect("later/0", values("l", 0, 0, 10))
		})
	}
}

func TestTwoIngestersOnOnePartition(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "a")
	// Two groups: each believes that all partitions are its own.
	w.start(Options{Topics: "a", Group: "s"})
	w.start(Options{Topics: "a", Group: "rival"})
	for i := range 200 {
		w.produce("a", int32(i%2), "x", i/2*10, 10)
	}
	w.expect("a/0", values("x", 0, 0, 1000))
	w.expect("a/1", values("x", 1, 0, 1000))
}

func TestMembersShareAndTakeOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "a", "b", "c")
	first := w.start(Options{Topics: "a,b,c"})
	second := w.start(Options{Topics: "a,b,c"})
	count := func(r *running) int { _, ls := r.assigned(); return len(ls) }
	await.True(t, "each has half of the partitions", func() bool { return count(first) == 3 && count(second) == 3 })
	for i := range 20 {
		for p := range int32(2) {
			w.produce("a", p, "x", i*10, 10)
		}
		if i == 10 {
			if err := first.stop(); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.expect("a/0", values("x", 0, 0, 200))
	w.expect("a/1", values("x", 1, 0, 200))
	await.True(t, "the other has all partitions", func() bool { return count(second) == 6 })
}

func TestRedisLosesAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "a")
	w.start(Options{Topics: "a"})
	w.produce("a", 0, "x", 0, 100)
	w.expect("a/0", values("x", 0, 0, 100))
	w.flush()
	// Noticed though nothing new comes.
	w.expect("a/0", values("x", 0, 0, 100))
	if s, err := w.buffer().Shards(t.Context()); err != nil || !slices.Equal(s["a/0"], []string{"a/0"}) {
		t.Errorf("registered again: %v %v", s, err)
	}
	for i := range 50 {
		w.produce("a", 0, "x", 100+i*10, 10)
		if i%10 == 5 {
			w.flush()
		}
	}
	w.expect("a/0", values("x", 0, 0, 600))
}

// TestRedisLosesTheRegistry: what Redis lost of the rest comes back too.
func TestRedisLosesTheRegistry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "a")
	w.start(Options{Topics: "a"})
	w.produce("a", 0, "x", 0, 10)
	w.expect("a/0", values("x", 0, 0, 10))
	w.redis.Del("windrow:s")
	w.redis.Del("windrow:s:shards")
	b := w.buffer()
	await.True(t, "settings and shards are registered again", func() bool {
		_, ok, err := b.Settings(t.Context())
		s, err2 := b.Shards(t.Context())
		return ok && err == nil && err2 == nil && len(s["a/0"]) == 1 && len(s["a/1"]) == 1
	})
}

// publish says that a pipeline's checkpoint covers the lane up to and including its first n entries.
func (w *world) publish(b *buffer.Buffer, pipeline, lane string, n int) int64 {
	w.t.Helper()
	es := w.lane(lane)
	if n > len(es) {
		w.t.Fatalf("lane %s has %d entries", lane, len(es))
	}
	shard, _, _ := strings.Cut(lane, "@")
	r := b.Reader("probe", "probe", shard, []string{lane})
	defer r.Close()
	turn, err := r.Read(w.t.Context(), 0, 1<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	var m buffer.Mark
	for _, e := range turn.Lanes[0].Entries[:n] {
		m = buffer.Mark{Lane: lane, Position: e.Next, Ms: e.Ms, Seq: e.Seq, Bytes: e.Bytes + int64(len(e.Batches))}
	}
	if err := b.Publish(w.t.Context(), pipeline, shard, []buffer.Mark{m}, time.Minute, nil); err != nil {
		w.t.Fatal(err)
	}
	return m.Position
}

func TestBackPressure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "pressed")
	w.p = w.client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	b := w.buffer()
	pad := strings.Repeat("p", 1000)
	for i := range 15 {
		w.produce("pressed", 0, pad, i*20, 20) // 20 KiB each
	}
	in := w.start(Options{Topics: "pressed", MaxBytes: 100 << 10})
	in.conditions.says(t, conditionPressure, "BUFFER_MAX_BYTES")
	await.True(t, "the lag counts what is not fetched", func() bool {
		return gauge(t, "windrow_source_lag_records", "pressed", "0") == float64(300-in.lane("pressed/0").place().next)
	})
	// The other partition goes on.
	w.produce("pressed", 1, "x", 0, 10)
	w.expect("pressed/1", values("x", 1, 0, 10))
	tail, err := b.Appender("pressed/0", "pressed/0").Tail(t.Context())
	if err != nil || tail.Held < 100<<10 || tail.Held > 200<<10 {
		t.Fatalf("the lane holds %d bytes, the limit is %d; %v", tail.Held, 100<<10, err)
	}
	var got []string
	for len(got) < 300 {
		await.True(t, "the lane has entries", func() bool { return len(w.lane("pressed/0")) > 0 })
		es := w.lane("pressed/0")
		for _, e := range es {
			got = append(got, e.Values...)
		}
		w.publish(b, "p", "pressed/0", len(es))
	}
	if !slices.Equal(got, values(pad, 0, 0, 300)) {
		t.Fatalf("got %d records", len(got))
	}
	w.produce("pressed", 0, pad, 300, 20)
	in.conditions.met(t, conditionPressure)
}

// The direct lane, which any client may fill, is watched by ingest: while no worker runs nobody else is there to see it.
func TestDirectLaneIsWatched(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "a")
	in := w.start(Options{Topics: "a"})
	in.conditions.met(t, conditionDirect)
	const lane = "windrow:{s/direct}:lane:direct/0"
	for range 12 {
		if err := w.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: lane, Values: []any{"data", make([]byte, directMax/10)}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	in.conditions.says(t, conditionDirect, "DIRECT_MAX_BYTES")
	w.produce("a", 0, "x", 0, 10) // it holds nothing else up
	w.expect("a/0", values("x", 0, 0, 10))
	if err := w.rdb.XTrimMaxLen(t.Context(), lane, 0).Err(); err != nil {
		t.Fatal(err)
	}
	in.conditions.met(t, conditionDirect)
}

func TestCommitsTheLeastPosition(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "a")
	in := w.start(Options{Topics: "a"})
	b := w.buffer()
	for i := range 5 {
		w.produce("a", 0, "x", i*10, 10)
		w.expect("a/0", values("x", 0, 0, i*10+10))
	}
	slow := w.publish(b, "slow", "a/0", 2)
	fast := w.publish(b, "fast", "a/0", 2) // of those that are left
	if fast <= slow {
		t.Fatal("the lane has too few entries")
	}
	await.True(t, "the least is committed", func() bool { return w.committed("a", 0) == slow })
	if at := w.committed("a", 1); at != 0 {
		t.Errorf("nobody has read a/1, and %d is committed", at)
	}
	_ = in.stop()
	// Never lower, though Redis knows of the slow one alone now.
	w.flush()
	in = w.start(Options{Topics: "a"})
	w.expect("a/0", values("x", 0, int(slow), 50-int(slow)))
	least := w.publish(b, "slow", "a/0", 1)
	_ = in.stop() // commits at the end
	if at := w.committed("a", 0); at < slow || at > least {
		t.Errorf("%d is committed, want %d to %d", at, slow, least)
	}
}

// TestCommitsNeverLess: the answer to a commit is lost, and Redis goes back behind what it committed.
func TestCommitsNeverLess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "a")
	transport := &losesAnswers{Transport: &kafka.Transport{ClientID: "test", MetadataTopics: []string{}}}
	in := w.startWith(wire.New(wire.Config{Brokers: w.kafka.ListenAddrs(), Transport: transport}), Options{Topics: "a"})
	w.produce("a", 0, "x", 0, 20)
	w.expect("a/0", values("x", 0, 0, 20))
	publish := func(position int64) {
		t.Helper()
		if err := w.buffer().Publish(t.Context(), "p", "a/0", []buffer.Mark{{Lane: "a/0", Position: position, Ms: 1}}, time.Minute, nil); err != nil {
			t.Fatal(err)
		}
	}
	transport.of.Store(int32(protocol.OffsetCommit))
	publish(20)
	await.True(t, "20 is committed, and the answer lost", func() bool { return w.committed("a", 0) == 20 && transport.of.Load() == 0 })
	publish(10)
	in.offsets.commit(t.Context())
	if at := w.committed("a", 0); at != 20 {
		t.Errorf("%d is committed after 20 was", at)
	}
}

// losesAnswers loses the answer to the next request of a kind.
type losesAnswers struct {
	*kafka.Transport
	of atomic.Int32 // protocol.ApiKey; 0: none
}

func (l *losesAnswers) RoundTrip(ctx context.Context, addr net.Addr, req kafka.Request) (kafka.Response, error) {
	res, err := l.Transport.RoundTrip(ctx, addr, req)
	if key := int32(req.ApiKey()); key != 0 && l.of.CompareAndSwap(key, 0) {
		return nil, io.ErrUnexpectedEOF
	}
	return res, err
}

func TestTopicMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "a")
	in := w.start(Options{Topics: "a"})
	w.produce("a", 0, "old", 0, 100)
	w.expect("a/0", values("old", 0, 0, 100))
	kafkatest.DeleteTopic(t, w.p, "a")
	w.createTopic("a", 1)
	w.p = w.client()
	w.produce("a", 0, "new", 0, 50)
	w.expect("a/0@1", values("new", 0, 0, 50))
	w.expect("a/0", values("old", 0, 0, 100))
	if s, err := w.buffer().Shards(t.Context()); err != nil || !slices.Equal(s["a/0"], []string{"a/0", "a/0@1"}) {
		t.Errorf("registered: %v %v", s, err)
	}
	// While nobody looks, and longer than the one before.
	_ = in.stop()
	kafkatest.DeleteTopic(t, w.p, "a")
	w.createTopic("a", 1)
	w.p = w.client()
	w.produce("a", 0, "newer", 0, 200)
	in = w.start(Options{Topics: "a", Start: "latest"})
	w.expect("a/0@2", values("newer", 0, 0, 200))
	// Redis forgets the epochs; the group's offsets don't.
	_ = in.stop()
	w.flush()
	w.start(Options{Topics: "a"})
	w.expect("a/0@2", values("newer", 0, 0, 200))
	if es := w.lane("a/0"); len(es) > 0 {
		t.Errorf("the first lane has %d entries of another topic", len(es))
	}
}

func TestRetentionOvertakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "a")
	in := w.start(Options{Topics: "a"})
	w.produce("a", 0, "x", 0, 100)
	w.expect("a/0", values("x", 0, 0, 100))
	_ = in.stop()
	w.produce("a", 0, "x", 100, 100)
	kafkatest.DeleteRecords(t, w.p, "a", 0, 150)
	in = w.start(Options{Topics: "a"})
	in.conditions.says(t, conditionLost, "no longer has offsets 100 to 149")
	await.True(t, "the rest is there", func() bool {
		vs := []string{}
		msgs := w.entries("a/0")
		for _, e := range msgs {
			vs = append(vs, e.Values...)
		}
		return slices.Equal(vs, append(values("x", 0, 0, 100), values("x", 0, 150, 50)...))
	})
	es := w.entries("a/0")
	if last := es[len(es)-1]; last.From != 150 || es[len(es)-2].Next != 100 {
		t.Errorf("the gap must be seen in the lane: %d then %d", es[len(es)-2].Next, last.From)
	}
}

// TestRetentionOvertakesWhatRedisLost: the lane is rolled back, and meanwhile retention has removed what every pipeline has
// processed. That is no loss, and no reason for an alarm; what lies behind it unread is.
func TestRetentionOvertakesWhatRedisLost(t *testing.T) {
	for name, c := range map[string]struct {
		processed int64
		says      string
	}{
		"all was processed": {processed: 150},
		"a part was":        {processed: 120, says: "no longer has offsets 120 to 149"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1, "a")
			in := w.start(Options{Topics: "a"})
			w.produce("a", 0, "x", 0, 160)
			w.expect("a/0", values("x", 0, 0, 160))
			if err := w.buffer().Publish(t.Context(), "p", "a/0", []buffer.Mark{{Lane: "a/0", Position: c.processed, Ms: 1}}, time.Minute, nil); err != nil {
				t.Fatal(err)
			}
			await.True(t, "that is committed", func() bool { return w.committed("a", 0) == c.processed })
			_ = in.stop()
			kafkatest.DeleteRecords(t, w.p, "a", 0, 150)
			w.redis.HSet("windrow:{s/a/0}:lane:a/0:tail", "next", "100")
			w.redis.HSet("windrow:{s/a/0}:lane:a/0:tail", "last", "100")
			in = w.start(Options{Topics: "a"})
			await.True(t, "the lane goes on", func() bool { return w.redis.HGet("windrow:{s/a/0}:lane:a/0:tail", "next") == "160" })
			if c.says != "" {
				in.conditions.says(t, conditionLost, c.says)
			} else if err, _ := in.conditions.get(conditionLost); err != nil {
				t.Errorf("an alarm: %v", err)
			}
		})
	}
}

// TestSourceCutOff: an unclean election ended the partition before the lane's tail.
func TestSourceCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "a")
	in := w.start(Options{Topics: "a"})
	w.produce("a", 0, "x", 0, 100)
	w.expect("a/0", values("x", 0, 0, 100))
	_ = in.stop()
	key := "windrow:{s/a/0}:lane:a/0:tail"
	if w.redis.HGet(key, "next") != "100" {
		t.Fatalf("the tail is %q", w.redis.HGet(key, "next"))
	}
	w.redis.HSet(key, "next", "130") // as if it had had 30 more
	in = w.start(Options{Topics: "a"})
	in.conditions.says(t, conditionLost, "unclean")
	w.produce("a", 0, "x", 100, 10)
	w.expect("a/0@1", values("x", 0, 100, 10))
}

func TestWaitsForRedisAndKafka(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "a")
	w.produce("a", 0, "x", 0, 10)
	w.redis.Close()
	in := w.start(Options{Topics: "a"})
	in.conditions.says(t, conditionRedis, "refused")
	if err := w.redis.Restart(); err != nil {
		t.Fatal(err)
	}
	w.expect("a/0", values("x", 0, 0, 10))
	in.conditions.met(t, conditionRedis)
	w.redis.Close()
	w.produce("a", 0, "x", 10, 10)
	in.conditions.says(t, conditionRedis, "refused")
	if err := w.redis.Restart(); err != nil {
		t.Fatal(err)
	}
	w.expect("a/0", values("x", 0, 0, 20))
	in.conditions.met(t, conditionRedis)
	w.kafka.Close()
	in.conditions.says(t, conditionKafka, "")
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestAbortEndsTheWorkInHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "a")
	c := wire.New(wire.Config{Brokers: w.kafka.ListenAddrs()})
	defer c.Close()
	hard, abort := context.WithCancel(t.Context())
	in, err := New(Options{Cluster: c, Buffer: w.buffer(), Topics: "a", Group: "s", Abort: hard, Shutdown: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	w.produce("a", 0, "x", 0, 10)
	w.expect("a/0", values("x", 0, 0, 10))
	w.kafka.Close() // the last commit and the farewell to the group would wait for it
	cancel()
	abort()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
}

func TestOtherSettingsEndIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "a")
	if _, err := w.buffer().Claim(t.Context(), buffer.Settings{Shards: 3, ShardKey: "id"}); err != nil {
		t.Fatal(err)
	}
	c := wire.New(wire.Config{Brokers: w.kafka.ListenAddrs()})
	defer c.Close()
	in, err := New(Options{Cluster: c, Buffer: w.buffer(), Topics: "a", Group: "s"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := in.Run(ctx); !errors.Is(err, buffer.ErrSettings) {
		t.Fatal(err)
	}
}

func TestLargeRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	w.createTopic("a", 2, "max.message.bytes", "67108864")
	w.p = w.client(kgo.ProducerBatchMaxBytes(64<<20), kgo.BrokerMaxWriteBytes(100<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	var want []string
	for _, size := range []int{1, 10 << 20, 1} {
		v := strings.Repeat("v", size)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := w.p.ProduceSync(ctx, &kgo.Record{Topic: "a", Value: []byte(v)}, &kgo.Record{Topic: "a", Partition: 1, Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		cancel()
		want = append(want, v)
	}
	w.start(Options{Topics: "a"})
	for _, lane := range []string{"a/0", "a/1"} {
		key := "windrow:{s/" + lane + "}:lane:" + lane + ":tail"
		await.True(t, "lane "+lane+" is complete", func() bool { return w.redis.HGet(key, "next") == "3" })
		if !slices.Equal(w.values(lane), want) {
			t.Errorf("lane %s has not the records of its source", lane)
		}
	}
}

// gauge returns the value of the metric with these label values, -1 if there is none.
func gauge(t *testing.T, name string, values ...string) float64 {
	t.Helper()
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, l.GetValue())
			}
			slices.Sort(have)
			if f.GetName() == name && slices.Equal(have, slices.Sorted(slices.Values(values))) {
				return m.GetGauge().GetValue()
			}
		}
	}
	return -1
}

// TestCorruptSource: a batch whose CRC fails is not taken, and is taken once it is whole.
func TestCorruptSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, "a")
	w.p = w.client(kgo.ProducerBatchCompression(kgo.NoCompression()))
	w.produce("a", 0, "x", 0, 10)
	in := w.start(Options{Topics: "a"})
	w.expect("a/0", values("x", 0, 0, 10))
	before := w.lane("a/0")
	tail := before[len(before)-1].Next
	// The next fetches of the partition bring its first batch again, under the next offset and with a bit turned.
	var bad atomic.Bool
	bad.Store(true)
	raw := []byte(w.rdb.XRange(t.Context(), "windrow:{s/a/0}:lane:a/0", "-", "+").Val()[0].Values["b"].(string))
	binary.BigEndian.PutUint64(raw, uint64(tail))
	raw[len(raw)-1] ^= 1
	w.kafka.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.kafka.KeepControl()
		req := r.(*kmsg.FetchRequest)
		if !bad.Load() {
			return nil, nil, false
		}
		res := req.ResponseKind().(*kmsg.FetchResponse)
		for _, x := range req.Topics {
			rt := kmsg.NewFetchResponseTopic()
			rt.Topic = x.Topic
			for _, p := range x.Partitions {
				rp := kmsg.NewFetchResponseTopicPartition()
				rp.Partition, rp.HighWatermark, rp.LastStableOffset = p.Partition, tail+10, tail+10
				if p.Partition == 0 {
					rp.RecordBatches = raw
				}
				rt.Partitions = append(rt.Partitions, rp)
			}
			res.Topics = append(res.Topics, rt)
		}
		return res, nil, true
	})
	in.conditions.says(t, conditionSource, "CRC")
	bad.Store(false)
	w.produce("a", 0, "x", 10, 10)
	w.expect("a/0", values("x", 0, 0, 20))
	in.conditions.met(t, conditionSource)
}
