package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/sinktest"
)

func newSink(t *testing.T, f *fake) *Sink {
	t.Helper()
	s, err := New(Options{URL: f.url(), Database: "d", Collection: "c", Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// filled is a group of n windows, and their ids.
func filled(s *Sink, n int) (g *group, ids []string) {
	g = s.Group(sinktest.Stream, sinktest.Pipeline, sinktest.Shard).(*group)
	for i := range n {
		w := sinktest.Window(int64(i), fmt.Appendf(nil, `{"n":%d}`, i))
		g.Add(sinktest.Now, w)
		ids = append(ids, w.ID(0))
	}
	return g, ids
}

func deliver(t *testing.T, g sink.Group) {
	t.Helper()
	if err := g.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// passingError delivers and wants an error after which it may be tried again.
func passingError(t *testing.T, g sink.Group) {
	t.Helper()
	if err := g.Deliver(t.Context()); err == nil || errors.Is(err, sink.ErrPermanent) {
		t.Fatalf("got %v, want a passing error", err)
	}
}

func once(t *testing.T, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("got %d documents %v, want %d %v", len(got), got, len(want), want)
	}
}

func TestPassingErrorOfOneDocument(t *testing.T) {
	f := newFake(t)
	s := newSink(t, f)
	g, ids := filled(s, 5)
	conflicts := 2
	f.with(func(x *faults) {
		x.refuse = func(_, id string, _ bson.D) int {
			if id == ids[3] && conflicts > 0 {
				conflicts--
				return 112 // WriteConflict
			}
			return 0
		}
	})
	passingError(t, g)
	passingError(t, g)
	deliver(t, g)
	once(t, f.ids("c"), ids)
	once(t, f.ids("c.dead"), nil)
}

func TestDuplicateIsDone(t *testing.T) {
	f := newFake(t)
	s := newSink(t, f)
	g, ids := filled(s, 3)
	f.with(func(x *faults) {
		x.refuse = func(_, id string, doc bson.D) int {
			if id != ids[1] {
				return 0
			}
			if !f.has("c", id) { // somebody else inserts it just now
				f.docs["c"] = append(f.docs["c"], append(bson.D{{Key: "_id", Value: id}}, doc...))
			}
			return duplicate
		}
	})
	deliver(t, g)
	once(t, f.ids("c"), ids)
	once(t, f.ids("c.dead"), nil)
}

// A duplicate by another unique index is no sign that the window is there.
func TestRefusedForGood(t *testing.T) {
	for _, code := range []int{duplicate, 121, 171, 10334} {
		f := newFake(t)
		s := newSink(t, f)
		g, ids := filled(s, 3)
		f.with(func(x *faults) {
			x.refuse = func(collection, id string, _ bson.D) int {
				if collection == "c" && id == ids[1] {
					return code
				}
				return 0
			}
		})
		deliver(t, g)
		once(t, f.ids("c"), []string{ids[0], ids[2]})
		once(t, f.ids("c.dead"), []string{ids[1]})
		letter := f.docs["c.dead"][0]
		if get(letter, "reason") != Refused || !strings.Contains(get(letter, "error").(string), "refused by the test") {
			t.Errorf("code %d: the letter is %v", code, letter)
		}
		if doc, _ := get(letter, "document").(bson.D); get(doc, "seq") != int64(1) || len(get(doc, "data").(bson.A)) != 1 {
			t.Errorf("code %d: the letter's document is %v", code, doc)
		}
	}
}

func TestRefusedDeadLetterIsPermanent(t *testing.T) {
	f := newFake(t)
	s := newSink(t, f)
	g, ids := filled(s, 1)
	f.with(func(x *faults) { x.refuse = func(string, string, bson.D) int { return 121 } })
	err := g.Deliver(t.Context())
	if !errors.Is(err, sink.ErrPermanent) || !strings.Contains(err.Error(), "c.dead") || !strings.Contains(err.Error(), ids[0]) {
		t.Errorf("got %v", err)
	}
	f.with(func(x *faults) { x.refuse = nil }) // the operator has removed the validator
	deliver(t, g)
	once(t, f.ids("c"), ids)
}

// A server that refuses a whole bulk for one document in it.
func TestRefusedBulk(t *testing.T) {
	f := newFake(t)
	s := newSink(t, f)
	g, ids := filled(s, 4)
	calls := 0
	f.with(func(x *faults) {
		x.answer = func(name string) bson.D {
			if name != "update" {
				return nil
			}
			if calls++; calls == 1 || calls == 3 { // the bulk; then the second of its documents
				return bson.D{{Key: "ok", Value: 0.0}, {Key: "code", Value: int32(22)}, {Key: "errmsg", Value: "InvalidBSON"}}
			}
			return nil
		}
	})
	deliver(t, g)
	once(t, f.ids("c"), []string{ids[0], ids[2], ids[3]})
	once(t, f.ids("c.dead"), []string{ids[1]})
}

func TestNotPrimaryIsPassing(t *testing.T) {
	f := newFake(t)
	s := newSink(t, f)
	g, ids := filled(s, 2)
	away := true
	f.with(func(x *faults) {
		x.answer = func(name string) bson.D {
			if name == "update" && away {
				return bson.D{{Key: "ok", Value: 0.0}, {Key: "code", Value: int32(10107)}, {Key: "errmsg", Value: "not primary"}}
			}
			return nil
		}
	})
	passingError(t, g)
	f.with(func(*faults) { away = false })
	deliver(t, g)
	once(t, f.ids("c"), ids)
}

func TestWriteConcernErrorIsPassing(t *testing.T) {
	f := newFake(t)
	s := newSink(t, f)
	g, ids := filled(s, 2)
	failed := false
	f.with(func(x *faults) {
		x.answer = func(name string) bson.D {
			if name == "update" && !failed {
				failed = true
				return bson.D{{Key: "ok", Value: 1.0}, {Key: "n", Value: int32(2)}, {Key: "writeConcernError",
					Value: bson.D{{Key: "code", Value: int32(64)}, {Key: "errmsg", Value: "waiting for replication timed out"}}}}
			}
			return nil
		}
	})
	passingError(t, g)
	deliver(t, g)
	once(t, f.ids("c"), ids)
}

// The answer is lost: what was written is written again, and nothing changes.
func TestLostAnswer(t *testing.T) {
	f := newFake(t)
	s := newSink(t, f)
	g, ids := filled(s, 10)
	lost := 0
	f.with(func(x *faults) {
		x.drop = func(name string) bool {
			if name == "update" && lost < 3 {
				lost++
				return true
			}
			return false
		}
	})
	for range 10 {
		if err := g.Deliver(t.Context()); err == nil {
			break
		} else if errors.Is(err, sink.ErrPermanent) {
			t.Fatal(err)
		}
	}
	once(t, f.ids("c"), ids)
	if lost != 3 {
		t.Errorf("%d answers were lost, want 3", lost)
	}
}

// After an error only what was not acknowledged is sent again, bulk by bulk.
func TestBulksAreBounded(t *testing.T) {
	f := newFake(t)
	s := newSink(t, f)
	g, ids := filled(s, 2*bulkItems+10)
	updates := 0
	f.with(func(x *faults) {
		x.answer = func(name string) bson.D {
			if name != "update" {
				return nil
			}
			if updates++; updates == 2 {
				return bson.D{{Key: "ok", Value: 0.0}, {Key: "code", Value: int32(11600)}, {Key: "errmsg", Value: "interrupted"}}
			}
			return nil
		}
	})
	passingError(t, g)
	once(t, f.ids("c"), ids[:bulkItems])
	deliver(t, g)
	if updates != 4 {
		t.Errorf("%d bulks were sent, want 4: the first is done", updates)
	}
	once(t, f.ids("c"), ids)
}

func TestSilentServerTimesOut(t *testing.T) {
	f := newFake(t)
	s := newSink(t, f)
	s.o.Timeout = 200 * time.Millisecond
	g, _ := filled(s, 1)
	block := make(chan struct{})
	t.Cleanup(func() { close(block) })
	f.with(func(x *faults) {
		x.answer = func(name string) bson.D {
			if name == "update" {
				<-block
			}
			return nil
		}
	})
	start := time.Now()
	passingError(t, g)
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestCheckSaysWhatIsMissing(t *testing.T) {
	f := newFake(t)
	s := newSink(t, f)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.with(func(x *faults) {
		x.answer = func(name string) bson.D {
			if name == "update" {
				return bson.D{{Key: "ok", Value: 0.0}, {Key: "code", Value: int32(unauthorized)}, {Key: "errmsg", Value: "not authorized"}}
			}
			return nil
		}
	})
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "readWrite") {
		t.Errorf("got %v", err)
	}
	f.l.Close()
	away, err := New(Options{URL: "mongodb://user:secret@" + f.l.Addr().String() + "/?serverSelectionTimeoutMS=100", Database: "d", Collection: "c",
		Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close(context.Background())
	if err := away.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "MONGO_URL") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestNewRefusesWrongOptions(t *testing.T) {
	for _, o := range []Options{{URL: "mongodb://h", Collection: "c"}, {URL: "mongodb://h", Database: "d"}, {URL: "h:1", Database: "d", Collection: "c"}} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), "MONGO_") {
			t.Errorf("%+v: got %v", o, err)
		}
	}
}
