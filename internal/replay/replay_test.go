package replay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/internal/kafkatest"
	"github.com/windrow-io/windrow/internal/replay"
	"github.com/windrow-io/windrow/pkg/letter"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	sinkkafka "github.com/windrow-io/windrow/pkg/sink/kafka/kafkatest"
	"github.com/windrow-io/windrow/pkg/sink/sinktest"
	"github.com/windrow-io/windrow/pkg/window"
)

var pipeline = replay.Pipeline{Stream: sinktest.Stream, Pipeline: sinktest.Pipeline}

// rig is a Kafka with a source of two partitions and the dead letters of a Kafka sink.
type rig struct {
	t       *testing.T
	cluster []kgo.Opt
	sink    *sinkkafka.Target
	letters *replay.Topic
	client  *kgo.Client
}

func newRig(t *testing.T) *rig {
	k := kafkatest.Start(t, 1, kfake.SeedTopics(2, "in", "other"), kfake.SeedTopics(1, "out"))
	x := sinkkafka.Open(t, k.ListenAddrs(), "out", sink.OutputWindow)
	if err := x.Sink().Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	cluster := []kgo.Opt{kgo.SeedBrokers(k.ListenAddrs()...)}
	return &rig{t: t, cluster: cluster, sink: x, letters: replay.InTopic(cluster, "out.dead"), client: kafkatest.Client(t, k)}
}

// die writes dead letters as the sink does.
func (r *rig) die(ds ...*sink.Dead) {
	r.t.Helper()
	g := r.sink.Sink().Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	for _, d := range ds {
		g.Dead(sinktest.Now, d)
	}
	r.sink.Write(r.t, g)
}

func (r *rig) open(to string) *replay.Replayer {
	r.t.Helper()
	b, err := replay.Open(r.t.Context(), r.cluster, pipeline, to)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(b.Close)
	return b
}

