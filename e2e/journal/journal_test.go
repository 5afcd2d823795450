// Package journal tests the journal's promises on a real Kafka: what the broker refuses, hides and keeps, no stand-in is to
// be trusted with.
package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/e2e/lab"
	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/journal"
	"github.com/windrow-io/windrow/pkg/record"
)

func TestMain(m *testing.M) { lab.Main(m) }

// pipeline is a journal and an output topic of its own.
type pipeline struct {
	t       testing.TB
	kafka   *lab.KafkaServer
	cluster *wire.Cluster
	name    string
	journal *journal.Journal
	out     string
}

const (
	outputs    = 4 // partitions
	testClient = "journal-test"
)

func newPipeline(t testing.TB, k *lab.KafkaServer, o journal.Options) *pipeline {
	t.Helper()
	p := &pipeline{t: t, kafka: k, name: lab.Name(t)}
	p.out = p.name + "-out"
	k.CreateTopic(t, p.out, outputs)
	p.cluster = wire.New(wire.Config{Brokers: []string{k.Addr}, ClientID: testClient})
	t.Cleanup(p.cluster.Close)
	p.journal = p.open(o)
	return p
}

func (p *pipeline) open(o journal.Options) *journal.Journal {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	o.Stream, o.Pipeline, o.Topic = "e2e", p.name, "windrow.e2e."+p.name+".journal"
	if o.Partitions == 0 {
		o.Partitions = 1 // shards are to meet
	}
	if o.Logger == nil {
		o.Logger = zap.NewExample()
	}
	j, err := journal.Open(ctx, p.cluster, o)
	if err != nil {
		p.t.Fatal(err)
	}
	return j
}

func (p *pipeline) transactionalID(shard string) string {
	return "windrow.e2e/" + p.name + "/" + shard
}

func (p *pipeline) take(shard string, hint int64) (*journal.Owner, *journal.History) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 60*time.Second)
	defer cancel()
	o, h, err := p.journal.Take(ctx, shard, hint, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return o, h
}

func (p *pipeline) output(partition int, values ...string) wire.Batch {
	b := new(record.Builder)
	for _, v := range values {
		b.Add(time.Now().UnixMilli(), []byte("key"), []byte(v))
	}
	return wire.Batch{Topic: p.out, Partition: int32(partition % outputs), Builder: b}
}

// written is what another client, franz-go's, reads of the output: committed records alone, in order of their values. A
// transaction is decided a little before its records can be read.
func (p *pipeline) written() []string {
	p.t.Helper()
	lab.WaitFor(p.t, 30*time.Second, "the transactions to be complete", func() bool { return p.complete(p.out, outputs) })
	var vs []string
	for _, r := range p.kafka.Consume(p.t, p.out).ToEnd() {
		vs = append(vs, string(r.Value))
	}
	slices.Sort(vs)
	return vs
}

func (p *pipeline) wantWritten(want ...string) {
	p.t.Helper()
	slices.Sort(want)
	if got := p.written(); !slices.Equal(got, want) {
		p.t.Fatalf("output: %q, want %q", got, want)
	}
}

func decision(k int64) journal.Decision {
	d := journal.Decision{K: k, Now: 1_700_000_000_000 + 7*k, Positions: map[string]int64{"t/0": 100 * k}, Outputs: int(k % 3)}
	if k%4 == 0 {
		d.Positions["t/1"] = k
		d.Receipts = []journal.Receipt{{Lane: "t/0", Offset: 100*k - 50, Ms: d.Now - 3}, {Lane: "t/1", Offset: k - 1, Ms: d.Now}}
	}
	return d
}

func checkpoint(k int64, state []byte) *journal.Checkpoint {
	return &journal.Checkpoint{K: k, Now: 1_700_000_000_000 + 7*k, Positions: map[string]int64{"t/0": 100 * k, "t/1": k},
		Settings: []byte(`{"emitter":"count"}`), State: state}
}

func wantHistory(t testing.TB, got, want *journal.History) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("history:\n got %s\nwant %s", show(got), show(want))
	}
}

