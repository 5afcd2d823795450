package process

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/pkg/handler"
	"github.com/windrow-io/windrow/pkg/window"
)

var count10 = window.Settings{Emitter: "count", Size: 10}

// service is a user's service that remembers its calls.
type service struct {
	*httptest.Server
	mu    sync.Mutex
	calls []called
}

type called struct {
	seqs            []int64
	attempt, id     string
	pipeline, shard string
}

// startService answers each call by answer, told the numbers of its windows and how often a call began with the first one.
func startService(t *testing.T, batch bool, answer func(w http.ResponseWriter, seqs []int64, before int)) *service {
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the worker was stopped
		}
		if !batch {
			body = fmt.Appendf(nil, "[%s]", body)
		}
		var ws []output
		if err := json.Unmarshal(body, &ws); err != nil {
			t.Errorf("the service was sent %s: %v", body, err)
		}
		c := called{attempt: r.Header.Get(handler.HeaderAttempt), id: r.Header.Get(handler.HeaderKey),
			pipeline: r.Header.Get(handler.HeaderPipeline), shard: r.Header.Get(handler.HeaderShard)}
		for _, w := range ws {
			c.seqs = append(c.seqs, w.Seq)
		}
		s.mu.Lock()
		before := 0
		for _, x := range s.calls {
			if x.seqs[0] == c.seqs[0] {
				before++
			}
		}
		s.calls = append(s.calls, c)
		s.mu.Unlock()
		answer(w, c.seqs, before)
	}))
	t.Cleanup(s.Close)
	return s
}

// of returns the calls that held a window.
func (s *service) of(seq int64) (cs []called) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if slices.Contains(c.seqs, seq) {
			cs = append(cs, c)
		}
	}
	return cs
}

// with has a worker call the service at a URL.
func with(t *testing.T, url string, batch, attempts int) func(*Options) {
	c, err := handler.New(handler.Options{URL: url, Timeout: 10 * time.Second, Batch: batch > 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return func(o *Options) {
		o.Service, o.HandlerBatch, o.HandlerAttempts, o.HandlerConcurrency = c, batch, attempts, 3
	}
}

// echo answers with windows of the given numbers, of 10 records each.
func echo(seqs ...int64) string {
	var ws []string
	for _, n := range seqs {
		ws = append(ws, fmt.Sprintf(`{"id":"%d","shard":"in/0","seq":%d,"data":[%s{"n":0}]}`, n, n, strings.Repeat(`{"n":0},`, 9)))
	}
	return strings.Join(ws, ",")
}

func seqsOf(ws []output) (seqs []int64) {
	for _, w := range ws {
		seqs = append(seqs, w.Seq)
	}
	slices.Sort(seqs)
	return seqs
}

func windowCount(n int) func([]output) bool { return func(ws []output) bool { return len(ws) >= n } }

func TestServiceAnswers(t *testing.T) {
	r := newRig(t, 1)
	r.ingest()
	s := startService(t, false, func(w http.ResponseWriter, seqs []int64, before int) {
		switch n := seqs[0]; {
		case n == 2:
			w.WriteHeader(http.StatusNoContent)
		case n == 4:
			http.Error(w, "I won't", http.StatusUnprocessableEntity)
		case n == 6 && before < 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case n == 8:
			http.Error(w, "never", http.StatusInternalServerError)
		default:
			io.WriteString(w, echo(n))
		}
	})
	a := r.worker("a", count10, with(t, s.URL, 1, 3))
	r.produce(1, 0, 100)
	if got, want := seqsOf(r.consume("out", windowCount(7))), []int64{0, 1, 3, 5, 6, 7, 9}; !slices.Equal(got, want) {
		t.Errorf("windows %v, want %v", got, want)
	}
	letters := r.letters("out.dead", 2)
	a.stop()
	for seq, want := range map[int64]deadLetter{
		4: {Reason: "handler", Attempts: 1, Error: "422 Unprocessable Entity: I won't"},
		8: {Reason: "handler", Attempts: 3, Error: "500 Internal Server Error: never"},
	} {
		if l := letters[seq]; l.Reason != want.Reason || l.Attempts != want.Attempts || !strings.Contains(l.Error, want.Error) || len(l.Window.Data) != 10 {
			t.Errorf("the letter of window %d: %+v, want %+v", seq, l, want)
		}
	}
	for seq, want := range map[int64]int{0: 1, 2: 1, 4: 1, 6: 3, 8: 3} {
		cs := s.of(seq)
		if len(cs) != want {
			t.Errorf("window %d: %d calls, want %d", seq, len(cs), want)
			continue
		}
		for i, c := range cs {
			if c.attempt != fmt.Sprint(i+1) || c.id != cs[0].id || len(c.id) != 32 || c.pipeline != "p" || c.shard != "in/0" {
				t.Errorf("window %d, call %d: %+v", seq, i, c)
			}
		}
	}
}

type deadLetter struct {
	Reason, Error string
	Attempts      int
	Window        output
}

// letters reads n dead letters of windows, by the windows' numbers.
func (r *rig) letters(topic string, n int) map[int64]deadLetter {
	r.t.Helper()
	all := map[int64]deadLetter{}
	for _, v := range r.values(topic, n) {
		var l deadLetter
		if err := json.Unmarshal(v, &l); err != nil {
			r.t.Fatalf("%v: %s", err, v)
		}
		all[l.Window.Seq] = l
	}
	return all
}

// A service that isn't there costs no attempt, however few there are. The shard waits, visibly.
func TestServiceAway(t *testing.T) {
	r := newRig(t, 1)
	r.ingest()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c := &conditions{}
	change := with(t, "http://"+address, 1, 1)
	a := r.worker("a", count10, func(o *Options) { change(o); o.Conditions = c })
	r.produce(1, 0, 100)
	await.True(t, "the condition says that the handler can't be reached", func() bool {
		err := c.get("handler")
		return err != nil && strings.Contains(err.Error(), "can't be reached")
	})
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	there := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })}
	go there.Serve(l)
	defer there.Close()
	ws := r.consume("out", holds(100))
	a.stop()
	exact(t, ws, 1, 100)
	if err := c.get("handler"); err != nil {
		t.Errorf("the handler answers, and the condition is %v", err)
	}
}

