package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
)

// world is a cluster and a journal in it.
type world struct {
	t       *testing.T
	fake    *kfake.Cluster
	cluster *wire.Cluster
	journal *Journal
}

func newWorld(t *testing.T, o Options, opts ...kfake.Opt) *world {
	t.Helper()
	fake, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.SeedTopics(4, "out")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	c := wire.New(wire.Config{Brokers: fake.ListenAddrs(), ClientID: "journal-test"})
	t.Cleanup(c.Close)
	o.Topic, o.Stream, o.Pipeline = "windrow.s.p.journal", "s", "p"
	w := &world{t: t, fake: fake, cluster: c}
	w.journal = w.open(o)
	return w
}

func (w *world) open(o Options) *Journal {
	w.t.Helper()
	o.Topic, o.Stream, o.Pipeline = "windrow.s.p.journal", "s", "p"
	j, err := Open(w.t.Context(), w.cluster, o)
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

func (w *world) take(shard string, hint int64) (*Owner, *History) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	o, h, err := w.journal.Take(ctx, shard, hint, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return o, h
}

func output(partition int32, values ...string) wire.Batch {
	b := new(record.Builder)
	for _, v := range values {
		b.Add(time.Now().UnixMilli(), []byte("key"), []byte(v))
	}
	return wire.Batch{Topic: "out", Partition: partition, Builder: b}
}

// committed is what a reader of committed records sees of an output partition.
func (w *world) committed(partition int32) (vs []string) {
	w.t.Helper()
	ctx := w.t.Context()
	ends, err := w.cluster.Offsets(ctx, "out", []int32{partition}, wire.Latest, true)
	if err != nil {
		w.t.Fatal(err)
	}
	out := &Journal{o: Options{Topic: "out"}, cluster: w.cluster}
	err = out.scan(ctx, partition, 0, ends[partition], func(e *entry) error {
		vs = append(vs, string(e.value))
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return vs
}

func decision(k int64) Decision {
	return Decision{K: k, Now: 1_700_000_000_000 + 7*k, Positions: map[string]int64{"t/0": 100 * k, "t/1": 3 * k}, Outputs: int(k % 3)}
}

func checkpoint(k int64, state []byte) *Checkpoint {
	return &Checkpoint{K: k, Now: 1_700_000_000_000 + 7*k, Positions: map[string]int64{"t/0": 100 * k, "t/1": 3 * k},
		Settings: []byte(`{"emitter":"count"}`), State: state, Delivered: k - 1}
}

func wantHistory(t *testing.T, got, want *History) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("history:\n got %s\nwant %s", show(got), show(want))
	}
}

func show(h *History) string {
	if h.Checkpoint == nil {
		return fmt.Sprintf("no checkpoint, %+v, delivered %d", h.Decisions, h.Delivered)
	}
	c := *h.Checkpoint
	n := len(c.State)
	c.State = nil
	return fmt.Sprintf("%+v (state of %d), %+v, delivered %d", c, n, h.Decisions, h.Delivered)
}

func TestCommitAndTake(t *testing.T) {
	for _, atLeastOnce := range []bool{false, true} {
		t.Run(fmt.Sprintf("at least once %v", atLeastOnce), func(t *testing.T) {
			ctx := t.Context()
			w := newWorld(t, Options{AtLeastOnce: atLeastOnce})
			o, h := w.take("t/0", 0)
			wantHistory(t, h, &History{})
			c := checkpoint(0, []byte("first"))
			c.Delivered = 0
			if err := o.Checkpoint(ctx, c); err != nil {
				t.Fatal(err)
			}
			if err := o.Commit(ctx, []wire.Batch{output(0, "a"), output(1, "b"), output(0, "c", "d"), output(3, "e")}, []Decision{decision(1), decision(2)}, 0); err != nil {
				t.Fatal(err)
			}
			if err := o.Commit(ctx, nil, []Decision{decision(3)}, 2); err != nil {
				t.Fatal(err)
			}
			want := &History{Checkpoint: c, Decisions: []Decision{decision(1), decision(2), decision(3)}, Delivered: 2}
			for _, hint := range []int64{0, c.Offset, c.Offset - 1, c.Offset + 1, 1 << 40} {
				_, h := w.take("t/0", hint)
				wantHistory(t, h, want)
			}
			o, _ = w.take("t/0", 0)
			second := checkpoint(3, []byte(strings.Repeat("second", 1000)))
			if err := o.Checkpoint(ctx, second); err != nil {
				t.Fatal(err)
			}
			if err := o.Commit(ctx, []wire.Batch{output(2, "f")}, []Decision{decision(4)}, 3); err != nil {
				t.Fatal(err)
			}
			want = &History{Checkpoint: second, Decisions: []Decision{decision(4)}, Delivered: 3}
			for _, hint := range []int64{0, c.Offset, second.Offset, second.Offset + 1} {
				_, h := w.take("t/0", hint)
				wantHistory(t, h, want)
			}
			for p, want := range [][]string{{"a", "c", "d"}, {"b"}, {"f"}, {"e"}} {
				if got := w.committed(int32(p)); !reflect.DeepEqual(got, want) {
					t.Errorf("partition %d: %v, want %v", p, got, want)
				}
			}
		})
	}
}

// Two shards on one partition don't see each other's records, nor shards whose names are the beginning of others'.
func TestShardsShareAPartition(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, Options{Partitions: 1})
	shards := []string{"t/0", "t", "t/0/c", "start", "1", "11"}
	for n, s := range shards {
		o, _ := w.take(s, 0)
		if err := o.Checkpoint(ctx, checkpoint(int64(n), []byte(s))); err != nil {
			t.Fatal(err)
		}
		if err := o.Commit(ctx, nil, []Decision{decision(int64(n + 1))}, 0); err != nil {
			t.Fatal(err)
		}
	}
	for n, s := range shards {
		_, h := w.take(s, 0)
		if string(h.Checkpoint.State) != s || len(h.Decisions) != 1 || h.Decisions[0].K != int64(n+1) {
			t.Errorf("shard %s: %s", s, show(h))
		}
	}
}

