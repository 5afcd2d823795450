package source

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/internal/kafkatest"
	"github.com/windrow-io/windrow/pkg/record"
)

func TestFetcherFollowsLeaders(t *testing.T) {
	k, c := fake(t, 3, kfake.SeedTopics(3, "in"))
	p := kafkatest.Client(t, k)
	f := run(t, c, "in", FetcherOptions{})
	id := f.id(t, "in")
	var feeds []*Feed
	for i := range int32(3) {
		d := f.fetcher.Follow(TopicPartition{"in", i}, id)
		d.SeekTo(0, 0)
		feeds = append(feeds, d)
	}
	for round := range 3 {
		for i := range int32(3) {
			if err := k.MoveTopicPartition("in", i, (i+int32(round))%3); err != nil {
				t.Fatal(err)
			}
			kafkatest.Produce(t, p, "in", i, numbered("v", round*10, round*10+10)...)
			if got := read(t, feeds[i], int64(round*10), int64(round*10+10)); !slices.Equal(got, offsets(round*10, round*10+10)) {
				t.Fatal(got)
			}
		}
	}
	await.True(t, "nobody complains", func() bool { return f.reports.text() == "" })
}

func TestFetcherPassesErrors(t *testing.T) {
	k, c := fake(t, 1, kfake.SeedTopics(2, "in"))
	p := kafkatest.Client(t, k)
	f := run(t, c, "in", FetcherOptions{})
	id := f.id(t, "in")
	bad, good := f.fetcher.Follow(TopicPartition{"in", 0}, id), f.fetcher.Follow(TopicPartition{"in", 1}, id)
	for _, e := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.UnknownTopicOrPartition, kerr.FencedLeaderEpoch, kerr.CorruptMessage, kerr.UnknownServerError} {
		h := k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "in", Partitions: []int32{0}, Err: e, Count: 2})
		kafkatest.Produce(t, p, "in", 0, "v0")
		kafkatest.Produce(t, p, "in", 1, "v0")
		end := k.PartitionInfo("in", 0).HighWatermark
		bad.SeekTo(end-1, 0)
		good.SeekTo(end-1, 0)
		read(t, good, end-1, end)
		read(t, bad, end-1, end)
		h.Remove()
	}
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: "in", Partitions: []int32{0}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	bad.SeekTo(0, 0)
	await.True(t, "the refusal is reported", func() bool { return strings.Contains(f.reports.text(), "in/0") })
	good.SeekTo(0, 0)
	read(t, good, 0, 1)
	bad.Close()
	await.True(t, "the report goes with the feed", func() bool { return f.reports.text() == "" })
}

func TestFetcherOutOfRange(t *testing.T) {
	k, c := fake(t, 1, kfake.SeedTopics(1, "in"))
	p := kafkatest.Client(t, k)
	kafkatest.Produce(t, p, "in", 0, numbered("v", 0, 10)...)
	kafkatest.Produce(t, p, "in", 0, numbered("v", 10, 20)...)
	kafkatest.DeleteRecords(t, p, "in", 0, 10)
	f := run(t, c, "in", FetcherOptions{})
	d := f.fetcher.Follow(TopicPartition{"in", 0}, f.id(t, "in"))
	for _, at := range []int64{0, 9, 21, 1000} {
		d.SeekTo(at, 0)
		if _, err := next(t, d); !errors.Is(err, ErrOutOfRange) {
			t.Fatalf("offset %d: %v", at, err)
		}
	}
	d.SeekTo(10, 0)
	if got := read(t, d, 10, 20); !slices.Equal(got, offsets(10, 20)) {
		t.Fatal(got)
	}
}

func TestFetcherSeesATopicMadeAgain(t *testing.T) {
	k, c := fake(t, 1, kfake.SeedTopics(1, "in"))
	p := kafkatest.Client(t, k)
	kafkatest.Produce(t, p, "in", 0, numbered("v", 0, 10)...)
	f := run(t, c, "in", FetcherOptions{})
	id := f.id(t, "in")
	d := f.fetcher.Follow(TopicPartition{"in", 0}, id)
	d.SeekTo(0, 0)
	read(t, d, 0, 10)
	kafkatest.DeleteTopic(t, p, "in")
	await.True(t, "the absence is reported", func() bool { return strings.Contains(f.reports.text(), "does not exist") })
	kafkatest.CreateTopic(t, p, "in", 1)
	p = kafkatest.Client(t, k)
	kafkatest.Produce(t, p, "in", 0, numbered("v", 0, 30)...)
	if _, err := next(t, d); !errors.Is(err, ErrRecreated) {
		t.Fatal(err)
	}
	d.Close()
	d = f.fetcher.Follow(TopicPartition{"in", 0}, f.id(t, "in"))
	d.SeekTo(0, 0)
	if got := read(t, d, 0, 30); !slices.Equal(got, offsets(0, 30)) {
		t.Fatal(got)
	}
}

// TestFetcherIsBounded: a reader that takes nothing stops the fetch of its partition, and of no other.
func TestFetcherIsBounded(t *testing.T) {
	k, c := fake(t, 1, kfake.SeedTopics(2, "in"))
	p := kafkatest.Client(t, k, kgo.ProducerBatchCompression(kgo.NoCompression()))
	value := strings.Repeat("x", 1000)
	for i := range 40 {
		kafkatest.Produce(t, p, "in", int32(i%2), slices.Repeat([]string{value}, 100)...)
	}
	f := run(t, c, "in", FetcherOptions{PartitionBytes: 150 << 10, AnswerBytes: 300 << 10})
	id := f.id(t, "in")
	idle, busy := f.fetcher.Follow(TopicPartition{"in", 0}, id), f.fetcher.Follow(TopicPartition{"in", 1}, id)
	idle.SeekTo(0, 0)
	idle.Pause()
	busy.SeekTo(0, 0)
	if got := read(t, busy, 0, 2000); len(got) != 2000 {
		t.Fatalf("%d records", len(got))
	}
	idle.SeekTo(0, 1) // room for one batch at a time
	for at := int64(0); at < 2000; {
		ch, err := next(t, idle)
		if err != nil || ch.From != at {
			t.Fatalf("from %d: %v", at, err)
		}
		if _, rest, err := record.ParseBatch(ch.batches); err != nil || len(rest) > 0 {
			t.Fatalf("from %d: more than one batch, %v", at, err)
		}
		at = ch.Next
		ch.Release()
	}
}

// TestSeekForgets: what was fetched before a SeekTo never comes after it.
func TestSeekForgets(t *testing.T) {
	k, c := fake(t, 1, kfake.SeedTopics(1, "in"))
	p := kafkatest.Client(t, k)
	for i := 0; i < 100; i += 10 {
		kafkatest.Produce(t, p, "in", 0, numbered("v", i, i+10)...)
	}
	f := run(t, c, "in", FetcherOptions{PartitionBytes: 1})
	d := f.fetcher.Follow(TopicPartition{"in", 0}, f.id(t, "in"))
	for i := range 60 {
		at := int64(i*7) % 100
		d.SeekTo(at, 0)
		ch, err := next(t, d)
		if err != nil || ch.From != at {
			t.Fatalf("sought %d, got %+v, %v", at, ch, err)
		}
		ch.Release()
	}
}
