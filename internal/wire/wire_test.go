package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/windrow-io/windrow/pkg/record"
)

func start(t *testing.T, opts ...kfake.Opt) (*kfake.Cluster, *Cluster) {
	t.Helper()
	k, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	c := New(Config{Brokers: k.ListenAddrs(), ClientID: "wire-test"})
	t.Cleanup(c.Close)
	return k, c
}

// sealed is a batch of one record for each value.
func sealed(t *testing.T, p record.Producer, seq int32, txn bool, values ...string) []byte {
	t.Helper()
	var b record.Builder
	for _, v := range values {
		b.Add(time.Now().UnixMilli(), nil, []byte(v))
	}
	raw, err := b.Seal(p, seq, txn, record.None)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

var nobody = record.Producer{ID: -1, Epoch: -1}

// values decodes the data of a fetched partition.
func values(t *testing.T, f Fetched, from int64) (vs []string) {
	t.Helper()
	var d record.Decoder
	for p := f.Records; len(p) > 0; {
		b, rest, err := record.ParseBatch(p)
		if errors.Is(err, record.ErrShort) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		p = rest
		if b.Control() {
			continue
		}
		if err := b.CheckCRC(); err != nil {
			t.Fatal(err)
		}
		if err := d.Decode(&b, &record.Record{}, from, func(r *record.Record) { vs = append(vs, string(r.Value)) }); err != nil {
			t.Fatal(err)
		}
	}
	return vs
}

func TestTopics(t *testing.T) {
	for name, opts := range map[string][]kfake.Opt{
		"with topic ids": nil,
		"an old broker":  {kfake.MaxVersions(kversion.V2_0_0())},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			_, c := start(t, append(opts, kfake.SeedTopics(5, "a"), kfake.SeedTopics(2, "b"))...)
			topics, err := c.Topics(ctx, "a", "gone")
			if err != nil {
				t.Fatal(err)
			}
			if len(topics) != 2 {
				t.Fatalf("%d topics: %v", len(topics), topics)
			}
			for _, x := range topics {
				switch x.Name {
				case "a":
					if x.Err != nil || len(x.Partitions) != 5 {
						t.Errorf("%+v", x)
					}
					for i, p := range x.Partitions {
						if p.ID != int32(i) || p.Leader < 0 || p.Err != nil {
							t.Errorf("partition %d: %+v", i, p)
						}
					}
					if zero := x.ID == [16]byte{}; zero != (opts != nil) {
						t.Errorf("topic id %x", x.ID)
					}
				case "gone":
					if !errors.Is(x.Err, kafka.UnknownTopicOrPartition) || !Retry(x.Err) {
						t.Errorf("%+v", x)
					}
				}
			}
			all, err := c.Topics(ctx)
			if err != nil || len(all) != 2 {
				t.Fatalf("all: %v, %v", all, err)
			}
		})
	}
}