func TestZombie(t *testing.T) {
	for _, atLeastOnce := range []bool{false, true} {
		t.Run(fmt.Sprintf("at least once %v", atLeastOnce), func(t *testing.T) {
			ctx := t.Context()
			w := newWorld(t, Options{AtLeastOnce: atLeastOnce})
			old, _ := w.take("t/0", 0)
			if err := old.Commit(ctx, []wire.Batch{output(0, "old")}, []Decision{decision(1)}, 0); err != nil {
				t.Fatal(err)
			}
			next, h := w.take("t/0", 0)
			wantHistory(t, h, &History{Decisions: []Decision{decision(1)}})
			err := old.Commit(ctx, []wire.Batch{output(0, "zombie")}, []Decision{decision(2)}, 0)
			if !errors.Is(err, ErrFenced) {
				t.Fatalf("a zombie's commit: %v", err)
			}
			if err := old.Checkpoint(ctx, checkpoint(1, nil)); !errors.Is(err, ErrFenced) {
				t.Fatalf("a dead owner's call: %v", err)
			}
			if err := next.Commit(ctx, []wire.Batch{output(0, "new")}, []Decision{decision(2)}, 0); err != nil {
				t.Fatal(err)
			}
			_, h = w.take("t/0", 0)
			wantHistory(t, h, &History{Decisions: []Decision{decision(1), decision(2)}})
			if got := w.committed(0); !atLeastOnce && !reflect.DeepEqual(got, []string{"old", "new"}) {
				t.Errorf("output: %v", got)
			}
		})
	}
}

func TestLargeCheckpoint(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, Options{})
	state := make([]byte, 3<<20)
	rand.New(rand.NewSource(1)).Read(state)
	o, _ := w.take("t/0", 0)
	c := checkpoint(9, state)
	if err := o.Checkpoint(ctx, c); err != nil {
		t.Fatal(err)
	}
	small := checkpoint(9, []byte("small"))
	for _, c := range []*Checkpoint{c, small} {
		if c == small {
			if err := o.Checkpoint(ctx, c); err != nil {
				t.Fatal(err)
			}
		}
		for _, hint := range []int64{0, c.Offset} {
			next, h := w.take("t/0", hint)
			wantHistory(t, h, &History{Checkpoint: c, Delivered: 8})
			o = next
		}
	}
}

