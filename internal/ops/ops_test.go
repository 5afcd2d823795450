package ops

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Heartbeats
		if err := h.Check(); err != nil {
			t.Errorf("without loops: %v", err)
		}
		quick, slow := h.Start("reader", 5*time.Second), h.Start("committer", time.Minute)
		time.Sleep(6 * time.Second)
		err := h.Check()
		if err == nil || !strings.Contains(err.Error(), "reader has not moved for 6s (allowed are 5s)") || strings.Contains(err.Error(), "committer") {
			t.Errorf("a silent loop: %v", err)
		}
		quick.Beat()
		if err := h.Check(); err != nil {
			t.Errorf("after a beat: %v", err)
		}
		quick.Stop()
		time.Sleep(30 * time.Second)
		if err := h.Check(); err != nil {
			t.Errorf("after its end: %v", err)
		}
		slow.Stop()
	})
}

func TestConditions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.InfoLevel)
		c := NewConditions(zap.New(core), "kafka")
		start := time.Now()
		if c.Ready() {
			t.Error("ready before anything is known")
		}
		time.Sleep(time.Second)
		c.Set("kafka", errors.New("refused"))
		time.Sleep(time.Second)
		c.Set("kafka", errors.New("time-out"))
		if got := c.List()[0]; got.Message != "time-out" || got.OK || !got.Since.Equal(start) {
			t.Errorf("not met: %+v", got)
		}
		c.Set("kafka", nil)
		c.Set("kafka", nil)
		if got := c.List()[0]; !got.OK || got.Message != "" || !got.Since.Equal(start.Add(2*time.Second)) || !c.Ready() {
			t.Errorf("met: %+v", got)
		}
		c.Warn("gap events/0", errors.New("12 records are gone"))
		if !c.Ready() || c.List()[0].Name != "gap events/0" || !c.List()[0].Warning {
			t.Errorf("a warning: ready %v, %+v", c.Ready(), c.List())
		}
		c.Set("redis", errors.New("full"))
		if c.Ready() {
			t.Error("ready while redis is full")
		}
		c.Clear("redis")
		if !c.Ready() || len(c.List()) != 2 {
			t.Errorf("after Clear: %+v", c.List())
		}
		// Each change is said once, repeats are not.
		var said []string
		for _, e := range logs.All() {
			said = append(said, e.Message+" "+e.ContextMap()["condition"].(string))
		}
		if got, want := strings.Join(said, ", "), "waiting kafka, met kafka, attention gap events/0, waiting redis"; got != want {
			t.Errorf("logged: %s\nwant: %s", got, want)
		}
	})
}

func TestConditionsConcurrently(t *testing.T) {
	c := NewConditions(zap.NewNop())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				c.Set("x", map[bool]error{true: errors.New("no")}[i%2 == 0])
				c.List()
				c.Ready()
				c.Clear("y")
			}
		})
	}
	wg.Wait()
}