// A worker whose handler is away can be stopped; the next one makes the calls that are left.
func TestStopWhileTheServiceIsAway(t *testing.T) {
	r := newRig(t, 1)
	r.ingest()
	c := &conditions{}
	away := with(t, "unix:///nowhere/windrow.sock", 1, 1)
	a := r.worker("a", count10, func(o *Options) { away(o); o.Conditions = c })
	r.produce(1, 0, 55)
	await.True(t, "the handler to be missed", func() bool { return c.get("handler") != nil })
	a.stop()
	if err := c.get("handler"); err != nil {
		t.Errorf("nobody calls the handler any more, and the condition is %v", err)
	}
	b := r.worker("b", count10, nil)
	ws := r.consume("out", holds(50))
	b.stop()
	exact(t, ws, 1, 50)
}

// Windows go out in batches; one that is refused takes no other with it.
func TestServiceInBatches(t *testing.T) {
	r := newRig(t, 1)
	r.ingest()
	s := startService(t, true, func(w http.ResponseWriter, seqs []int64, _ int) {
		switch {
		case slices.Contains(seqs, 13):
			http.Error(w, "bad luck", http.StatusBadRequest)
		case slices.Contains(seqs, 17):
			io.WriteString(w, "[]") // always of another length
		default:
			fmt.Fprintf(w, "[%s]", echo(seqs...))
		}
	})
	a := r.worker("a", count10, with(t, s.URL, 4, 2))
	r.produce(1, 0, 300)
	got := seqsOf(r.consume("out", windowCount(28)))
	letters := r.letters("out.dead", 2)
	a.stop()
	var want []int64
	for n := range int64(30) {
		if n != 13 && n != 17 {
			want = append(want, n)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("windows %v, want all of 30 but 13 and 17", got)
	}
	if l := letters[13]; !strings.Contains(l.Error, "400 Bad Request: bad luck") {
		t.Errorf("the letter of the refused window: %+v", l)
	}
	if l := letters[17]; !strings.Contains(l.Error, "array of 0") {
		t.Errorf("the letter of the window that is answered wrongly: %+v", l)
	}
	most := 0
	for _, c := range s.calls {
		most = max(most, len(c.seqs))
	}
	if most != 4 {
		t.Errorf("the largest batch had %d windows, want 4", most)
	}
}

func TestServiceAndHandler(t *testing.T) {
	_, err := New(Options{Settings: window.Settings{Stream: "s", Pipeline: "p", Emitter: "count", Size: 1}, Handler: func(context.Context, *window.Window) (any, error) { return nil, nil }, Service: &handler.Client{}})
	if err == nil || !strings.Contains(err.Error(), "HANDLER_URL") {
		t.Errorf("got %v", err)
	}
}