func TestManyDecisions(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, Options{})
	o, _ := w.take("t/0", 0)
	want := &History{}
	for k := int64(1); k < 40; k++ {
		d := decision(k)
		for i := range int64(2000) {
			d.Receipts = append(d.Receipts, Receipt{Lane: "t/0", Offset: 1000*k + i, Ms: 1_700_000_000_000 + i/3})
		}
		want.Decisions = append(want.Decisions, d)
	}
	if err := o.Commit(ctx, nil, want.Decisions, 0); err != nil {
		t.Fatal(err)
	}
	if o.index < 2 {
		t.Errorf("%d records", o.index)
	}
	_, h := w.take("t/0", 0)
	wantHistory(t, h, want)
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		key  kmsg.Key
		code *kerr.Error
		want error
	}{
		"add refused as old":        {kmsg.AddPartitionsToTxn, kerr.InvalidProducerEpoch, ErrFenced},
		"add, unknown producer":     {kmsg.AddPartitionsToTxn, kerr.InvalidProducerIDMapping, ErrFenced},
		"produce refused as old":    {kmsg.Produce, kerr.InvalidProducerEpoch, ErrFenced},
		"produce, ended by another": {kmsg.Produce, kerr.InvalidTxnState, ErrFenced},
		"produce too large":         {kmsg.Produce, kerr.MessageTooLarge, ErrTooLarge},
		"produce, wrong clock":      {kmsg.Produce, kerr.InvalidTimestamp, ErrClock},
		"leader moved":              {kmsg.Produce, kerr.NotLeaderForPartition, kafka.NotLeaderForPartition},
		"end refused as old":        {kmsg.EndTxn, kerr.ProducerFenced, ErrFenced},
		"end, coordinator moved":    {kmsg.EndTxn, kerr.NotCoordinator, ErrUnknown},
		"end timed out":             {kmsg.EndTxn, kerr.RequestTimedOut, ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			w := newWorld(t, Options{})
			o, _ := w.take("t/0", 0)
			w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{c.key}, Err: c.code})
			if err := o.Commit(ctx, []wire.Batch{output(0, "x")}, []Decision{decision(1)}, 0); !errors.Is(err, c.want) {
				t.Fatalf("got %v", err)
			}
			if err := o.Commit(ctx, nil, []Decision{decision(1)}, 0); !errors.Is(err, c.want) || !strings.Contains(err.Error(), "taken anew") {
				t.Fatalf("a dead owner: %v", err)
			}
			// The journal tells, and the output is what it says.
			o, h := w.take("t/0", 0)
			if got := w.committed(0); len(got) != len(h.Decisions) {
				t.Errorf("%d decisions, output %v", len(h.Decisions), got)
			}
			if err := o.Commit(ctx, []wire.Batch{output(0, "y")}, []Decision{decision(int64(len(h.Decisions) + 1))}, 0); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Error 51 alone repeats the request.
func TestConcurrentTransactions(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, Options{})
	w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.ConcurrentTransactions, Count: 3})
	asked := 0
	o, _, err := w.journal.Take(ctx, "t/0", 0, func(context.Context) error { asked++; return nil })
	if err != nil || asked != 4 {
		t.Fatalf("asked %d times, %v", asked, err)
	}
	w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.AddPartitionsToTxn, kmsg.EndTxn}, Err: kerr.ConcurrentTransactions, Count: 5})
	if err := o.Commit(ctx, []wire.Batch{output(0, "x")}, []Decision{decision(1)}, 0); err != nil {
		t.Fatal(err)
	}
	lost := errors.New("the lease is another's")
	if _, _, err := w.journal.Take(ctx, "t/0", 0, func(context.Context) error { return lost }); !errors.Is(err, lost) {
		t.Fatalf("got %v", err)
	}
	if err := o.Commit(ctx, nil, []Decision{decision(2)}, 0); err != nil {
		t.Fatalf("nothing was fenced, yet: %v", err)
	}
}