func serve(t *testing.T, o ServerOptions) (url string, stop func()) {
	t.Helper()
	s, err := NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return s.Addr(), stop
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

func TestServer(t *testing.T) {
	c := NewConditions(zap.NewNop(), "kafka")
	addr, stop := serve(t, ServerOptions{Addr: "127.0.0.1:0", Program: "ingest", Conditions: c, Heartbeats: new(Heartbeats)})
	url := "http://" + addr

	if status, body := get(t, url+"/livez"); status != 200 || body != "ok\n" {
		t.Errorf("/livez: %d %s", status, body)
	}
	status, body := get(t, url+"/readyz")
	var answer struct {
		Ready      bool
		Conditions []struct {
			Name, Message string
			OK            bool
			Since         time.Time
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	if status != 503 || answer.Ready || len(answer.Conditions) != 1 || answer.Conditions[0].Name != "kafka" || answer.Conditions[0].Since.IsZero() {
		t.Errorf("/readyz: %d %s", status, body)
	}
	c.Set("kafka", errors.New("connection refused"))
	if err := Healthcheck(t.Context(), addr); err == nil || err.Error() != "not ready: kafka: connection refused" {
		t.Errorf("Healthcheck: %v", err)
	}
	if _, body := get(t, url+"/metrics"); !strings.Contains(body, `windrow_condition_ok{condition="kafka"} 0`) {
		t.Error("/metrics does not tell that kafka is waited for")
	}
	c.Set("kafka", nil)
	if status, body := get(t, url+"/readyz"); status != 200 || !strings.Contains(body, `"ready": true`) {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if err := Healthcheck(t.Context(), addr); err != nil {
		t.Errorf("Healthcheck: %v", err)
	}
	_, body = get(t, url+"/metrics")
	for _, metric := range []string{`windrow_condition_ok{condition="kafka"} 1`, "windrow_build_info{", "go_goroutines ", "process_resident_memory_bytes "} {
		if !strings.Contains(body, "\n"+metric) {
			t.Errorf("/metrics lacks %s", metric)
		}
	}
	if _, body := get(t, url+"/"); !strings.Contains(body, `href="/readyz"`) || strings.Contains(body, "pprof") {
		t.Errorf("/: %s", body)
	}
	if status, _ := get(t, url+"/debug/pprof/"); status != 404 {
		t.Errorf("/debug/pprof/ is served unasked: %d", status)
	}
	_, err := NewServer(ServerOptions{Addr: addr})
	if err == nil || !strings.Contains(err.Error(), "HTTP_ADDR="+addr+": the port is in use") {
		t.Errorf("a second server: %v", err)
	}
	stop()
	if err := Healthcheck(t.Context(), addr); err == nil {
		t.Error("answers after its end")
	}
}

func TestLivezNamesTheStuckLoop(t *testing.T) {
	var h Heartbeats
	h.Start("shard events/0", -1) // a limit that any silence exceeds
	s := &Server{heartbeats: &h}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/livez", nil))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "shard events/0 has not moved") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestPProf(t *testing.T) {
	addr, _ := serve(t, ServerOptions{Addr: "127.0.0.1:0", PProf: true, Conditions: NewConditions(zap.NewNop()), Heartbeats: new(Heartbeats)})
	if status, body := get(t, "http://"+addr+"/debug/pprof/goroutine?debug=1"); status != 200 || !strings.Contains(body, "goroutine profile") {
		t.Errorf("%d %s", status, body)
	}
}

func TestServerOff(t *testing.T) {
	for _, addr := range []string{"", "off"} {
		got, stop := serve(t, ServerOptions{Addr: addr})
		if got != "" {
			t.Errorf("HTTP_ADDR=%s listens on %s", addr, got)
		}
		stop()
		if err := Healthcheck(t.Context(), addr); err == nil {
			t.Errorf("HTTP_ADDR=%s: healthy", addr)
		}
	}
}

func TestStop(t *testing.T) {
	begin := func(t *testing.T) (signals chan os.Signal, work, hard context.Context) {
		signals = make(chan os.Signal, 2)
		work, hard, end := stop(t.Context(), signals, 10*time.Second, zap.NewNop())
		t.Cleanup(end)
		synctest.Wait()
		if work.Err() != nil || hard.Err() != nil {
			t.Fatal("done before any signal")
		}
		signals <- syscall.SIGTERM
		synctest.Wait()
		if !errors.Is(context.Cause(work), ErrStop) || hard.Err() != nil {
			t.Fatalf("after the first signal: work %v, hard %v", context.Cause(work), hard.Err())
		}
		return signals, work, hard
	}
	t.Run("second signal", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			signals, work, hard := begin(t)
			signals <- syscall.SIGINT
			synctest.Wait()
			if !errors.Is(context.Cause(hard), ErrAbort) || !errors.Is(context.Cause(work), ErrStop) {
				t.Errorf("work %v, hard %v", context.Cause(work), context.Cause(hard))
			}
		})
	})
	t.Run("timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, _, hard := begin(t)
			time.Sleep(10*time.Second - 1)
			synctest.Wait()
			if hard.Err() != nil {
				t.Error("ended before its time")
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if !errors.Is(context.Cause(hard), ErrAbort) {
				t.Errorf("hard %v", context.Cause(hard))
			}
		})
	})
	t.Run("release", func(t *testing.T) {
		work, hard, release := Stop(t.Context(), time.Second, zap.NewNop())
		release()
		if work.Err() == nil || hard.Err() == nil {
			t.Error("not done after release")
		}
	})
}

// A real signal reaches the contexts.
func TestStopOnSignal(t *testing.T) {
	work, hard, release := Stop(t.Context(), time.Minute, zap.NewNop())
	defer release()
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-work.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("SIGTERM has no effect")
	}
	if hard.Err() != nil {
		t.Error("the first signal aborts")
	}
}

func TestLogger(t *testing.T) {
	for _, format := range []string{"json", "console"} {
		l, err := NewLogger("warn", format)
		if err != nil {
			t.Fatal(err)
		}
		if l.Core().Enabled(zapcore.InfoLevel) || !l.Core().Enabled(zapcore.WarnLevel) {
			t.Errorf("%s: the level is not warn", format)
		}
	}
	if _, err := NewLogger("loud", "json"); err == nil {
		t.Error("level loud is accepted")
	}
	if _, err := NewLogger("info", "xml"); err == nil {
		t.Error("format xml is accepted")
	}
}
