package handler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/handler"
)

const patience = 10 * time.Second

func newClient(t *testing.T, o handler.Options) *handler.Client {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = patience
	}
	c, err := handler.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func serve(t *testing.T, f http.HandlerFunc) string {
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

// call is a call with windows {"n":0}, {"n":1} …
func call(n int) *handler.Call {
	c := &handler.Call{Stream: "s", Pipeline: "p", Shard: "in/3", Attempt: 2}
	for i := range n {
		c.Windows = append(c.Windows, fmt.Appendf(nil, `{"n":%d}`, i))
		c.IDs = append(c.IDs, fmt.Sprint("id", i))
	}
	return c
}

func answer(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func TestWhatIsSent(t *testing.T) {
	var got *http.Request
	var body []byte
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		io.WriteString(w, "[ 1 ]")
	})
	for _, v := range []struct {
		batch     bool
		key, want string
	}{
		{false, "id0", `{"n":0}`},
		{true, "", `[{"n":0}]`},
	} {
		results, err := newClient(t, handler.Options{URL: url + "/windows?x=1", Batch: v.batch}).Do(t.Context(), call(1))
		if err != nil || len(results) != 1 {
			t.Fatal(results, err)
		}
		if string(body) != v.want || got.Method != "POST" || got.URL.String() != "/windows?x=1" {
			t.Errorf("%s %s %s, want POST /windows?x=1 %s", got.Method, got.URL, body, v.want)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/json", handler.HeaderStream: "s", handler.HeaderPipeline: "p",
			handler.HeaderShard: "in/3", handler.HeaderAttempt: "2",
		} {
			if h := got.Header.Get(name); h != want {
				t.Errorf("%s: %q, want %q", name, h, want)
			}
		}
		if key := got.Header.Get(handler.HeaderKey); v.key != "" && key != v.key || len(key) == 0 {
			t.Errorf("the idempotency key is %q", key)
		}
	}
}

// A batch has the same key if and only if it holds the same windows.
func TestIdempotencyKeyOfABatch(t *testing.T) {
	var keys []string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get(handler.HeaderKey))
		w.WriteHeader(http.StatusNoContent)
	})
	c := newClient(t, handler.Options{URL: url, Batch: true})
	for _, n := range []int{2, 2, 3} {
		if _, err := c.Do(t.Context(), call(n)); err != nil {
			t.Fatal(err)
		}
	}
	if keys[0] != keys[1] || keys[1] == keys[2] || len(keys[0]) != 32 {
		t.Errorf("keys %q", keys)
	}
}

func TestResults(t *testing.T) {
	for name, v := range map[string]struct {
		batch  bool
		n      int
		answer http.HandlerFunc
		want   []string // "" for nothing to write
	}{
		"an object":             {false, 1, answer(200, "{ \"a\": 1,\n \"b\": [1.10] }\n"), []string{`{"a":1,"b":[1.10]}`}},
		"a number, 201":         {false, 1, answer(201, "12345678901234567890"), []string{"12345678901234567890"}},
		"null":                  {false, 1, answer(200, " null\n"), []string{""}},
		"nothing":               {false, 1, answer(204, ""), []string{""}},
		"a batch":               {true, 3, answer(200, `[{"a": 1}, null, "x"]`), []string{`{"a":1}`, "", `"x"`}},
		"a batch, nothing":      {true, 2, answer(204, ""), []string{"", ""}},
		"a batch of one window": {true, 1, answer(200, `[[1]]`), []string{"[1]"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := newClient(t, handler.Options{URL: serve(t, v.answer), Batch: v.batch}).Do(t.Context(), call(v.n))
			if err != nil {
				t.Fatal(err)
			}
			var texts []string
			for _, g := range got {
				texts = append(texts, string(g))
			}
			if fmt.Sprintf("%q", texts) != fmt.Sprintf("%q", v.want) {
				t.Errorf("%q, want %q", texts, v.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for name, v := range map[string]struct {
		batch  bool
		answer http.HandlerFunc
		kind   handler.Kind
		after  time.Duration
		want   string
	}{
		"bad request":           {false, answer(400, "no key"), handler.Refused, 0, "answered 400 Bad Request: no key"},
		"not found":             {false, answer(404, ""), handler.Refused, 0, "404 Not Found: (no body)"},
		"a long reason":         {false, answer(422, long), handler.Refused, 0, long[:500] + "xxxxxxxxxxxx…"},
		"time-out there":        {false, answer(408, ""), handler.Failed, 0, "408"},
		"too early":             {false, answer(425, ""), handler.Failed, 0, "425"},
		"too many":              {false, answer(429, "slow", "Retry-After", "7"), handler.Failed, 7 * time.Second, "429 Too Many Requests: slow"},
		"unavailable":           {false, answer(503, "", "Retry-After", "999999"), handler.Failed, 10 * time.Minute, "503"},
		"a crash":               {false, answer(500, "boom"), handler.Failed, 0, "500 Internal Server Error: boom"},
		"a redirection":         {false, answer(301, "", "Location", "/other"), handler.Failed, 0, "is /other what HANDLER_URL should be?"},
		"no JSON":               {false, answer(200, "<html>"), handler.Failed, 0, "a body that is not JSON"},
		"two values":            {false, answer(200, "1 2"), handler.Failed, 0, "not JSON"},
		"no body":               {false, answer(200, " "), handler.Failed, 0, "204 says that nothing is to be written"},
		"too large":             {false, answer(200, `"`+strings.Repeat("x", 5000)+`"`), handler.Refused, 0, "more than HANDLER_MAX_RESPONSE=4096 bytes"},
		"a batch, no array":     {true, answer(200, `{"a":1}`), handler.Failed, 0, "no JSON array"},
		"a batch, null":         {true, answer(200, `null`), handler.Failed, 0, "no JSON array"},
		"a batch, another size": {true, answer(200, `[1]`), handler.Failed, 0, "given 2 windows and answered with an array of 1"},
		"it hangs up": {false, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, handler.Failed, 0,
			"the handler gave no answer"},
		"it hangs up within": {false, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
			panic(http.ErrAbortHandler)
		}, handler.Failed, 0, "the handler gave no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(v.answer)
			s.Config.ErrorLog = nil
			s.Start()
			defer s.Close()
			n := 1
			if v.batch {
				n = 2
			}
			_, err := newClient(t, handler.Options{URL: s.URL, Batch: v.batch, MaxResponse: 4096}).Do(t.Context(), call(n))
			requireError(t, err, v.kind, v.want)
			if e := (*handler.Error)(nil); errors.As(err, &e) && e.After != v.after {
				t.Errorf("to be tried again after %v, want %v", e.After, v.after)
			}
		})
	}
}

func requireError(t *testing.T, err error, kind handler.Kind, text string) {
	t.Helper()
	e := (*handler.Error)(nil)
	if !errors.As(err, &e) {
		t.Fatalf("%v is no *handler.Error", err)
	}
	if e.Kind != kind || !strings.Contains(e.Error(), text) {
		t.Errorf("kind %d: %v; want kind %d and %q", e.Kind, e, kind, text)
	}
}

func TestRetryAfterAsADate(t *testing.T) {
	at := time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)
	_, err := newClient(t, handler.Options{URL: serve(t, answer(503, "", "Retry-After", at))}).Do(t.Context(), call(1))
	e := (*handler.Error)(nil)
	if !errors.As(err, &e) || e.After < 50*time.Second || e.After > time.Minute {
		t.Errorf("%+v", e)
	}
}

func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { <-release })
	defer close(release)
	_, err := newClient(t, handler.Options{URL: url, Timeout: 50 * time.Millisecond}).Do(t.Context(), call(1))
	requireError(t, err, handler.Failed, "no answer within HANDLER_TIMEOUT=50ms")
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // the server sees that a caller has gone only then
		cancel()
		<-r.Context().Done()
	})
	if _, err := newClient(t, handler.Options{URL: url}).Do(ctx, call(1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestUnavailable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there any more
	tls := httptest.NewTLSServer(answer(200, "1"))
	tls.Config.ErrorLog = nil
	defer tls.Close()
	for name, url := range map[string]string{
		"refused": "http://" + l.Addr().String(), "no such host": "http://windrow.invalid", "no socket": "unix://" + filepath.Join(t.TempDir(), "none"),
		"a certificate nobody knows": tls.URL,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newClient(t, handler.Options{URL: url}).Do(t.Context(), call(1))
			requireError(t, err, handler.Unavailable, "can't be reached")
		})
	}
}