// The reader waits for another shard's open transaction that stands before the end it has to reach.
func TestTakeWaitsForOtherShards(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, Options{Partitions: 1})
	mine, _ := w.take("mine", 0)
	other, _ := w.take("other", 0)
	if err := mine.Commit(ctx, nil, []Decision{decision(1)}, 0); err != nil {
		t.Fatal(err)
	}
	bs, _, err := other.decisionBatches([]Decision{decision(5)}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.writer.add(ctx, bs); err != nil {
		t.Fatal(err)
	}
	if _, err := other.writer.produce(ctx, bs, true); err != nil {
		t.Fatal(err)
	}
	if err := mine.Commit(ctx, nil, []Decision{decision(2)}, 0); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
	defer cancel()
	if _, h, err := w.journal.Take(short, "mine", 0, nil); err == nil {
		t.Fatalf("read beyond an open transaction: %s", show(h))
	}
	done := make(chan error, 1)
	go func() {
		_, h, err := w.journal.Take(ctx, "mine", 0, nil)
		if err == nil && len(h.Decisions) != 2 {
			err = fmt.Errorf("%s", show(h))
		}
		done <- err
	}()
	_, h := w.take("other", 0) // aborts it
	if len(h.Decisions) != 0 {
		t.Errorf("other: %s", show(h))
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestStart(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, Options{Partitions: 3})
	if _, err := w.journal.Start(ctx, func(context.Context) (Start, error) { return Start{}, ErrLost }); !errors.Is(err, ErrLost) {
		t.Fatalf("got %v", err)
	}
	var mu sync.Mutex
	var got []Start
	var all sync.WaitGroup
	for n := range int64(5) {
		j := w.open(Options{})
		all.Go(func() {
			s, err := j.Start(ctx, func(context.Context) (Start, error) {
				return Start{Created: n + 1, Offsets: map[string]int64{"t/0": n}}, nil
			})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			got = append(got, s)
		})
	}
	all.Wait()
	for _, s := range got {
		if !reflect.DeepEqual(s, got[0]) || s.Partitions != 3 || s.Created == 0 {
			t.Errorf("%+v and %+v", got[0], s)
		}
	}
	// More partitions don't move the shards.
	before := w.journal.partition("some/shard")
	res, err := w.cluster.Client().CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: w.journal.o.Topic, Count: 7}}})
	if err != nil || res.Errors[w.journal.o.Topic] != nil {
		t.Fatal(err, res)
	}
	again := w.open(Options{})
	if again.partitions.Load() != 3 || again.partition("some/shard") != before {
		t.Errorf("%d partitions", again.partitions.Load())
	}
	s, err := again.Start(ctx, func(context.Context) (Start, error) { return Start{}, errors.New("asked again") })
	if err != nil || !reflect.DeepEqual(s, got[0]) {
		t.Errorf("%+v, %v", s, err)
	}
	_, err = Open(ctx, w.cluster, Options{Topic: w.journal.o.Topic, Stream: "s.p", Pipeline: "q"})
	if !errors.Is(err, ErrTopic) || !strings.Contains(err.Error(), "JOURNAL_TOPIC") {
		t.Errorf("another pipeline's journal: %v", err)
	}
}

// Names that, joined by dots, are the same: the derived topic is refused to the second pipeline, and with topics of their own
// none fences another.
func TestNamesThatJoinAlike(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, Options{})
	names := []struct{ stream, pipeline, shard string }{{"s.p", "q", "a.b/0"}, {"s", "p.q", "a.b/0"}, {"s", "p.q.a", "b/0"}}
	var owners []*Owner
	for i, n := range names {
		o := Options{Topic: fmt.Sprintf("journal-%d", i), Stream: n.stream, Pipeline: n.pipeline, Partitions: 1}
		j, err := Open(ctx, w.cluster, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.Start(ctx, func(context.Context) (Start, error) { return Start{}, nil }); err != nil {
			t.Fatal(err)
		}
		owner, _, err := j.Take(ctx, n.shard, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		owners = append(owners, owner)
	}
	for i, o := range owners {
		if err := o.Checkpoint(ctx, checkpoint(1, []byte("state"))); err != nil {
			t.Errorf("%+v is fenced by another: %v", names[i], err)
		}
	}
	_, err := Open(ctx, w.cluster, Options{Topic: "journal-0", Stream: "s", Pipeline: "p.q", Partitions: 1})
	if !errors.Is(err, ErrTopic) {
		t.Fatalf("the second pipeline in one topic: %v", err)
	}
	for _, words := range []string{"stream s.p, pipeline q", "stream s, pipeline p.q", "another JOURNAL_TOPIC"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("the error does not say %q: %v", words, err)
		}
	}
}

