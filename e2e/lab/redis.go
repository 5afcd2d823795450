package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// RedisServer is a redis-server of the test's own. It keeps nothing on disk unless options ask for it, so that Kill or
// Stop and Start bring it back empty.
type RedisServer struct {
	Addr  string // host:port
	URL   string // redis://host:port
	Clock *Clock // of its own, if asked for

	dir     string
	options []string
	wrapper []string // a command line that runs redis-server
	log     *logBuffer
	command *command
}

// Redis returns a running redis-server; it ends with the test. Options are its command line's, like "--maxmemory", "10mb".
func Redis(t testing.TB, options ...string) *RedisServer {
	t.Helper()
	r := RedisNotStarted(t, options...)
	r.Start(t)
	return r
}

// RedisNotStarted leaves the start to the test: the address is known before the server answers.
func RedisNotStarted(t testing.TB, options ...string) *RedisServer {
	t.Helper()
	addr := address(Port(t))
	r := &RedisServer{Addr: addr, URL: "redis://" + addr, dir: t.TempDir(), options: options, log: &logBuffer{}}
	t.Cleanup(func() {
		if r.command != nil {
			r.command.kill()
		}
	})
	showOnFailure(t, "redis-server", r.log)
	return r
}

// Start starts the server and waits until it answers.
func (r *RedisServer) Start(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redis-server (7.0 or newer) is not installed: run `make setup`")
	}
	_, port, _ := strings.Cut(r.Addr, ":")
	argv := append([]string{
		"redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", r.dir, "--save", "", "--appendonly", "no",
	}, r.options...)
	argv = append(r.wrapper[:len(r.wrapper):len(r.wrapper)], argv...)
	env := os.Environ()
	if r.Clock != nil {
		env = append(env, r.Clock.env()...)
	}
	var err error
	if r.command, err = run("redis-server", argv, env, r.log); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: r.Addr, MaxRetries: -1})
	defer client.Close()
	answers := func() bool { return !r.command.running() || client.Ping(t.Context()).Err() == nil }
	if !holdsWithin(startPatience, answers) || !r.command.running() {
		t.Fatalf("redis-server did not start: %s", r.log.tail())
	}
}

// Stop ends the server in good order.
func (r *RedisServer) Stop(t testing.TB) {
	t.Helper()
	if err := r.command.end(30 * time.Second); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the server at once, as kill -9 does.
func (r *RedisServer) Kill() { r.command.kill() }

// Pause stops the server's execution until Resume: it keeps its connections and does not answer.
func (r *RedisServer) Pause(t testing.TB) { signal(t, r.command, syscall.SIGSTOP) }

// Resume ends a Pause.
func (r *RedisServer) Resume(t testing.TB) { signal(t, r.command, syscall.SIGCONT) }

// Memory is what the server says it uses, in bytes.
func (r *RedisServer) Memory(ctx context.Context, client *redis.Client) (int, error) {
	info, err := client.Info(ctx, "memory").Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		if n, ok := strings.CutPrefix(line, "used_memory:"); ok {
			return strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return 0, fmt.Errorf("redis-server does not tell its memory")
}

// Client returns a client of the server; it is closed with the test.
func (r *RedisServer) Client(t testing.TB) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: r.Addr, MaxRetries: -1})
	t.Cleanup(func() { client.Close() })
	return client
}

// FlushAll drops everything that the server holds.
func (r *RedisServer) FlushAll(t testing.TB) {
	t.Helper()
	if err := r.Client(t).FlushAll(t.Context()).Err(); err != nil {
		t.Fatalf("FLUSHALL: %v", err)
	}
}

// Config sets a directive of the running server.
func (r *RedisServer) Config(t testing.TB, name, value string) {
	t.Helper()
	if err := r.Client(t).ConfigSet(t.Context(), name, value).Err(); err != nil {
		t.Fatalf("CONFIG SET %s %s: %v", name, value, err)
	}
}

// LaneKey is the key of a lane of a stream's shard.
func LaneKey(stream, shard, lane string) string {
	return fmt.Sprintf("windrow:{%s/%s}:lane:%s", stream, shard, lane)
}

// Lanes returns the keys of all lanes of a stream.
func (r *RedisServer) Lanes(t testing.TB, stream string) []string {
	t.Helper()
	client := r.Client(t)
	var lanes []string
	keys := client.ScanType(t.Context(), 0, "windrow:{"+stream+"/*:lane:*", 1000, "stream").Iterator()
	for keys.Next(t.Context()) {
		lanes = append(lanes, keys.Val())
	}
	if err := keys.Err(); err != nil {
		t.Fatalf("listing the lanes of %s: %v", stream, err)
	}
	return lanes
}

// Waiting is the number of entries that the stream's lanes hold.
func (r *RedisServer) Waiting(t testing.TB, stream string) int64 {
	t.Helper()
	client := r.Client(t)
	var entries int64
	for _, lane := range r.Lanes(t, stream) {
		n, err := client.XLen(context.WithoutCancel(t.Context()), lane).Result()
		if err != nil {
			t.Fatalf("XLEN %s: %v", lane, err)
		}
		entries += n
	}
	return entries
}
