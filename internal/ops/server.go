package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
)

// Server answers /livez, /readyz, /metrics, and /debug/pprof if asked to.
type Server struct {
	program    string
	listener   net.Listener // nil: there is no server
	conditions *Conditions
	heartbeats *Heartbeats
	pprof      bool
}

// ServerOptions say what a Server serves.
type ServerOptions struct {
	Addr       string // host:port; empty or off: there is no server, Run just waits
	Program    string // ingest, process …
	Conditions *Conditions
	Heartbeats *Heartbeats
	PProf      bool // serve /debug/pprof
}

// NewServer takes the address; the error says why it can't be had.
func NewServer(o ServerOptions) (*Server, error) {
	s := &Server{program: o.Program, conditions: o.Conditions, heartbeats: o.Heartbeats, pprof: o.PProf}
	if o.Addr == "" || o.Addr == "off" {
		return s, nil
	}
	var err error
	s.listener, err = net.Listen("tcp", o.Addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("HTTP_ADDR=%s: the port is in use, by another worker perhaps: choose another one, or off", o.Addr)
	case err != nil:
		return nil, fmt.Errorf("HTTP_ADDR=%s: %w", o.Addr, err)
	}
	return s, nil
}

// Addr is the address that the server listens on, empty if there is no server.
func (s *Server) Addr() string {
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Run serves until ctx is done, finishes the requests it has, and returns nil.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		<-ctx.Done()
		return nil
	}
	h := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	var g errgroup.Group
	stopped := make(chan struct{})
	g.Go(func() error {
		defer close(stopped)
		if err := h.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("HTTP server on %s: %w", s.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		select {
		case <-stopped:
			return nil
		case <-ctx.Done():
		}
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := h.Shutdown(grace); err != nil {
			h.Close() // a profile or a slow reader holds nobody up
		}
		return nil
	})
	return g.Wait()
}

// Handler is what the server serves.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	pages := []string{"/livez", "/readyz", "/metrics"}
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", promhttp.Handler())
	if s.pprof {
		pages = append(pages, "/debug/pprof/")
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		title := html.EscapeString("windrow " + s.program + " " + Build())
		fmt.Fprintf(w, "<!doctype html><title>%s</title><h1>%s</h1>\n<ul>\n", title, title)
		for _, p := range pages {
			fmt.Fprintf(w, "<li><a href=\"%s\">%s</a>\n", p, p)
		}
		fmt.Fprintln(w, "</ul>")
	})
	return mux
}

func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := s.heartbeats.Check(); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	fmt.Fprintln(w, "ok")
}

// readiness is the body of /readyz.
type readiness struct {
	Ready      bool        `json:"ready"`
	Conditions []Condition `json:"conditions"`
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	body := readiness{Ready: s.conditions.Ready(), Conditions: s.conditions.List()}
	w.Header().Set("Content-Type", "application/json")
	if !body.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(body) // an error here is the reader's: it went away
}

// Healthcheck asks the program that listens on addr (as in HTTP_ADDR) on this machine for its /readyz. The error says
// what the program waits for. It is what `-healthcheck` does, for containers without a shell.
func Healthcheck(ctx context.Context, addr string) error {
	if addr == "" || addr == "off" {
		return errors.New("HTTP_ADDR is off: there is nothing to ask")
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("HTTP_ADDR=%s: %w", addr, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	url := "http://" + net.JoinHostPort(host, port) + "/readyz"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	// A proxy from the environment has no business between a program and itself.
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	var body readiness
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	var missing []string
	for _, c := range body.Conditions {
		if !c.OK && !c.Warning {
			missing = append(missing, c.Name+": "+c.Message)
		}
	}
	return fmt.Errorf("not ready: %s", strings.Join(missing, "; "))
}