func TestOpen(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, Options{})
	conf, err := w.cluster.Client().DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: w.journal.o.Topic}}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range conf.Resources[0].ConfigEntries {
		got[c.ConfigName] = c.ConfigValue
	}
	for k, v := range map[string]string{"cleanup.policy": "compact", "segment.bytes": "67108864", "message.timestamp.type": "LogAppendTime"} {
		if got[k] != v {
			t.Errorf("%s is %q", k, got[k])
		}
	}
	_, err = Open(ctx, w.cluster, Options{Topic: "out", Stream: "s", Pipeline: "p"})
	if !errors.Is(err, ErrTopic) || !strings.Contains(err.Error(), "--add-config cleanup.policy=compact") {
		t.Errorf("got %v", err)
	}
}

// A transaction that Kafka has left open is not another worker's doing: the error says what to do.
func TestTakeMeetsAHangingTransaction(t *testing.T) {
	w := newWorld(t, Options{})
	f := w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: w.journal.o.Topic, Err: kerr.InvalidTxnState, Count: -1})
	_, _, err := w.journal.Take(t.Context(), "t/0", 0, nil)
	if err == nil || errors.Is(err, ErrFenced) || !strings.Contains(err.Error(), "find-hanging") {
		t.Fatalf("Take: %v", err)
	}
	f.Remove()
	w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: w.journal.o.Topic, Err: kerr.InvalidTxnState, Count: 2})
	w.take("t/0", 0) // it was not for ever
}

// Without transactions, the journal's partition may still be in the checkpoint's one.
func TestAtLeastOnceAfterACheckpoint(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, Options{AtLeastOnce: true})
	o, _ := w.take("t/0", 0)
	c := checkpoint(0, nil)
	if err := o.Checkpoint(ctx, c); err != nil {
		t.Fatal(err)
	}
	w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: w.journal.o.Topic, Err: kerr.InvalidTxnState, Count: 3})
	if err := o.Commit(ctx, []wire.Batch{output(0, "a")}, []Decision{decision(1)}, 0); err != nil {
		t.Fatal(err)
	}
	if err := o.Commit(ctx, []wire.Batch{output(0, "b")}, []Decision{decision(2)}, 0); err != nil {
		t.Fatal(err)
	}
	_, h := w.take("t/0", 0)
	if len(h.Decisions) != 2 {
		t.Error(show(h))
	}
	if got := w.committed(0); !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Errorf("output: %v", got)
	}
}

// Somebody has cut the topic: that is noticed, and a shard that is whole behind the cut goes on.
func TestCutJournal(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, Options{Partitions: 1})
	cut, _ := w.take("cut", 0)
	lost := checkpoint(0, []byte("state"))
	if err := cut.Checkpoint(ctx, lost); err != nil {
		t.Fatal(err)
	}
	if err := cut.Commit(ctx, nil, []Decision{decision(1)}, 0); err != nil {
		t.Fatal(err)
	}
	whole, _ := w.take("whole", 0)
	c := checkpoint(5, []byte("state"))
	if err := whole.Checkpoint(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := w.fake.DeleteRecords(w.journal.o.Topic, 0, lost.Offset+1); err != nil {
		t.Fatal(err)
	}
	for _, hint := range []int64{0, lost.Offset} {
		_, h, err := w.journal.Take(ctx, "cut", hint, nil)
		if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "shard cut") {
			t.Errorf("%v, %v", h, err)
		}
		_, h = w.take("whole", hint)
		wantHistory(t, h, &History{Checkpoint: c, Delivered: 4})
	}
}

func TestForbidden(t *testing.T) {
	w := newWorld(t, Options{})
	w.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, Err: kerr.TransactionalIDAuthorizationFailed})
	_, _, err := w.journal.Take(t.Context(), "t/0", 0, nil)
	if !errors.Is(err, kafka.TransactionalIDAuthorizationFailed) || !strings.Contains(err.Error(), "grant WRITE and DESCRIBE on the transactional id windrow.s/p/t/0") {
		t.Errorf("got %v", err)
	}
}