// putBack puts all letters back and says how it went, per letter.
func (r *rig) putBack(b *replay.Replayer) (how map[string]error) {
	r.t.Helper()
	how = map[string]error{}
	if others, err := r.letters.Each(r.t.Context(), func(l *letter.Letter) error {
		how[l.ID] = b.PutBack(r.t.Context(), l)
		return nil
	}); err != nil || others != 0 {
		r.t.Fatal(others, err)
	}
	if err := b.Flush(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return how
}

// came reads what is committed in a topic.
func (r *rig) came(topic string) (rs []*kgo.Record) {
	r.t.Helper()
	_, err := replay.Scan(r.t.Context(), r.cluster, topic, func(r *kgo.Record) { rs = append(rs, r) })
	if err != nil {
		r.t.Fatal(err)
	}
	return rs
}

func source(partition int32, offset int64, value []byte) *record.Record {
	return &record.Record{Topic: "in", Partition: partition, Offset: offset, Timestamp: 1_790_000_000_000 + offset, Value: value}
}

// Records come back as they were, to the byte, with two headers more; a second time they don't.
func TestRecordsComeBack(t *testing.T) {
	r := newRig(t)
	var died []*record.Record
	for i, v := range [][]byte{
		[]byte("no JSON"), []byte(`"a JSON string"`), []byte(`{ "a" : 1.50, "a":2, "é":"\u00e9\/" }`), []byte("caf\xe9"), []byte("null"), {}, nil, []byte(" [1]\n "), []byte("12345678901234567890.5e3"),
	} {
		x := source(int32(i%2), int64(i), v)
		switch i {
		case 0:
			x.Key = []byte("key\xff")
			x.SetHeaders(record.Header{Key: "h", Value: []byte("1")}, record.Header{Key: "h", Value: nil}, record.Header{Key: letter.HeaderTo, Value: []byte("of a former replay")})
		case 1:
			x.Key = []byte{}
		}
		died = append(died, x)
		r.die(&sink.Dead{Record: x, Reason: "not-json", Err: errors.New("why"), First: sinktest.Now, Last: sinktest.Now})
	}
	for id, err := range r.putBack(r.open("")) {
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	for id, err := range r.putBack(r.open("")) {
		if !errors.Is(err, replay.ErrReplayed) {
			t.Errorf("again, %s: %v", id, err)
		}
	}
	came := r.came("in")
	if len(came) != len(died) {
		t.Fatalf("%d records came, want %d", len(came), len(died))
	}
	slices.SortFunc(came, func(a, b *kgo.Record) int { return a.Timestamp.Compare(b.Timestamp) })
	for i, x := range died {
		c := came[i]
		if c.Partition != x.Partition || c.Timestamp.UnixMilli() != x.Timestamp || !same(c.Key, x.Key) || !same(c.Value, x.Value) {
			t.Errorf("record %d came as %d %v %q %q, it was %d %d %q %q", i, c.Partition, c.Timestamp, c.Key, c.Value, x.Partition, x.Timestamp, x.Key, x.Value)
		}
		want := []kgo.RecordHeader{}
		for h := range x.Headers() {
			if h.Key != letter.HeaderTo {
				want = append(want, kgo.RecordHeader{Key: h.Key, Value: h.Value})
			}
		}
		want = append(want, kgo.RecordHeader{Key: letter.HeaderTo, Value: []byte("stream/pipeline")})
		if n := len(want); len(c.Headers) != n+1 || fmt.Sprintf("%q", c.Headers[:n]) != fmt.Sprintf("%q", want) || c.Headers[n].Key != letter.HeaderID {
			t.Errorf("record %d came with the headers %q, want %q and its letter's id", i, c.Headers, want)
		}
	}
	noted, err := replay.Noted(t.Context(), r.cluster, pipeline)
	if err != nil || len(noted) != len(died) {
		t.Errorf("%d letters are noted, %v", len(noted), err)
	}
}

func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }

func dead(i int) *sink.Dead {
	return &sink.Dead{Record: source(0, int64(i), fmt.Appendf(nil, "value %d", i)), Reason: "not-json", First: sinktest.Now, Last: sinktest.Now}
}

// requireOnce requires the letters 0 … n-1 to have come back exactly once.
func (r *rig) requireOnce(n int) {
	r.t.Helper()
	times := map[string]int{}
	for _, c := range r.came("in") {
		times[string(c.Value)]++
	}
	for i := range n {
		if v := fmt.Sprintf("value %d", i); times[v] != 1 {
			r.t.Errorf("%q came %d times", v, times[v])
		}
	}
	if len(times) != n {
		r.t.Errorf("%d records came, want %d", len(times), n)
	}
}

// A replay that dies between writing and committing has put nothing back; one that starts ends one that runs.
func TestReplaysThatDie(t *testing.T) {
	r := newRig(t)
	const n = 450 // three transactions
	var ds []*sink.Dead
	for i := range n {
		ds = append(ds, dead(i))
	}
	r.die(ds...)
	first := r.open("")
	count, written := 0, errors.New("written, and not committed")
	_, err := r.letters.Each(t.Context(), func(l *letter.Letter) error {
		if count++; count > 300 { // the first transaction is committed, of the second one half is there
			return written
		}
		return first.PutBack(t.Context(), l)
	})
	if !errors.Is(err, written) {
		t.Fatal(err)
	}
	if err := first.WriteOnly(t.Context()); err != nil {
		t.Fatal(err)
	}
	how := r.putBack(r.open(""))
	before := 0
	for _, err := range how {
		if errors.Is(err, replay.ErrReplayed) {
			before++
		} else if err != nil {
			t.Error(err)
		}
	}
	if before != 200 {
		t.Errorf("%d letters had been put back, want 200", before)
	}
	r.requireOnce(n)

	older := r.open("")
	r.open("")
	r.die(dead(n))
	last := 0
	_, err = r.letters.Each(t.Context(), func(l *letter.Letter) error {
		if strings.Contains(l.ID, fmt.Sprintf("/%d@", n)) {
			last++
			return older.PutBack(t.Context(), l)
		}
		return nil
	})
	if err != nil || last != 1 {
		t.Fatal(err, last)
	}
	if err := older.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "another replay of this pipeline has started") {
		t.Errorf("a replay went on after another had started: %v", err)
	}
	r.requireOnce(n)
}