func TestProduceFetchOffsets(t *testing.T) {
	for name, opts := range map[string][]kfake.Opt{
		"newest versions": nil,
		"oldest versions": {kfake.MaxVersions(kversion.V0_11_0())},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			_, c := start(t, append(opts, kfake.SeedTopics(6, "a", "b"))...)
			large := string(bytes.Repeat([]byte("x"), 3*coalesce))
			byLeader := map[int32][]Raw{}
			for _, topic := range []string{"a", "b"} {
				for p := range int32(6) {
					leader, err := c.Leader(ctx, topic, p)
					if err != nil {
						t.Fatal(err)
					}
					byLeader[leader] = append(byLeader[leader], Raw{topic, p, sealed(t, nobody, -1, false, "one", large, fmt.Sprint(topic, p))})
				}
			}
			if len(byLeader) < 2 {
				t.Fatalf("%d leaders", len(byLeader))
			}
			for leader, raws := range byLeader {
				res, err := c.Produce(ctx, leader, "", raws, time.Second)
				if err != nil {
					t.Fatal(err)
				}
				for i, r := range res {
					if r.Err != nil || r.BaseOffset != 0 {
						t.Errorf("%s %d: %+v", raws[i].Topic, raws[i].Partition, r)
					}
				}
			}
			ends, err := c.Offsets(ctx, "a", []int32{0, 1, 2, 3, 4, 5}, Latest, true)
			if err != nil {
				t.Fatal(err)
			}
			for p := range int32(6) {
				if ends[p] != 3 {
					t.Errorf("end of %d: %d", p, ends[p])
				}
			}
			if at, err := c.Offsets(ctx, "a", []int32{0, 1}, time.Now().Add(time.Hour).UnixMilli(), false); err != nil || at[0] != 3 || at[1] != 3 {
				t.Errorf("an hour from now: %v, %v", at, err)
			}
			if at, err := c.Offsets(ctx, "a", []int32{0}, time.Now().Add(-time.Hour).UnixMilli(), false); err != nil || at[0] != 0 {
				t.Errorf("an hour ago: %v, %v", at, err)
			}
			var buf []byte
			for leader, raws := range byLeader {
				r := FetchRequest{Broker: leader, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: time.Second, Buf: buf, ReadCommitted: true}
				for _, x := range raws {
					r.Partitions = append(r.Partitions, FetchPartition{x.Topic, x.Partition, 1, 1 << 20})
				}
				res, err := c.Fetch(ctx, r)
				if err != nil {
					t.Fatal(err)
				}
				if len(res.Partitions) != len(raws) {
					t.Fatalf("%d partitions", len(res.Partitions))
				}
				for _, f := range res.Partitions {
					if f.Err != nil || f.HighWatermark != 3 || f.LastStableOffset != 3 {
						t.Errorf("%+v", f)
					}
					if vs := values(t, f, 1); len(vs) != 2 || vs[0] != large || vs[1] != fmt.Sprint(f.Topic, f.Partition) {
						t.Errorf("%s %d: %d values", f.Topic, f.Partition, len(vs))
					}
				}
				buf = res.Buf
			}
		})
	}
}

// A leader that moved is reported once, and looked up again by the next call.
func TestLeaderMoves(t *testing.T) {
	ctx := t.Context()
	k, c := start(t, kfake.SeedTopics(1, "a"))
	old, err := c.Leader(ctx, "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.MoveTopicPartition("a", 0, (old+1)%3); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Offsets(ctx, "a", []int32{0}, Latest, false); !errors.Is(err, kafka.NotLeaderForPartition) || !Retry(err) {
		t.Fatalf("got %v", err)
	}
	if _, err := c.Offsets(ctx, "a", []int32{0}, Latest, false); err != nil {
		t.Fatal(err)
	}
	if now, _ := c.Leader(ctx, "a", 0); now != (old+1)%3 {
		t.Errorf("leader %d, moved to %d", now, (old+1)%3)
	}
}

