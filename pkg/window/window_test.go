package window_test

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

func someWindow() *window.Window {
	rs := []record.Record{
		{Key: []byte("k"), Value: []byte("v0"), Topic: "t", Partition: 1, Offset: 10, Timestamp: 5, Received: 7},
		{Value: []byte{}, Topic: "t", Partition: 1, Offset: 11},
		{Topic: "t", Partition: 1, Offset: 12},
	}
	rs[1].SetHeaders(record.Header{Key: "h", Value: []byte("x")})
	return &window.Window{
		Stream: "s", Pipeline: "p", Shard: "t/1", Emitter: "count", Reason: emit.Count,
		Keyed: true, Key: []byte("key"), Seq: 3, Start: 5, End: 9, Records: rs,
	}
}

// TestID holds that every part of a window's identity counts, and nothing else.
func TestID(t *testing.T) {
	id := someWindow().ID(0)
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) {
		t.Fatalf("ID is %q", id)
	}
	if id != "510538793883c9d32fd9a7318feb7abf" {
		t.Errorf("the identity of windows has changed: %s. What was delivered before would be delivered again", id)
	}
	seen := map[string]string{id: "the window"}
	differs := func(what, id string) {
		t.Helper()
		if other, ok := seen[id]; ok {
			t.Errorf("%s has the same ID as %s", what, other)
		}
		seen[id] = what
	}
	differs("part 1", someWindow().ID(1))
	for what, change := range map[string]func(w *window.Window){
		"stream":           func(w *window.Window) { w.Stream = "s2" },
		"pipeline":         func(w *window.Window) { w.Pipeline = "p2" },
		"shard":            func(w *window.Window) { w.Shard = "t/2" },
		"shifted names":    func(w *window.Window) { w.Stream, w.Pipeline = "sp", "" },
		"key":              func(w *window.Window) { w.Key = []byte("key2") },
		"empty key":        func(w *window.Window) { w.Key = nil },
		"no key":           func(w *window.Window) { w.Keyed, w.Key = false, nil },
		"start":            func(w *window.Window) { w.Start++ },
		"end":              func(w *window.Window) { w.End++ },
		"seq":              func(w *window.Window) { w.Seq++ },
		"first offset":     func(w *window.Window) { w.Records[0].Offset++ },
		"first partition":  func(w *window.Window) { w.Records[0].Partition++ },
		"first topic":      func(w *window.Window) { w.Records[0].Topic = "u" },
		"last offset":      func(w *window.Window) { w.Records[2].Offset++ },
		"fewer records":    func(w *window.Window) { w.Records = w.Records[:2] },
		"a single record":  func(w *window.Window) { w.Records = w.Records[:1] },
		"no record at all": func(w *window.Window) { w.Records = nil },
	} {
		w := someWindow()
		change(w)
		differs(what, w.ID(0))
	}
	w := someWindow()
	w.Result, w.Reason = []byte("result"), emit.Limit
	if w.ID(0) != id {
		t.Error("the handler's result changes the ID")
	}
}

// TestIDOfRevisions: a window has one identity however its records and its interval change, and each revision one of its own.
func TestIDOfRevisions(t *testing.T) {
	revision := func(n int64) *window.Window {
		w := someWindow()
		w.Updates, w.Revision, w.Records, w.Start = true, n, w.Records[:n], w.Start-n
		return w
	}
	first := revision(0)
	if first.ID(0) == someWindow().ID(0) || first.RevisionID(0) != first.ID(0) || first.LetterID(0) != first.ID(0) {
		t.Errorf("the first revision is %s, %s, %s", first.ID(0), first.RevisionID(0), first.LetterID(0))
	}
	for n := range int64(3) {
		w := revision(n + 1)
		if w.ID(0) != first.ID(0) || w.ID(1) != first.ID(1) || w.ID(1) == w.ID(0) {
			t.Errorf("revision %d has the ID %s, want %s", n+1, w.ID(0), first.ID(0))
		}
		if want := first.ID(0) + "." + string(rune('1'+n)); w.RevisionID(0) != want || w.LetterID(0) != want {
			t.Errorf("revision %d is %s, its letter %s, want %s", n+1, w.RevisionID(0), w.LetterID(0), want)
		}
	}
	other := revision(0)
	other.Seq++
	if other.ID(0) == first.ID(0) {
		t.Error("another window has the same ID")
	}
}

