package kafka_test

import (
	"bytes"
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/sink/kafka"
	"github.com/windrow-io/windrow/pkg/sink/sinktest"
	"github.com/windrow-io/windrow/pkg/template"
	"github.com/windrow-io/windrow/pkg/window"
)

// openSink is a sink with the options, beside a target that reads what it writes to outTopic.
func openSink(t *testing.T, o kafka.Options) (target, *kafka.Sink) {
	t.Helper()
	x := newTarget(t, "")
	x.Create(t, outTopic, 8)
	x.Alter(t, outTopic, maxMessage)
	c := wire.New(wire.Config{Brokers: x.fake.ListenAddrs(), ClientID: "templated"})
	t.Cleanup(c.Close)
	s := kafka.New(c, o)
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	check(t, s)
	return x, s
}

// templated is a sink into outTopic with OUTPUT_KEY and OUTPUT_HEADERS like these.
func templated(t *testing.T, key, headers string) (target, *kafka.Sink) {
	t.Helper()
	o := kafka.Options{Topic: outTopic}
	if key != "" {
		o.Key = sinktest.Template(t, key)
	}
	if headers != "" {
		var err error
		if o.Headers, err = template.ParseList(headers, time.UTC); err != nil {
			t.Fatal(err)
		}
	}
	return openSink(t, o)
}

// consume reads n records of a topic.
func consume(t *testing.T, fake *kfake.Cluster, topic string, n int) (rs []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for len(rs) < n {
		got := client.PollFetches(ctx)
		if err := got.Err(); err != nil {
			t.Fatalf("%d of %d records: %v", len(rs), n, err)
		}
		rs = append(rs, got.Records()...)
	}
	return rs
}

func headersOf(r *kgo.Record) map[string]string {
	m := map[string]string{}
	for _, h := range r.Headers {
		m[h.Key] = string(h.Value)
	}
	for _, own := range []string{kafka.HeaderID, kafka.HeaderStart, kafka.HeaderEnd} {
		if m[own] == "" {
			m[own] = "missing"
		} else {
			delete(m, own)
		}
	}
	return m
}

func TestTemplates(t *testing.T) {
	x, s := templated(t, "k/{{key}}", "site={{key}}, seq={{seq}}, day={{start.date}}")
	g := s.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	ws := []*window.Window{
		sinktest.Keyed([]byte("north"), 0, []byte("1")),
		sinktest.Keyed([]byte("a key that is longer than the one before"), 1, []byte("2")),
		sinktest.Window(2, []byte("3")),
	}
	result := sinktest.Keyed([]byte("south"), 3, []byte("4"))
	result.Result = []byte("made")
	for _, w := range append(ws, result) {
		g.Add(sinktest.Now, w)
	}
	x.Write(t, g)
	byKey := map[string]*kgo.Record{}
	for _, r := range consume(t, x.fake, outTopic, 4) {
		byKey[string(r.Key)] = r
	}
	for _, w := range append(ws, result) {
		key := "k/" + string(w.Key)
		r := byKey[key]
		if r == nil {
			t.Errorf("no record has the key %q", key)
			continue
		}
		if want := kafka.PartitionOf([]byte(key), 8); r.Partition != want {
			t.Errorf("%q is in partition %d, want %d", key, r.Partition, want)
		}
		day := time.UnixMilli(w.Start).UTC().Format(time.DateOnly)
		if got, want := headersOf(r), map[string]string{"site": string(w.Key), "seq": string(rune('0' + w.Seq)), "day": day}; !maps.Equal(got, want) {
			t.Errorf("%q has the headers %v, want %v", key, got, want)
		}
	}
}

// A window without a key for which the template makes nothing is written as without a template: no key, home partition.
func TestTemplateMakesNothing(t *testing.T) {
	x, s := templated(t, "{{key}}", "")
	g := s.Group(sinktest.Stream, sinktest.Pipeline, "events/3")
	g.Add(sinktest.Now, sinktest.Window(0, []byte("1")))
	g.Add(sinktest.Now, sinktest.Keyed([]byte{}, 1, []byte("2")))
	x.Write(t, g)
	for _, r := range consume(t, x.fake, outTopic, 2) {
		if bytes.Contains(r.Value, []byte(`"seq":0,`)) {
			if r.Key != nil || r.Partition != 3 {
				t.Errorf("without a key: key %q in partition %d, want none in 3", r.Key, r.Partition)
			}
		} else if r.Key == nil || r.Partition != kafka.PartitionOf(nil, 8) {
			t.Errorf("with an empty key: key %q in partition %d", r.Key, r.Partition)
		}
	}
}

// What templates make counts toward the topic's limit: a window is split so that its parts have room with their headers,
// and one whose headers alone are over it becomes a dead letter.
func TestTemplatesCount(t *testing.T) {
	x, s := templated(t, "", "a={{key}}, b={{key}}, c={{key}}")
	g := s.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	key := bytes.Repeat([]byte("k"), maxMessage/8)
	values := make([][]byte, 100)
	for i := range values {
		values[i] = []byte(`"` + strings.Repeat("v", 1000) + `"`)
	}
	g.Add(sinktest.Now, sinktest.Keyed(key, 0, values...))
	n := 0
	for _, b := range g.Batches() {
		if b.Topic == outTopic {
			n++
		}
		if b.Topic == outTopic && b.Builder.Size() > maxMessage {
			t.Errorf("a batch has %d bytes, more than %d", b.Builder.Size(), maxMessage)
		}
	}
	if n < 2 {
		t.Errorf("%d batches: the window was not split", n)
	}
	x.Write(t, g)
	g.Reset()

	g.Add(sinktest.Now, sinktest.Keyed(bytes.Repeat(key, 3), 1, []byte("1")))
	if list := g.Batches(); len(list) != 1 || list[0].Topic != outTopic+".dead" {
		t.Errorf("%d batches, want a dead letter alone", len(list))
	}
}

// Templates cost no allocation either.
func TestTemplatesAllocate(t *testing.T) {
	_, s := templated(t, "{{key}}", "site={{key}}, day={{start.date}}")
	w := sinktest.Keyed([]byte("north"), 0, []byte("1"))
	g := s.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	fill := func() {
		for range 100 {
			g.Add(sinktest.Now, w)
		}
		g.Batches()
		g.Reset()
	}
	fill()
	if n := testing.AllocsPerRun(5, fill) / 100; n > 2 {
		t.Errorf("%.1f allocations a window, want its id alone", n)
	}
}