func TestUnknownBroker(t *testing.T) {
	_, c := start(t, kfake.SeedTopics(1, "a"))
	_, err := c.Fetch(t.Context(), FetchRequest{Broker: 77, MaxWait: time.Second})
	if !errors.Is(err, kafka.BrokerNotAvailable) || !Retry(err) {
		t.Fatalf("got %v", err)
	}
	if _, err := c.Topics(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
}

// A cancellation ends a call at once, and nothing of the caller's memory is in use after it.
func TestCancel(t *testing.T) {
	_, c := start(t, kfake.SeedTopics(1, "a"))
	leader, err := c.Leader(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	begin := time.Now()
	buf := make([]byte, 1<<16)
	_, err = c.Fetch(ctx, FetchRequest{Broker: leader, Partitions: []FetchPartition{{"a", 0, 0, 1 << 20}}, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: 20 * time.Second, Buf: buf})
	if !errors.Is(err, context.Canceled) || Retry(err) {
		t.Fatalf("got %v", err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
	clear(buf) // the race detector looks on
	if _, err := c.Topics(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestTransaction(t *testing.T) {
	ctx := t.Context()
	k, c := start(t, kfake.SeedTopics(2, "a"))
	tx := c.Transaction("w.s.p.0", 10*time.Second)
	p, err := tx.Init(ctx)
	if err != nil {
		t.Fatal(err)
	}
	leader, err := c.Leader(ctx, "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, commit := range []bool{false, true} {
		if err := tx.Add(ctx, p, map[string][]int32{"a": {1}}); err != nil {
			t.Fatal(err)
		}
		res, err := c.Produce(ctx, leader, tx.ID(), []Raw{{"a", 1, sealed(t, p, int32(i), true, fmt.Sprint("value", i))}}, time.Second)
		if err != nil || res[0].Err != nil {
			t.Fatal(err, res)
		}
		if err := tx.End(ctx, p, commit); err != nil {
			t.Fatal(err)
		}
	}
	res, err := c.Fetch(ctx, FetchRequest{Broker: leader, Partitions: []FetchPartition{{"a", 1, 0, 1 << 20}}, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: time.Second, ReadCommitted: true})
	if err != nil {
		t.Fatal(err)
	}
	f := res.Partitions[0]
	if len(f.Aborted) != 1 || f.Aborted[0] != (Aborted{p.ID, 0}) {
		t.Errorf("aborted: %v", f.Aborted)
	}
	if vs := values(t, f, 0); len(vs) != 2 { // the reader of the aborted list is to drop the first
		t.Errorf("%v", vs)
	}

	next, err := c.Transaction(tx.ID(), 10*time.Second).Init(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if next.ID != p.ID || next.Epoch <= p.Epoch {
		t.Errorf("epoch %v after %v", next, p)
	}
	if err := tx.Add(ctx, p, map[string][]int32{"a": {1}}); !Fenced(err) || Retry(err) {
		t.Errorf("a zombie's Add: %v", err)
	}
	if err := tx.End(ctx, p, true); !Fenced(err) {
		t.Errorf("a zombie's End: %v", err)
	}

	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.AddPartitionsToTxn}, Err: kerr.ConcurrentTransactions})
	if err := tx.Add(ctx, next, map[string][]int32{"a": {0, 1}}); !errors.Is(err, kafka.ConcurrentTransactions) || !Retry(err) {
		t.Errorf("got %v", err)
	}
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.EndTxn}, Err: kerr.NotCoordinator})
	if err := tx.End(ctx, next, true); !errors.Is(err, kafka.NotCoordinatorForGroup) || !Retry(err) {
		t.Errorf("got %v", err)
	}
	if tx.coordinator != anyBroker {
		t.Error("the coordinator is not looked up again")
	}
}

func TestClient(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, c := start(t)
	made, err := c.Client().CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "new", NumPartitions: 3, ReplicationFactor: 1}}})
	if err != nil || made.Errors["new"] != nil {
		t.Fatal(err, made)
	}
	meta, err := c.Client().Metadata(ctx, &kafka.MetadataRequest{Topics: []string{"new"}})
	if err != nil || len(meta.Topics) != 1 || len(meta.Topics[0].Partitions) != 3 {
		t.Fatal(err, meta)
	}
	conf, err := c.Client().DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: "new"}}})
	if err != nil || len(conf.Resources) != 1 || len(conf.Resources[0].ConfigEntries) == 0 {
		t.Fatal(err, conf)
	}
	if _, err := c.Client().OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: "g", GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{"new": {{Partition: 1, Offset: 7}}}}); err != nil {
		t.Fatal(err)
	}
	got, err := c.Client().OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: "g", Topics: map[string][]int{"new": {1}}})
	if err != nil || got.Topics["new"][0].CommittedOffset != 7 {
		t.Fatal(err, got)
	}
}
