package source

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/internal/kafkatest"
	"github.com/windrow-io/windrow/internal/wire"
)

func TestParseTopics(t *testing.T) {
	for _, c := range []struct {
		list  string
		match string // names it matches, of those below
	}{
		{"orders", "orders"},
		{" orders , other.x,", "orders other.x"},
		{"/orders/", "orders"},
		{"/orders.*/", "orders orders-eu"},
		{"/orders|other.x/", "orders other.x"},
		{"/o{1,2}rders/ , __internal", "__internal orders"},
		{"/a/b/, orders", "orders"},
		{"/.*/", "my-orders orders orders-eu other.x"},
		{"windrow.s.p.journal", "windrow.s.p.journal"},
	} {
		ts, err := ParseTopics(c.list)
		if err != nil {
			t.Errorf("%s: %v", c.list, err)
			continue
		}
		var got []string
		for _, name := range []string{"__internal", "my-orders", "orders", "orders-eu", "other.x", "secret", "windrow.s.p.journal"} {
			if ok, _ := ts.Match(&wire.Topic{Name: name, Internal: name == "secret"}); ok {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != c.match {
			t.Errorf("%s matches %v, want %s", c.list, got, c.match)
		}
	}
	for list, words := range map[string][]string{
		"":            {"no topic"},
		" , ":         {"no topic"},
		"a b,/(/,c/d": {`"a b"`, "/(/", `"c/d"`},
		"/open":       {"ends with a slash"},
		"//":          {"empty"},
		"..":          {`".."`},
	} {
		_, err := ParseTopics(list)
		for _, w := range words {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%q: the error does not speak of %s: %v", list, w, err)
			}
		}
	}
}

func TestParseLane(t *testing.T) {
	for _, l := range []Lane{{TopicPartition{"a.b-c_d", 0}, 0}, {TopicPartition{"a", 12}, 3}} {
		if got, err := ParseLane(l.String()); err != nil || got != l {
			t.Errorf("%v comes back as %v, %v", l, got, err)
		}
	}
	for _, name := range []string{"", "a", "/1", "a/", "a/-1", "a/1@", "a/1@0", "a/1@x", "a/b/1", "a/99999999999"} {
		if l, err := ParseLane(name); err == nil {
			t.Errorf("%q is taken as %+v", name, l)
		}
	}
}

func TestParseStart(t *testing.T) {
	for text, at := range map[string]int64{
		"": wire.Earliest, "earliest": wire.Earliest, "latest": wire.Latest, "1767225600000": 1767225600000,
		"2026-01-01T00:00:00Z": 1767225600000, "2026-01-01T01:00:00.5+01:00": 1767225600500, "2026-01-01": 1767225600000,
	} {
		if s, err := ParseStart(text); err != nil || s.at != at {
			t.Errorf("%q: %+v %v", text, s, err)
		}
	}
	for _, text := range []string{"yesterday", "-1", "0", "5", "1900-01-01", "Latest "} {
		if s, err := ParseStart(text); err == nil {
			t.Errorf("%q is taken as %+v", text, s)
		}
	}
}

func TestBalancer(t *testing.T) {
	var ps []kafka.Partition
	for _, topic := range []string{"a", "b", "c", "d"} {
		ps = append(ps, kafka.Partition{Topic: topic, ID: 0})
	}
	ps = append(ps, kafka.Partition{Topic: "a", ID: 1}, kafka.Partition{Topic: "new", ID: 0})
	got := balancer{}.AssignGroups([]kafka.GroupMember{
		{ID: "m2", Topics: []string{"a", "b", "c", "d"}}, {ID: "m1", Topics: []string{"a", "b", "c", "d", "new"}}, {ID: "m3", Topics: []string{"a"}},
	}, ps)
	count := map[string]int{}
	all := 0
	for m, topics := range got {
		for topic, ids := range topics {
			count[m] += len(ids)
			all += len(ids)
			if topic == "new" && m != "m1" || m == "m3" && topic != "a" {
				t.Errorf("%s got %s, which it does not know", m, topic)
			}
		}
	}
	if all != len(ps) || count["m1"] > 3 || count["m2"] > 3 || count["m3"] == 0 {
		t.Errorf("shared as %v", got)
	}
}

func TestWatch(t *testing.T) {
	k, c := fake(t, 1, kfake.SeedTopics(2, "a", "b-1"))
	p := kafkatest.Client(t, k)
	ts, err := ParseTopics("a,late,/b-.*/")
	if err != nil {
		t.Fatal(err)
	}
	var r reports
	w := NewWatch(c, ts, 20*time.Millisecond, r.set, zap.NewNop())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(t.Context()) }()
	await.True(t, "the missing topic is reported", func() bool { return strings.Contains(r.text(), "late does not exist") })
	kafkatest.CreateTopic(t, p, "late", 1)
	kafkatest.CreateTopic(t, p, "b-2", 3)
	kafkatest.CreateTopic(t, p, "c", 1)
	await.True(t, "the new topics are seen", func() bool {
		v, _ := w.View()
		return v != nil && v.Topics["late"] != nil && v.Topics["b-2"] != nil
	})
	v, _ := w.View()
	var names []string
	for _, tp := range v.Partitions() {
		names = append(names, tp.String())
	}
	if want := []string{"a/0", "a/1", "b-1/0", "b-1/1", "b-2/0", "b-2/1", "b-2/2", "late/0"}; !slices.Equal(names, want) {
		t.Errorf("seen: %v", names)
	}
	for name, topic := range v.Topics {
		if topic.Early != (name == "a" || name == "b-1") || topic.Named != (name == "a" || name == "late") || !ID(topic.ID).Known() {
			t.Errorf("%s: %+v", name, topic)
		}
	}
	await.True(t, "nothing is missing", func() bool { return r.text() == "" })
	k.Close()
	await.True(t, "the cluster's absence is reported", func() bool { return r.text() != "" })
}