// A window comes back as a record that is the window.
func TestWindowsComeBack(t *testing.T) {
	r := newRig(t)
	w := sinktest.Keyed([]byte("k"), 3, sinktest.Odd()...)
	w.Shard = "in/1"
	r.die(&sink.Dead{Window: w, Reason: "handler", Err: errors.New("why"), Attempts: 5, First: sinktest.Now - 9, Last: sinktest.Now})
	for id, err := range r.putBack(r.open("")) {
		if err != nil || id != w.ID(0) {
			t.Errorf("%s: %v", id, err)
		}
	}
	came := r.came("in")
	if len(came) != 1 || came[0].Partition != 1 || string(came[0].Key) != "k" {
		t.Fatalf("came: %v", came)
	}
	rec := record.Record{Key: came[0].Key, Value: came[0].Value}
	var hs []record.Header
	for _, h := range came[0].Headers {
		hs = append(hs, record.Header{Key: h.Key, Value: h.Value})
	}
	rec.SetHeaders(hs...)
	if foreign, _ := letter.Addressed(&rec, "stream", "another"); !foreign {
		t.Error("another pipeline would take it")
	}
	foreign, id := letter.Addressed(&rec, sinktest.Stream, sinktest.Pipeline)
	if foreign || id != w.ID(0) {
		t.Fatal(foreign, id)
	}
	again, err := letter.Window(id, rec.Value)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID(0) != w.ID(0) || again.ID(1) == w.ID(0) || again.LetterID(0) != w.ID(0)+"#1" || again.Seq != w.Seq || again.Start != w.Start ||
		again.End != w.End || again.Reason != w.Reason || again.Emitter != w.Emitter || string(again.Key) != "k" || len(again.Records) != len(w.Records) {
		t.Errorf("came as %+v, was %+v", again, w)
	}

	// It dies again: another letter, which can be put back, too.
	r.die(&sink.Dead{Window: again, Reason: "handler", Err: errors.New("why"), Attempts: 5, First: sinktest.Now, Last: sinktest.Now})
	how := r.putBack(r.open(""))
	if err := how[w.ID(0)]; !errors.Is(err, replay.ErrReplayed) {
		t.Errorf("the first letter: %v", err)
	}
	if err, ok := how[w.ID(0)+"#1"]; !ok || err != nil {
		t.Errorf("the second letter: %v, %v", ok, err)
	}
	came = r.came("in")
	if len(came) != 2 || !reflect.DeepEqual(sinktest.Decode(came[1].Value), sinktest.Decode(came[0].Value)) {
		t.Errorf("it came %d times, and should twice, the same", len(came))
	}
}

// What can't be put back stays where it is, and says why; --to helps where the place is gone.
func TestWhatCanNotBePutBack(t *testing.T) {
	r := newRig(t)
	gone, direct, shrunk, tooLarge := source(0, 1, []byte("1")), source(0, 2, []byte("2")), source(7, 3, []byte("3")), source(0, 4, []byte("4"))
	gone.Topic, direct.Topic = "gone", "direct"
	for _, x := range []*record.Record{gone, direct, shrunk} {
		r.die(&sink.Dead{Record: x, Reason: "not-json"})
	}
	r.die(&sink.Dead{Record: tooLarge, Reason: "too-large"}, &sink.Dead{Window: &window.Window{Stream: "stream", Pipeline: "another", Shard: "in/0"}, Reason: "handler"})
	want := []string{"does not exist any more", "no partition of a topic", "has no partition 7", "whole record", "of pipeline another"}
	check := func(how map[string]error, want []string) {
		t.Helper()
		var cant []string
		for id, err := range how {
			var c *replay.CantError
			if errors.As(err, &c) {
				cant = append(cant, err.Error())
			} else if err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
		for _, w := range want {
			if !slices.ContainsFunc(cant, func(c string) bool { return strings.Contains(c, w) }) {
				t.Errorf("nothing says %q: %q", w, cant)
			}
		}
		if len(cant) != len(want) {
			t.Errorf("%d letters can't be put back, want %d: %q", len(cant), len(want), cant)
		}
	}
	check(r.putBack(r.open("")), want)
	check(r.putBack(r.open("other")), want[3:])
	if came := r.came("other"); len(came) != 3 {
		t.Errorf("%d records came to the other topic, want 3", len(came))
	}
}

func TestStopped(t *testing.T) {
	r := newRig(t)
	r.die(dead(0))
	b := r.open("")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	cancel()
	if _, err := r.letters.Each(ctx, func(*letter.Letter) error { return nil }); err == nil {
		t.Error("a scan goes on after it was stopped")
	}
	r.putBack(b)
	r.requireOnce(1)
}
