package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// RedisWithDiskOf returns a redis-server that appends to a file, as appendfsync says (always, everysec), which can't grow
// beyond so many bytes: Redis gets the errors that a full disk gives, until DiskGrows.
func RedisWithDiskOf(t testing.TB, bytes int, appendfsync string, options ...string) *RedisServer {
	t.Helper()
	r := RedisNotStarted(t, append([]string{
		"--appendonly", "yes", "--appendfsync", appendfsync, "--auto-aof-rewrite-percentage", "0",
	}, options...)...)
	const block = 1024 // of sh's ulimit
	r.wrapper = []string{"sh", "-c", fmt.Sprintf(`trap "" XFSZ; ulimit -S -f %d; exec "$@"`, bytes/block), "sh"}
	r.Start(t)
	return r
}

// DiskGrows ends what RedisWithDiskOf began: there is room again.
func (r *RedisServer) DiskGrows(t testing.TB) {
	t.Helper()
	limit := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(r.command.pid(), unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		t.Fatalf("lifting the limit of redis-server's files: %v", err)
	}
}

// RedisWithClock returns a redis-server whose clock can be set by StepClock. It needs libfaketime.
func RedisWithClock(t testing.TB, options ...string) *RedisServer {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if err != nil || len(found) == 0 {
		t.Fatal("libfaketime is not installed: run `make setup`")
	}
	r := RedisNotStarted(t, options...)
	r.env = []string{
		"LD_PRELOAD=" + found[0], "FAKETIME_TIMESTAMP_FILE=" + r.clockFile(), "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
	}
	r.StepClock(t, 0)
	r.Start(t)
	return r
}

func (r *RedisServer) clockFile() string { return filepath.Join(r.dir, "clock") }

// StepClock makes the server's clock go ahead of the machine's by d, at once, or behind it.
func (r *RedisServer) StepClock(t testing.TB, d time.Duration) {
	t.Helper()
	next := r.clockFile() + ".next"
	err := os.WriteFile(next, fmt.Appendf(nil, "%+.3f\n", d.Seconds()), 0o600)
	if err == nil {
		err = os.Rename(next, r.clockFile()) // never half of it
	}
	if err != nil {
		t.Fatal(err)
	}
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