func show(h *journal.History) string {
	if h.Checkpoint == nil {
		return fmt.Sprintf("no checkpoint, %+v", h.Decisions)
	}
	c := *h.Checkpoint
	c.State = nil
	return fmt.Sprintf("%+v (state of %d bytes), %+v", c, len(h.Checkpoint.State), h.Decisions)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadsBackWhatWasCommitted(t *testing.T) {
	t.Parallel()
	for _, atLeastOnce := range []bool{false, true} {
		t.Run(fmt.Sprintf("at-least-once-%v", atLeastOnce), func(t *testing.T) {
			ctx := t.Context()
			p := newPipeline(t, lab.Kafka(t), journal.Options{AtLeastOnce: atLeastOnce})
			state := make([]byte, 5<<20)
			rand.New(rand.NewSource(1)).Read(state)
			shards := []string{"t/0", "t/1", "0"}
			want := map[string]*journal.History{}
			var wrote []string
			for _, s := range shards {
				o, h := p.take(s, 0)
				wantHistory(t, h, &journal.History{})
				must(t, o.Checkpoint(ctx, checkpoint(0, []byte("first"))))
				must(t, o.Commit(ctx, []wire.Batch{p.output(0, s+"a"), p.output(1, s+"b"), p.output(0, s+"c")}, []journal.Decision{decision(1), decision(2)}, 0))
				c := checkpoint(2, state)
				must(t, o.Checkpoint(ctx, c))
				must(t, o.Commit(ctx, []wire.Batch{p.output(3, s+"d")}, []journal.Decision{decision(3), decision(4)}, 0))
				must(t, o.Commit(ctx, nil, []journal.Decision{decision(5)}, 4))
				want[s] = &journal.History{Checkpoint: c, Decisions: []journal.Decision{decision(3), decision(4), decision(5)}, Delivered: 4}
				wrote = append(wrote, s+"a", s+"b", s+"c", s+"d")
			}
			for _, s := range shards {
				for _, hint := range []int64{0, want[s].Checkpoint.Offset, want[s].Checkpoint.Offset + 1, 3, 1 << 40} {
					_, h := p.take(s, hint)
					wantHistory(t, h, want[s])
				}
			}
			p.wantWritten(wrote...)
		})
	}
}

func TestZombieIsRefused(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := newPipeline(t, lab.Kafka(t), journal.Options{})
	old, _ := p.take("t/0", 0)
	must(t, old.Commit(ctx, []wire.Batch{p.output(0, "old")}, []journal.Decision{decision(1)}, 0))
	next, h := p.take("t/0", 0)
	wantHistory(t, h, &journal.History{Decisions: []journal.Decision{decision(1)}})
	if err := old.Commit(ctx, []wire.Batch{p.output(0, "zombie"), p.output(1, "zombie")}, []journal.Decision{decision(2)}, 0); !errors.Is(err, journal.ErrFenced) {
		t.Fatalf("a zombie's commit: %v", err)
	}
	must(t, next.Commit(ctx, []wire.Batch{p.output(0, "new")}, []journal.Decision{decision(2)}, 0))
	p.wantWritten("old", "new")
	_, h = p.take("t/0", 0)
	wantHistory(t, h, &journal.History{Decisions: []journal.Decision{decision(1), decision(2)}})
}

// The old owner's transaction is open, its records lie in the log; what it still sends is refused at every step.
func TestTakesDuringAnOpenTransaction(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"add", "produce", "end"} {
		t.Run("the-old-owner-goes-on-with-"+step, func(t *testing.T) {
			ctx := t.Context()
			p := newPipeline(t, lab.Kafka(t), journal.Options{})
			o, _ := p.take("t/0", 0)
			must(t, o.Commit(ctx, []wire.Batch{p.output(0, "old")}, []journal.Decision{decision(1)}, 0))

			old := p.cluster.Transaction(p.transactionalID("t/0"), 15*time.Second)
			var epoch record.Producer
			must(t, again(ctx, func() (err error) { epoch, err = old.Init(ctx); return err }))
			var err error
			journalTopic := "windrow.e2e." + p.name + ".journal"
			places := map[string][]int32{p.out: {0}, journalTopic: {0}}
			add := func() error {
				return again(ctx, func() error { return old.Add(ctx, epoch, places) })
			}
			produce := func() error {
				leader, err := p.cluster.Leader(ctx, p.out, 0)
				must(t, err)
				var raws []wire.Raw
				for _, b := range []wire.Batch{p.output(0, "zombie"), {Topic: journalTopic, Builder: new(record.Builder)}} {
					if b.Topic == journalTopic {
						b.Builder.Add(time.Now().UnixMilli(), []byte("t/0/d/1"), []byte("not even a record"))
					}
					sealed, err := b.Builder.Seal(epoch, 0, true, record.None)
					must(t, err)
					raws = append(raws, wire.Raw{Topic: b.Topic, Partition: 0, Bytes: sealed})
				}
				res, err := p.cluster.Produce(ctx, leader, old.ID(), raws, 10*time.Second)
				if err != nil {
					return err
				}
				for _, r := range res {
					if r.Err == nil {
						err = nil
					}
				}
				return errors.Join(res[0].Err, res[1].Err)
			}
			if step != "add" {
				must(t, add())
			}
			if step == "end" {
				must(t, produce())
			}
			next, h := p.take("t/0", 0)
			wantHistory(t, h, &journal.History{Decisions: []journal.Decision{decision(1)}})
			switch step {
			case "add":
				err = add()
			case "produce":
				err = produce()
			case "end":
				err = old.End(ctx, epoch, true)
			}
			if err == nil {
				t.Fatal("the old owner was not refused")
			}
			t.Logf("refused: %v", err)
			must(t, next.Commit(ctx, []wire.Batch{p.output(0, "new")}, []journal.Decision{decision(2)}, 0))
			_, h = p.take("t/0", 0)
			wantHistory(t, h, &journal.History{Decisions: []journal.Decision{decision(1), decision(2)}})
			p.wantWritten("old", "new")
		})
	}
}

