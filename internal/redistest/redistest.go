// Package redistest starts real Redis servers for tests: each on a free port of the loopback, with a directory of its
// own, ended with the test.
package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is a redis-server process.
type Server struct {
	Addr string // host:port
	Dir  string // its working directory: dump.rdb, the append-only files, the log
	t    testing.TB
	port int
	args []string

	mu      sync.Mutex
	process *process
}

type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// Start starts a redis-server with further arguments of its command line, say "--maxmemory", "32mb". It writes nothing to
// disk by itself unless the arguments say so. With -short the test is skipped; a missing redis-server fails it.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("needs redis-server, which -short leaves out")
	}
	s := &Server{Dir: Dir(t), t: t, args: append([]string{"--save", "", "--appendonly", "no"}, args...)}
	t.Cleanup(s.Kill)
	var err error
	for range 5 { // the port may be taken between the look and the start
		s.setPort(Port(t))
		if err = s.run(s.command()...); err == nil {
			return s
		}
	}
	t.Fatal(err)
	return nil
}

// Dir is a new directory that the test removes at its end. Its path is short enough for a socket.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (s *Server) setPort(port int) {
	s.port = port
	s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

func (s *Server) command() []string {
	return append([]string{"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.Dir}, s.args...)
}

// Port returns a port of the loopback that is free now and, for the bus of a Cluster, whose number plus 10000 is too.
func Port(t testing.TB) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		if port > 55535 {
			_ = l.Close()
			continue
		}
		bus, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+10000)))
		_ = l.Close()
		if err == nil {
			_ = bus.Close()
			return port
		}
	}
	t.Fatal("no free port below 55536")
	return 0
}

// URL is the server's URL for REDIS_URL.
func (s *Server) URL() string { return "redis://" + s.Addr + "/0" }

// Client returns a client of the server, closed with the test.
func (s *Server) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: s.Addr, Protocol: 2, DisableIdentity: true})
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Restart starts the server again after Kill or Stop, on the same port, and waits until it answers.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.run(s.command()...); err != nil {
		s.t.Fatal(err)
	}
}

// run starts the process and waits until it has loaded its data; a server with a password says at least that it wants it.
func (s *Server) run(args ...string) error {
	s.t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatal("redis-server is missing: install it (Debian, Ubuntu: apt-get install redis-server; macOS: brew install redis), or leave these tests out with -short")
	}
	log, err := os.Create(filepath.Join(s.Dir, "log"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(bin, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		_ = log.Close()
		close(p.done)
	}()
	s.mu.Lock()
	s.process = p
	s.mu.Unlock()

	failed := func(why string) error {
		text, _ := os.ReadFile(log.Name())
		return fmt.Errorf("redis-server does not start: %s\n%s", why, text)
	}
	for deadline := time.Now().Add(20 * time.Second); !s.ready(log.Name()); {
		select {
		case <-p.done:
			return failed("it ended")
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return failed("it does not answer")
		}
	}
	return nil
}

// ready looks into the log first: what answers at the port could be somebody else's.
func (s *Server) ready(log string) bool {
	text, err := os.ReadFile(log)
	if err != nil || !strings.Contains(string(text), "Ready to accept connections") && !strings.Contains(string(text), "+monitor master") {
		return false
	}
	c := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1, DialerRetries: 1, Protocol: 2, DisableIdentity: true})
	defer func() { _ = c.Close() }()
	err = c.Ping(context.Background()).Err()
	return err == nil || strings.HasPrefix(err.Error(), "NOAUTH")
}

// Kill ends the server at once, as a crash does. It may be repeated.
func (s *Server) Kill() { s.end(os.Kill) }

// Stop asks the server to end, which saves if it is told to, and waits.
func (s *Server) Stop() { s.end(os.Interrupt) }

func (s *Server) end(sig os.Signal) {
	s.mu.Lock()
	p := s.process
	s.process = nil
	s.mu.Unlock()
	if p != nil {
		_ = p.cmd.Process.Signal(sig)
		<-p.done
	}
}

// Cluster starts a Cluster of n masters and waits until it serves every slot.
func Cluster(t testing.TB, n int) []*Server {
	t.Helper()
	ctx := context.Background()
	servers := make([]*Server, n)
	for i := range servers {
		servers[i] = Start(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-config-file", "nodes.conf")
	}
	first := servers[0].Client()
	for i, s := range servers {
		c := s.Client()
		if err := c.ClusterAddSlotsRange(ctx, i*16384/n, (i+1)*16384/n-1).Err(); err != nil {
			t.Fatal(err)
		}
		if err := c.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			if err := first.ClusterMeet(ctx, "127.0.0.1", strconv.Itoa(s.port)).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	deadline := time.Now().Add(15 * time.Second)
	for _, s := range servers {
		c := s.Client()
		for {
			info, err := c.ClusterInfo(ctx).Result()
			if err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", n)) &&
				strings.Contains(info, "cluster_slots_ok:16384") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the cluster does not form: %v\n%s", err, info)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return servers
}

// Sentinel starts a sentinel that watches master under the name mymaster and fails over within about two seconds. It
// returns its address.
func Sentinel(t testing.TB, master *Server) string {
	t.Helper()
	s := &Server{Dir: Dir(t), t: t}
	t.Cleanup(s.Kill)
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.Dir, "sentinel.conf")
	for range 5 {
		s.setPort(Port(t))
		conf := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor mymaster %s %s 1\n"+
			"sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 2000\n", s.port, s.Dir, host, port)
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		if err = s.run(file, "--sentinel"); err == nil {
			return s.Addr
		}
	}
	t.Fatal(err)
	return ""
}
