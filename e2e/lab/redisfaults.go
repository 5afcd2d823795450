package lab

import (
	"fmt"
	"net"
	"testing"

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
