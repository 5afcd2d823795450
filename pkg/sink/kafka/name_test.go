package kafka_test

import (
	"strings"
	"testing"

	"github.com/windrow-io/windrow/pkg/sink/kafka"
	"github.com/windrow-io/windrow/pkg/sink/sinktest"
)

// Windows go to the topics that the template names, which are made; what can't be a topic's name, and what would come in
// again, becomes a dead letter.
func TestTopicByTemplate(t *testing.T) {
	const journal = "journal"
	x, s := openSink(t, kafka.Options{Topic: outTopic, Name: sinktest.Template(t, "{{key}}"), Reserved: []string{journal}})
	x.Create(t, "north", 3) // the other is missing
	g := s.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	want := map[string]int{}
	for seq := range int64(20) {
		key := []string{"north", "south"}[seq%2]
		g.Add(sinktest.Now, sinktest.Keyed([]byte(key), seq, []byte("1")))
		want[key]++
	}
	g.Add(sinktest.Now, sinktest.Window(20, []byte("2"))) // for which the template makes nothing
	want[outTopic]++
	result := sinktest.Keyed([]byte("south"), 21, []byte("3"))
	result.Result = []byte("made")
	g.Add(sinktest.Now, result)
	want["south"]++
	input, _, _ := strings.Cut(sinktest.Shard, "/")
	bad := []string{"a topic", "..", "\xff", strings.Repeat("n", 250), journal, outTopic + ".dead", input}
	for i, key := range bad {
		g.Add(sinktest.Now, sinktest.Keyed([]byte(key), int64(30+i), []byte("4")))
	}
	size := 0
	for _, b := range g.Batches() {
		size += b.Builder.Size()
	}
	if g.Size() == 0 || g.Size() > size {
		t.Errorf("the group's size is %d, its batches have %d bytes", g.Size(), size)
	}
	x.Write(t, g)
	g.Reset()
	if g.Size() != 0 || len(g.Batches()) != 0 {
		t.Error("something is left after Reset")
	}
	for topic, n := range want {
		if got := len(consume(t, x.fake, topic, n)); got != n {
			t.Errorf("topic %s has %d records, want %d", topic, got, n)
		}
	}
	letters := consume(t, x.fake, outTopic+".dead", len(bad))
	if len(letters) != len(bad) {
		t.Fatalf("%d dead letters, want %d", len(letters), len(bad))
	}
	for _, l := range letters {
		if !strings.Contains(string(l.Value), `"bad-name"`) {
			t.Errorf("a dead letter is %s", l.Value)
		}
	}
	// A group that is filled again writes to the same topics.
	g.Add(sinktest.Now, sinktest.Keyed([]byte("north"), 40, []byte("5")))
	x.Write(t, g)
	if got := len(consume(t, x.fake, "north", want["north"]+1)); got != want["north"]+1 {
		t.Errorf("%d records after another group", got)
	}
}

// A template that would make topics without end is stopped.
func TestTopicsAreBounded(t *testing.T) {
	x, s := openSink(t, kafka.Options{Topic: outTopic, Name: sinktest.Template(t, "out.{{seq}}")})
	s.BoundTopics(3)
	g := s.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	for seq := range int64(5) {
		g.Add(sinktest.Now, sinktest.Window(seq, []byte("1")))
	}
	byTopic := map[string]int{}
	for _, b := range g.Batches() {
		byTopic[b.Topic]++
	}
	if len(byTopic) != 4 || byTopic[outTopic+".dead"] != 1 {
		t.Errorf("batches for %v, want three topics and dead letters", byTopic)
	}
	x.Write(t, g)
	if letters := consume(t, x.fake, outTopic+".dead", 2); len(letters) != 2 {
		t.Errorf("%d dead letters, want 2", len(letters))
	}
}
