package source

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/internal/kafkatest"
	"github.com/windrow-io/windrow/pkg/record"
)

// all reads [from, to) by as many Reads as it takes.
func all(t *testing.T, r *Refill, part Range) []string {
	t.Helper()
	var out []string
	var buf []byte
	for part.From < part.To {
		batches, next, err := r.Read(within(t, 10*time.Second), part, buf)
		if err != nil {
			t.Fatal(err)
		}
		if next <= part.From || next > part.To {
			t.Fatalf("next is %d after a read of %d-%d", next, part.From, part.To)
		}
		out = append(out, decode(t, batches, part.From, next)...)
		part.From, buf = next, batches
	}
	return out
}

func offsets(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, numbered("", i, i+1)[0]+":"+numbered("v", i, i+1)[0])
	}
	return out
}

func TestRefillReadsExactlyTheRange(t *testing.T) {
	k, c := fake(t, 1, kfake.SeedTopics(2, "in"))
	p := kafkatest.Client(t, k)
	for i := 0; i < 100; i += 10 {
		kafkatest.Produce(t, p, "in", 1, numbered("v", i, i+10)...)
	}
	r := NewRefill(c, true)
	for _, x := range [][2]int{{0, 100}, {0, 1}, {7, 8}, {9, 11}, {13, 77}, {99, 100}, {50, 50}} {
		got := all(t, r, Range{TopicPartition: TopicPartition{"in", 1}, From: int64(x[0]), To: int64(x[1])})
		if want := offsets(x[0], x[1]); !slices.Equal(got, want) {
			t.Errorf("%v: got %v", x, got)
		}
	}
}

func TestRefillIsBounded(t *testing.T) {
	k, c := fake(t, 1, kfake.SeedTopics(1, "in"))
	p := kafkatest.Client(t, k, kgo.ProducerBatchCompression(kgo.NoCompression()))
	value := string(make([]byte, 100<<10))
	for range 40 {
		kafkatest.Produce(t, p, "in", 0, value)
	}
	r := NewRefill(c, true)
	batches, next, err := r.Read(within(t, 10*time.Second), Range{TopicPartition: TopicPartition{"in", 0}, From: 0, To: 40}, nil)
	if err != nil || next >= 40 || next < 5 || len(batches) > 2<<20 {
		t.Fatalf("%d bytes up to %d, %v: one read should bring about 1 MiB", len(batches), next, err)
	}
	if got := all(t, r, Range{TopicPartition: TopicPartition{"in", 0}, From: 0, To: 40}); len(got) != 40 {
		t.Fatalf("%d records, want 40", len(got))
	}
}

func TestRefillSaysWhatIsLost(t *testing.T) {
	k, c := fake(t, 1, kfake.SeedTopics(1, "in"))
	p := kafkatest.Client(t, k)
	for i := 0; i < 50; i += 10 {
		kafkatest.Produce(t, p, "in", 0, numbered("v", i, i+10)...)
	}
	kafkatest.DeleteRecords(t, p, "in", 0, 30)
	r := NewRefill(c, true)
	var lost *LostError
	_, _, err := r.Read(within(t, 10*time.Second), Range{TopicPartition: TopicPartition{"in", 0}, From: 5, To: 45}, nil)
	if !errors.As(err, &lost) || lost.From != 5 || lost.To != 30 {
		t.Fatal(err)
	}
	_, _, err = r.Read(within(t, 10*time.Second), Range{TopicPartition: TopicPartition{"in", 0}, From: 5, To: 20}, nil)
	if !errors.As(err, &lost) || lost.From != 5 || lost.To != 20 {
		t.Fatal(err)
	}
	if got := all(t, r, Range{TopicPartition: TopicPartition{"in", 0}, From: 30, To: 45}); !slices.Equal(got, offsets(30, 45)) {
		t.Fatal(got)
	}
	_, _, err = r.Read(within(t, 30*time.Second), Range{TopicPartition: TopicPartition{"in", 0}, From: 60, To: 70}, nil)
	if !errors.As(err, &lost) || lost.From != 60 || lost.To != 70 {
		t.Fatal(err)
	}
}

func TestRefillKnowsATopicMadeAgain(t *testing.T) {
	k, c := fake(t, 1, kfake.SeedTopics(1, "in"))
	p := kafkatest.Client(t, k)
	kafkatest.Produce(t, p, "in", 0, numbered("v", 0, 10)...)
	topics, err := c.Topics(within(t, 10*time.Second), "in")
	if err != nil {
		t.Fatal(err)
	}
	part := Range{TopicPartition: TopicPartition{"in", 0}, ID: topics[0].ID, From: 0, To: 5}
	r := NewRefill(c, true)
	if got := all(t, r, part); !slices.Equal(got, offsets(0, 5)) {
		t.Fatal(got)
	}
	kafkatest.DeleteTopic(t, p, "in")
	kafkatest.CreateTopic(t, p, "in", 1)
	p = kafkatest.Client(t, k)
	kafkatest.Produce(t, p, "in", 0, numbered("other", 0, 10)...)
	if _, _, err := r.Read(within(t, 10*time.Second), part, nil); !errors.Is(err, ErrRecreated) {
		t.Fatal(err)
	}
}

