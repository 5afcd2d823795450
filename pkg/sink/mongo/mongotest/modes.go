package mongotest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/mongo"
	"github.com/windrow-io/windrow/pkg/sink/sinktest"
	"github.com/windrow-io/windrow/pkg/window"
)

// Modes tests documents of keys, and collections by template, on whatever server speaks the protocol.
func Modes(t *testing.T, url string) {
	t.Run("replace", func(t *testing.T) { newest(t, url, mongo.ModeReplace) })
	t.Run("merge", func(t *testing.T) { newest(t, url, mongo.ModeMerge) })
	t.Run("merge keeps other fields", func(t *testing.T) { merge(t, url) })
	t.Run("revisions", func(t *testing.T) { revisions(t, url) })
	t.Run("revisions of a key", func(t *testing.T) { revisionsOfKey(t, url) })
	t.Run("key by template", func(t *testing.T) { keyByTemplate(t, url) })
	t.Run("too large", func(t *testing.T) { tooLarge(t, url) })
	t.Run("collection by template", func(t *testing.T) { byTemplate(t, url) })
}

// newest writes windows of few keys from several shards at the same time, each a few times and in any order.
func newest(t *testing.T, url string, mode mongo.Mode) {
	x := OpenWith(t, url, mongo.Options{Mode: mode})
	rnd := rand.New(rand.NewPCG(1, 2))
	keys := []string{"", "a", "b", "\xff\xfe"}
	newer := func(a, b *window.Window) bool {
		if a.End != b.End {
			return a.End > b.End
		}
		if a.Shard != b.Shard {
			return a.Shard > b.Shard
		}
		return a.Seq > b.Seq
	}
	want := map[string]*window.Window{}
	var writers sync.WaitGroup
	for shard := range 3 {
		var all []*window.Window
		name := fmt.Sprintf("events/%d", shard)
		for seq := range int64(40) {
			w := sinktest.Keyed([]byte(keys[rnd.IntN(len(keys))]), seq, fmt.Appendf(nil, `{"n":%d}`, seq))
			w.Shard, w.End = name, w.Start+rnd.Int64N(20)
			all = append(all, w)
			if old := want[string(w.Key)]; old == nil || newer(w, old) {
				want[string(w.Key)] = w
			}
		}
		all = slices.Concat(all, all, all[:10])
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		writers.Go(func() {
			for some := range slices.Chunk(all, 7) {
				g := x.sink.Group(sinktest.Stream, sinktest.Pipeline, name)
				for _, w := range some {
					g.Add(sinktest.Now, w)
				}
				for try := 0; ; try++ { // what another writer came between is to be tried again
					if err := g.Deliver(t.Context()); err == nil {
						break
					} else if try == 100 {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	writers.Wait()
	docs := all(t, x.Out)
	if len(docs) != len(keys) {
		t.Fatalf("%d documents, want %d", len(docs), len(keys))
	}
	for _, d := range docs {
		m := fields(d)
		var key string
		switch id := m["_id"].(type) {
		case string:
			key = id
		case bson.Binary:
			key = string(id.Data)
		}
		w := want[key]
		if w == nil {
			t.Errorf("no window has the key %q", key)
			continue
		}
		if m["seq"] != w.Seq || m["shard"] != w.Shard || m["end"] != bson.DateTime(w.End) {
			t.Errorf("key %q: the document is of %v of %v, end %v; want %d of %s, end %d", key, m["seq"], m["shard"], m["end"], w.Seq, w.Shard, w.End)
		}
	}
	if n := len(all(t, x.Dead)); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

func fields(d bson.D) map[string]any {
	m := map[string]any{}
	for _, e := range d {
		m[e.Key] = e.Value
	}
	return m
}

func merge(t *testing.T, url string) {
	x := OpenWith(t, url, mongo.Options{Mode: mongo.ModeMerge})
	if _, err := x.Out.InsertOne(t.Context(), bson.D{{Key: "_id", Value: "a"}, {Key: "owner", Value: "somebody"}, {Key: "n", Value: "old"}}); err != nil {
		t.Fatal(err)
	}
	g := x.sink.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	for seq, result := range []string{`{"n":1,"first":true}`, `{"n":2}`} {
		w := sinktest.Keyed([]byte("a"), int64(seq), []byte("0"))
		w.Result = []byte(result)
		g.Add(sinktest.Now, w)
		x.Write(t, g)
		g.Reset()
	}
	docs := all(t, x.Out)
	if len(docs) != 1 {
		t.Fatalf("%d documents, want one", len(docs))
	}
	m := fields(docs[0])
	if m["owner"] != "somebody" || m["first"] != true || m["n"] != int64(2) {
		t.Errorf("got %v", m)
	}
}

// revised is a revision of a window whose end, as a session's, is later each time.
func revised(seq, revision int64) *window.Window {
	w := sinktest.Keyed([]byte("a"), seq, fmt.Appendf(nil, `{"n":%d}`, revision))
	w.Updates, w.Revision, w.Final = true, revision, revision == 9
	w.End += revision / 3
	return w
}

// revisions writes windows with several revisions each, from several writers at the same time and in any order: the last one
// stays, and each window has its own.
func revisions(t *testing.T, url string) {
	for _, output := range []sink.Output{sink.OutputWindow, sink.OutputData} {
		x := OpenWith(t, url, mongo.Options{Output: output})
		rnd := rand.New(rand.NewPCG(1, 3))
		var writers sync.WaitGroup
		for range 3 {
			var some []*window.Window
			for seq := range int64(5) {
				for revision := range int64(10) {
					w := revised(seq, revision)
					if seq == 4 {
						w.Result = fmt.Appendf(nil, `{"made":%d}`, revision)
					}
					some = append(some, w)
				}
			}
			rnd.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
			writers.Go(func() {
				for some := range slices.Chunk(some, 7) {
					deliver(t, x, some)
				}
			})
		}
		writers.Wait()
		docs := all(t, x.Out)
		if len(docs) != 5 {
			t.Fatalf("%d documents, want 5", len(docs))
		}
		for _, d := range docs {
			m := fields(d)
			version := fields(m["_windrow"].(bson.D))
			if version["revision"] != int64(9) {
				t.Errorf("the document is of %v", version)
			}
			switch {
			case version["seq"] == int64(4):
				if m["made"] != int64(9) {
					t.Errorf("the result is %v", m)
				}
			case output == sink.OutputData:
				if n := fields(m["data"].(bson.A)[0].(bson.D))["n"]; n != int64(9) {
					t.Errorf("the data is of revision %v", n)
				}
			case m["revision"] != int64(9) || m["final"] != true:
				t.Errorf("got %v", m)
			}
		}
	}
}

// revisionsOfKey: of a key the newest window stays, in its last revision.
func revisionsOfKey(t *testing.T, url string) {
	x := OpenWith(t, url, mongo.Options{Mode: mongo.ModeReplace})
	newer := revised(2, 1)
	newer.End += 100
	for _, w := range []*window.Window{revised(1, 0), revised(1, 1), newer, revised(1, 2), revised(1, 0)} {
		deliver(t, x, []*window.Window{w})
	}
	docs := all(t, x.Out)
	if len(docs) != 1 {
		t.Fatalf("%d documents, want one", len(docs))
	}
	if m := fields(docs[0]); m["_id"] != "a" || m["seq"] != int64(2) || m["revision"] != int64(1) {
		t.Errorf("got %v", m)
	}
}

// deliver writes windows until they are there: what another writer came between is to be tried again.
func deliver(t *testing.T, x *Target, windows []*window.Window) {
	g := x.sink.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	for _, w := range windows {
		g.Add(sinktest.Now, w)
	}
	for try := 0; ; try++ {
		if err := g.Deliver(t.Context()); err == nil {
			return
		} else if try == 100 {
			t.Error(err)
			return
		}
	}
}

func keyByTemplate(t *testing.T, url string) {
	x := OpenWith(t, url, mongo.Options{Mode: mongo.ModeReplace, Key: sinktest.Template(t, "{{stream}}/{{key}}")})
	g := x.sink.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	g.Add(sinktest.Now, sinktest.Keyed([]byte("a"), 0, []byte("1")))
	g.Add(sinktest.Now, sinktest.Keyed([]byte("a"), 1, []byte("2")))
	g.Add(sinktest.Now, sinktest.Window(2, []byte("3")))
	for range 2 { // the two of one key are in one bulk: whichever was first
		if g.Deliver(t.Context()) == nil {
			break
		}
	}
	got := map[any]any{}
	for _, d := range all(t, x.Out) {
		m := fields(d)
		got[m["_id"]] = m["seq"]
	}
	if len(got) != 2 || got[sinktest.Stream+"/a"] != int64(1) || got[sinktest.Stream+"/"] != int64(2) {
		t.Errorf("got %v", got)
	}
}

// A key has one document: what does not fit is not cut into parts.
func tooLarge(t *testing.T, url string) {
	x := OpenWith(t, url, mongo.Options{Mode: mongo.ModeReplace})
	g := x.sink.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	value := []byte(`"` + strings.Repeat("v", mongo.MaxDocumentBytes/2) + `"`)
	g.Add(sinktest.Now, sinktest.Keyed([]byte("a"), 0, value, value, value))
	g.Add(sinktest.Now, sinktest.Keyed([]byte("b"), 1, []byte("1")))
	x.Write(t, g)
	if docs := all(t, x.Out); len(docs) != 1 || docs[0][0].Value != "b" {
		t.Errorf("%d documents, want that of b", len(docs))
	}
	if dead := all(t, x.Dead); len(dead) == 0 {
		t.Error("no dead letter")
	}
}

func byTemplate(t *testing.T, url string) {
	x := OpenWith(t, url, mongo.Options{Name: sinktest.Template(t, "{{key}}")})
	db := x.Out.Database()
	prefix := x.Out.Name()
	keys := []string{prefix + "-north", prefix + "-south"}
	g := x.sink.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard)
	for seq := range int64(9) {
		g.Add(sinktest.Now, sinktest.Keyed([]byte(keys[seq%2]), seq, []byte("1")))
	}
	g.Add(sinktest.Now, sinktest.Window(9, []byte("2"))) // for which the template makes nothing
	bad := []string{"a$b", "a\x00b", "system.users", "\xff", strings.Repeat("n", 300), prefix + ".dead"}
	for i, key := range bad {
		g.Add(sinktest.Now, sinktest.Keyed([]byte(key), int64(10+i), []byte("3")))
	}
	for range 2 {
		x.Write(t, g)
	}
	for i, key := range keys {
		c := db.Collection(key)
		docs := all(t, c)
		if want := 5 - i; len(docs) != want {
			t.Errorf("collection %s has %d documents, want %d", key, len(docs), want)
		}
		for _, d := range docs {
			if m := fields(d); m["key"] != key {
				t.Errorf("collection %s has a window of %v", key, m["key"])
			}
		}
	}
	if n := len(all(t, x.Out)); n != 1 {
		t.Errorf("%d documents in the collection for windows without one, want 1", n)
	}
	dead := all(t, x.Dead)
	if len(dead) != len(bad) {
		t.Errorf("%d dead letters, want %d", len(dead), len(bad))
	}
	for _, d := range dead {
		if m := fields(d); m["reason"] != "bad-name" {
			t.Errorf("a dead letter's reason is %v", m["reason"])
		}
	}
}
