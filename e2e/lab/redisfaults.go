package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// RedisWithDisk returns a redis-server that appends to a file, as appendfsync says (always, everysec), whose disk can be
// filled.
func RedisWithDisk(t testing.TB, appendfsync string, options ...string) *RedisServer {
	t.Helper()
	r := RedisNotStarted(t, append([]string{
		"--appendonly", "yes", "--appendfsync", appendfsync, "--auto-aof-rewrite-percentage", "0",
	}, options...)...)
	r.wrapper = []string{"sh", "-c", `trap "" XFSZ; exec "$@"`, "sh"} // else the signal of a file too large ends it
	r.Start(t)
	return r
}

// FillDisk lets the append-only file of RedisWithDisk grow no more, with the error that a full disk gives, until FreeDisk.
func (r *RedisServer) FillDisk(t testing.TB) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) != 1 {
		t.Fatalf("redis-server has the append-only files %v: %v", files, err)
	}
	file, err := os.Stat(files[0])
	if err != nil {
		t.Fatal(err)
	}
	r.limitFiles(t, uint64(file.Size()))
}

// FreeDisk ends what FillDisk began: there is room again.
func (r *RedisServer) FreeDisk(t testing.TB) { t.Helper(); r.limitFiles(t, unix.RLIM_INFINITY) }

func (r *RedisServer) limitFiles(t testing.TB, bytes uint64) {
	t.Helper()
	limit := unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(r.command.pid(), unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		t.Fatalf("limiting the size of redis-server's files: %v", err)
	}
}

// RedisWithClock returns a redis-server whose clock can step.
func RedisWithClock(t testing.TB, options ...string) *RedisServer {
	t.Helper()
	r := RedisNotStarted(t, options...)
	var err error
	if r.Clock, err = newClock(r.dir); err != nil {
		t.Fatal(err)
	}
	r.Start(t)
	return r
}

// RedisReplica returns a running redis-server that replicates the one at primary (host:port); it ends with the test.
func RedisReplica(t testing.TB, primary string, options ...string) *RedisServer {
	t.Helper()
	host, port, err := net.SplitHostPort(primary)
	if err != nil {
		t.Fatal(err)
	}
	r := RedisNotStarted(t, append([]string{"--replicaof", host, port, "--repl-diskless-sync-delay", "0"}, options...)...)
	r.Start(t)
	return r
}

// Synced waits until a replica has what its primary has.
func (r *RedisServer) Synced(t testing.TB) {
	t.Helper()
	client := r.Client(t)
	WaitFor(t, startPatience, "the replica to be in sync", func() bool {
		role, err := client.Do(t.Context(), "ROLE").Slice()
		return err == nil && len(role) > 3 && fmt.Sprint(role[0]) == "slave" && fmt.Sprint(role[3]) == "connected"
	})
}

// Promote makes a primary of a replica.
func (r *RedisServer) Promote(t testing.TB) {
	t.Helper()
	if err := r.Client(t).Do(t.Context(), "REPLICAOF", "NO", "ONE").Err(); err != nil {
		t.Fatalf("REPLICAOF NO ONE: %v", err)
	}
}