func TestRefillWaitsForALeader(t *testing.T) {
	k, c := fake(t, 3, kfake.SeedTopics(1, "in"))
	p := kafkatest.Client(t, k)
	kafkatest.Produce(t, p, "in", 0, numbered("v", 0, 10)...)
	r := NewRefill(c, true)
	part := Range{TopicPartition: TopicPartition{"in", 0}, From: 0, To: 10}
	for i := range int32(3) {
		if err := k.MoveTopicPartition("in", 0, i); err != nil {
			t.Fatal(err)
		}
		if got := all(t, r, part); !slices.Equal(got, offsets(0, 10)) {
			t.Fatal(got)
		}
	}
	// Nothing there to answer: the context ends it, and the error says what was tried.
	k.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, _, err := r.Read(ctx, part, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

// TestTransactions: aborted batches and the markers are dropped, whatever lies between them, and wherever a read begins.
func TestTransactions(t *testing.T) {
	k, c := fake(t, 1, kfake.SeedTopics(1, "in"))
	plain := kafkatest.Client(t, k)
	txn := func(id string) func(commit bool, values ...string) {
		p := kafkatest.Client(t, k, kgo.TransactionalID(id))
		return func(commit bool, values ...string) {
			if err := p.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				kafkatest.Produce(t, p, "in", 0, v)
				kafkatest.Produce(t, plain, "in", 0, "plain")
			}
			if err := p.EndTransaction(within(t, 10*time.Second), kgo.TransactionEndTry(commit)); err != nil {
				t.Fatal(err)
			}
		}
	}
	a, b := txn("a"), txn("b")
	a(true, "a1", "a2")
	b(false, "b1", "b2", "b3")
	a(false, "a3")
	a(true, "a4")
	b(true, "b4")
	b(false, "b5")
	all0 := []string{
		"0:a1", "1:plain", "2:a2", "3:plain", // 4: commit
		"6:plain", "8:plain", "10:plain", // 5 7 9: aborted, 11: marker
		"13:plain",          // 12: aborted, 14: marker
		"15:a4", "16:plain", // 17: marker
		"18:b4", "19:plain", // 20: marker
		"22:plain", // 21: aborted, 23: marker
	}
	r := NewRefill(c, true)
	for from := range int64(24) {
		var want []string
		for _, w := range all0 {
			if o := int64(0); func() bool { o = offsetOf(w); return o >= from }() {
				want = append(want, w)
			}
		}
		if got := all(t, r, Range{TopicPartition: TopicPartition{"in", 0}, From: from, To: 24}); !slices.Equal(got, want) {
			t.Errorf("from %d: got %v want %v", from, got, want)
		}
	}
	f := run(t, c, "in", FetcherOptions{ReadCommitted: true})
	d := f.fetcher.Follow(TopicPartition{"in", 0}, f.id(t, "in"))
	d.SeekTo(0, 0)
	if got := read(t, d, 0, 24); !slices.Equal(got, all0) {
		t.Errorf("the feed gives %v", got)
	}
	u := run(t, c, "in", FetcherOptions{})
	d = u.fetcher.Follow(TopicPartition{"in", 0}, u.id(t, "in"))
	d.SeekTo(0, 0)
	if got := read(t, d, 0, 24); len(got) != 24-6 {
		t.Errorf("uncommitted: the feed gives %v", got)
	}
}

func offsetOf(s string) (o int64) {
	for _, c := range s {
		if c == ':' {
			break
		}
		o = o*10 + int64(c-'0')
	}
	return o
}

// TestCodecs: what producers compressed stays as it is.
func TestCodecs(t *testing.T) {
	k, c := fake(t, 1, kfake.SeedTopics(1, "in"))
	f := run(t, c, "in", FetcherOptions{})
	d := f.fetcher.Follow(TopicPartition{"in", 0}, f.id(t, "in"))
	d.SeekTo(0, 0)
	codecs := []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()}
	for i, codec := range codecs {
		kafkatest.Produce(t, kafkatest.Client(t, k, kgo.ProducerBatchCompression(codec)), "in", 0, numbered("v", i*100, i*100+100)...)
	}
	from := int64(0)
	seen := map[record.Codec]bool{}
	for from < 500 {
		ch, err := next(t, d)
		if err != nil {
			t.Fatal(err)
		}
		for {
			e, ok, err := ch.Entry(1)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			b, _, err := record.ParseBatch(e.Batches)
			if err != nil {
				t.Fatal(err)
			}
			seen[b.Codec()] = true
			if got := decode(t, e.Batches, from, e.Next); !slices.Equal(got, offsets(int(from), int(e.Next))) {
				t.Fatal(got)
			}
			from = e.Next
		}
		ch.Release()
	}
	if len(seen) != len(codecs) {
		t.Errorf("only the codecs %v were seen", seen)
	}
}