// again repeats what Kafka answers with "still completing the transaction before".
func again(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if !wire.Retry(err) || !pause.For(ctx, time.Millisecond) {
			return err
		}
	}
}

// Without transactions: the new owner's mark keeps the old one's decisions out of the journal.
func TestAtLeastOnceFences(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := newPipeline(t, lab.Kafka(t), journal.Options{AtLeastOnce: true})
	old, _ := p.take("t/0", 0)
	must(t, old.Checkpoint(ctx, checkpoint(0, nil)))
	must(t, old.Commit(ctx, []wire.Batch{p.output(0, "old")}, []journal.Decision{decision(1)}, 0))
	next, _ := p.take("t/0", 0)
	if err := old.Commit(ctx, []wire.Batch{p.output(0, "zombie")}, []journal.Decision{decision(2)}, 0); !errors.Is(err, journal.ErrFenced) {
		t.Fatalf("a zombie's commit: %v", err)
	}
	must(t, next.Commit(ctx, []wire.Batch{p.output(0, "new")}, []journal.Decision{decision(2)}, 0))
	c := checkpoint(2, []byte("state"))
	must(t, next.Checkpoint(ctx, c))
	must(t, next.Commit(ctx, nil, []journal.Decision{decision(3)}, 0))
	_, h := p.take("t/0", 0)
	wantHistory(t, h, &journal.History{Checkpoint: c, Decisions: []journal.Decision{decision(3)}})
}

func TestWorkersAgreeOnTheStart(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := newPipeline(t, lab.Kafka(t), journal.Options{})
	starts := make([]journal.Start, 4)
	var all sync.WaitGroup
	for n := range starts {
		j := p.open(journal.Options{})
		all.Go(func() {
			var err error
			starts[n], err = j.Start(ctx, func(context.Context) (journal.Start, error) {
				return journal.Start{Created: int64(n + 1), Offsets: map[string]int64{"t/0": int64(n)}}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, s := range starts {
		if s.Created == 0 || !reflect.DeepEqual(s, starts[0]) {
			t.Errorf("%+v and %+v", s, starts[0])
		}
	}
}

func TestUnfitTopicIsRefused(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, lab.Kafka(t), journal.Options{})
	_, err := journal.Open(t.Context(), p.cluster, journal.Options{Topic: p.out, Stream: "s", Pipeline: "p"})
	if !errors.Is(err, journal.ErrTopic) {
		t.Errorf("a topic that is not compacted: %v", err)
	}
	_, err = journal.Open(t.Context(), p.cluster, journal.Options{Topic: "no good/name", Stream: "s", Pipeline: "p"})
	if !errors.Is(err, journal.ErrTopic) {
		t.Errorf("a topic that can't be: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := newPipeline(t, lab.Kafka(t), journal.Options{})
	o, _ := p.take("t/0", 0)
	if err := o.Commit(ctx, []wire.Batch{p.output(1, "small"), p.output(0, string(make([]byte, 2<<20)))}, []journal.Decision{decision(1)}, 0); !errors.Is(err, journal.ErrTooLarge) {
		t.Fatalf("got %v", err)
	}
	o, h := p.take("t/0", 0)
	wantHistory(t, h, &journal.History{})
	must(t, o.Commit(ctx, []wire.Batch{p.output(1, "small")}, []journal.Decision{decision(1)}, 0))
	p.wantWritten("small")
}
