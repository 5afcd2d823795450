package journal

import (
	"fmt"
	"maps"
	"math/rand"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/windrow-io/windrow/e2e/lab"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/journal"
)

// The cleaner works as fast as it can, on segments as small as Kafka allows, while two shards write to one partition and
// are taken over again and again; the broker is killed on the way, too.
func TestCompactionAndKills(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	k := lab.Kafka(t,
		lab.Property("log.cleaner.backoff.ms", "50"), lab.Property("log.cleaner.threads", "1"),
		lab.Property("log.cleaner.min.cleanable.ratio", "0.01"), lab.Property("log.cleaner.delete.retention.ms", "0"))
	p := newPipeline(t, k, journal.Options{})
	topic := "windrow.e2e." + p.name + ".journal"
	fast := []kadm.AlterConfig{}
	for name, value := range map[string]string{"segment.ms": "200", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "0", "max.compaction.lag.ms": "500"} {
		fast = append(fast, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
	}
	if res, err := k.Admin(t).AlterTopicConfigs(ctx, fast, topic); err != nil || res[0].Err != nil {
		t.Fatal(err, res)
	}
	random := rand.New(rand.NewSource(3))
	shards := []string{"t/0", "t/1"}
	owners := map[string]*journal.Owner{}
	want := map[string]*journal.History{}
	next := map[string]int64{}
	var written []string
	for _, s := range shards {
		owners[s], _ = p.take(s, 0)
		want[s] = &journal.History{}
	}
	end := time.Now().Add(25 * time.Second)
	takes, killed := 0, false
	for time.Now().Before(end) {
		s := shards[random.Intn(len(shards))]
		h := want[s]
		if !killed && time.Until(end) < 12*time.Second {
			killed = true
			// A lone Kafka 4.3.1 that is killed while it completes a transaction may leave it open for ever: it begins again
			// with metadata from before the topics were made, and takes them for deleted.
			lab.WaitFor(t, 30*time.Second, "the transactions to be complete", func() bool { return p.complete(topic, 1) && p.complete(p.out, outputs) })
			k.Kill()
			k.Start(t)
			for _, s := range shards { // their connections are gone
				owners[s], _ = p.take(s, 0)
			}
		}
		switch random.Intn(12) {
		case 0:
			c := checkpoint(next[s], make([]byte, random.Intn(1_500_000)))
			random.Read(c.State)
			must(t, owners[s].Checkpoint(ctx, c))
			want[s] = &journal.History{Checkpoint: c}
		case 1:
			hint := int64(0)
			if h.Checkpoint != nil && random.Intn(2) == 0 {
				hint = h.Checkpoint.Offset
			}
			o, got := p.take(s, hint)
			wantHistory(t, got, h)
			owners[s] = o
			takes++
		default:
			next[s]++
			d, value := decision(next[s]), fmt.Sprintf("%s window %d", s, next[s])
			must(t, owners[s].Commit(ctx, []wire.Batch{p.output(random.Intn(outputs), value)}, []journal.Decision{d}, 0))
			h.Decisions = append(h.Decisions, d)
			written = append(written, value)
		}
	}
	p.wantWritten(written...)
	lab.WaitFor(t, 30*time.Second, "the cleaner to have taken something", func() bool {
		ends, err := p.cluster.Offsets(ctx, topic, []int32{0}, wire.Latest, false)
		must(t, err)
		return p.records(topic) < int(ends[0])/2
	})
	for _, s := range shards {
		_, h := p.take(s, 0)
		wantHistory(t, h, want[s])
	}
	t.Logf("%d windows, %d takeovers", len(written), takes)
}

// complete reports whether no transaction is open in a topic.
func (p *pipeline) complete(topic string, partitions int32) bool {
	p.t.Helper()
	var all []int32
	for n := range partitions {
		all = append(all, n)
	}
	ends, err := p.cluster.Offsets(p.t.Context(), topic, all, wire.Latest, false)
	must(p.t, err)
	stable, err := p.cluster.Offsets(p.t.Context(), topic, all, wire.Latest, true)
	must(p.t, err)
	return maps.Equal(ends, stable)
}

// records counts what a partition still holds.
func (p *pipeline) records(topic string) int {
	return len(p.kafka.Consume(p.t, topic).ToEnd())
}