// A service that went away after it had answered is unavailable, though there was an idle connection to it.
func TestUnavailableAfterItWasThere(t *testing.T) {
	s := httptest.NewServer(answer(200, "1"))
	c := newClient(t, handler.Options{URL: s.URL})
	if _, err := c.Do(t.Context(), call(1)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	_, err := c.Do(t.Context(), call(1))
	requireError(t, err, handler.Unavailable, "can't be reached")
}

// Calls at the same time keep their connections: no more are made than there are calls.
func TestConnectionsAreKept(t *testing.T) {
	const calls = 8
	var mu sync.Mutex
	made := 0
	var together sync.WaitGroup
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		together.Done()
		together.Wait()
		io.WriteString(w, "1")
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if mu.Lock(); state == http.StateNew {
			made++
		}
		mu.Unlock()
	}
	s.Start()
	defer s.Close()
	c := newClient(t, handler.Options{URL: s.URL})
	for range 3 {
		together.Add(calls)
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				if _, err := c.Do(t.Context(), call(1)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	mu.Lock()
	defer mu.Unlock()
	if made > 2*calls {
		t.Errorf("%d connections for %d calls at a time, three times", made, calls)
	}
}

func TestUnixSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "h.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(r.URL.Path) })}
	go s.Serve(l)
	defer s.Close()
	for url, want := range map[string]string{"unix://" + socket: `"/"`, "unix://" + socket + ":/a/b": `"/a/b"`} {
		got, err := newClient(t, handler.Options{URL: url}).Do(t.Context(), call(1))
		if err != nil || string(got[0]) != want {
			t.Errorf("%s: %s, %v, want %s", url, got, err, want)
		}
	}
}

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"http://h:1/x?y=1":         "http://h:1/x?y=1 ",
		"https://u:p@h":            "https://u:p@h ",
		"unix:///run/h.sock":       "http://localhost /run/h.sock",
		"unix:/run/h.sock:/w?x=1":  "http://localhost/w?x=1 /run/h.sock",
		"unix://run/h.sock":        "must name a socket by its whole path",
		"unix:///run/":             "must name a socket by its whole path",
		"unix:///run/h.sock:w":     "must have a path behind the socket's colon",
		"localhost:9000":           "must begin with http://, https:// or unix://",
		"ftp://h":                  "must begin with http://",
		"http://":                  "has no host",
		"http://h/#there":          "must have no fragment",
		"http://h:notaport/":       "can't be read as a URL",
		"unix:///run/h.sock:/%zz_": "has a path that can't be read",
	} {
		a, err := handler.ParseURL(text)
		got := a.URL + " " + a.Socket
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