func TestClone(t *testing.T) {
	w := someWindow()
	w.Result = []byte("result")
	c := w.Clone()
	if !reflect.DeepEqual(c, w) {
		t.Fatalf("the clone differs:\n%+v\n%+v", c, w)
	}
	w.Key[0], w.Result[0], w.Records[0].Value[0], w.Records[0].Key[0] = '!', '!', '!', '!'
	w.Records[2] = record.Record{}
	if got, want := c, someWindow(); string(got.Key) != "key" || string(got.Result) != "result" || !reflect.DeepEqual(got.Records, want.Records) {
		t.Errorf("the clone shares memory with the window: %+v", c)
	}
	if e := (&window.Window{}).Clone(); e.Records != nil || e.Key != nil || e.Result != nil {
		t.Errorf("the clone of an empty window has %+v", e)
	}
}

// TestLongDowntime holds that what a Step gives is bounded, and that what is beyond comes at once afterwards.
func TestLongDowntime(t *testing.T) {
	const s = 1000
	m := machine(t, window.Settings{Emitter: "fixed", Interval: time.Second, EmitEmpty: true})
	r := record.Record{Topic: "t", Received: 100}
	o := &kept{}
	m.Step(500, window.Each([]record.Record{r}), o)
	const down = 5000
	late := record.Record{Topic: "t", Offset: 1, Received: 3000*s + 1}
	now := int64(down*s + 1)
	steps, most := 0, 0
	for records := []record.Record{late}; m.Deadline() <= now; records = nil {
		most = max(most, m.Step(now, window.Each(records), o))
		if steps++; steps > 10 {
			t.Fatal("it does not end")
		}
	}
	if most > 1100 {
		t.Errorf("a Step gave %d windows", most)
	}
	if len(o.windows) != down {
		t.Fatalf("%d windows, want %d", len(o.windows), down)
	}
	for i, w := range o.windows {
		want := 0
		if i == 0 || i == 3000 {
			want = 1
		}
		if w.Start != int64(i)*s || w.End != w.Start+s || len(w.Records) != want {
			t.Fatalf("window %d is [%d %d) of %d records", i, w.Start, w.End, len(w.Records))
		}
	}
}

// TestMistakenEmitter holds that wrong picks don't pass in silence.
func TestMistakenEmitter(t *testing.T) {
	for name, picked := range map[string][]int{"beyond": {0, 2}, "negative": {-1}, "twice": {1, 0, 1}} {
		t.Run(name, func(t *testing.T) {
			wrongPick = picked
			m := machine(t, window.Settings{Emitter: "wrong"})
			defer func() {
				if p, ok := recover().(string); !ok || !strings.Contains(p, "emitter wrong: Query picked") {
					t.Errorf("panic: %v", p)
				}
			}()
			m.Step(1, window.Each(make([]record.Record, 2)), &kept{})
			t.Error("no panic")
		})
	}
}

// TestTimeNeverGoesBack holds that an earlier now counts as the last one.
func TestTimeNeverGoesBack(t *testing.T) {
	m := machine(t, window.Settings{Emitter: "count", Size: 2, Timeout: time.Second})
	o := &kept{}
	m.Step(5000, nil, o)
	m.Step(10, window.Each(make([]record.Record, 1)), o)
	if d := m.Deadline(); d != 6000 {
		t.Errorf("deadline %d, want 6000", d)
	}
}

// kept is an Out that keeps what it is handed.
type kept struct {
	windows []*window.Window
	rejects int
}

func (k *kept) Window(w *window.Window)      { k.windows = append(k.windows, w.Clone()) }
func (k *kept) Reject(*record.Record, error) { k.rejects++ }

func machine(t testing.TB, s window.Settings) *window.Machine {
	t.Helper()
	s.Stream, s.Pipeline = "s", "p"
	m, err := window.New(s, "t/0")
	if err != nil {
		t.Fatal(err)
	}
	return m
}
