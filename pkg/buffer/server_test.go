package buffer

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/internal/redistest"
)

// What must pass passes when Redis is full, what must not does not, and all goes on once there is room.
func TestFull(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, "--maxmemory", "24mb", "--maxmemory-policy", "noeviction")
	b, c, ctx := open(t, s.URL()), s.Client(), t.Context()
	noError(t, b.Check(ctx))
	a := b.Appender("t/0", "t/0")
	defer a.Close()
	tail := must1(a.Tail(ctx))(t)
	r := b.Reader("p", "w", "t/0", []string{"t/0"})
	defer r.Close()
	must1(r.Read(ctx, 0, 1))(t)
	equal(t, must1(b.TakeLease(ctx, "p", "t/0", "w", time.Minute))(t), true)

	big := make([]byte, 256<<10)
	var err error
	for range 200 {
		var next Tail
		if next, err = a.Append(ctx, Append{From: tail.Next, Next: tail.Next + 10, Batches: big}); err != nil {
			break
		}
		tail = next
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("append to a full Redis: %v", err)
	}
	noError(t, c.ConfigSet(ctx, "maxmemory", "8mb").Err()) // so full that no small write fits either
	got := must1(a.Tail(ctx))(t)
	got.Held = tail.Held
	equal(t, got, tail)
	if _, err := a.Append(ctx, Append{From: tail.Next, Next: tail.Next + 1}); !errors.Is(err, ErrFull) {
		t.Fatalf("a moving tail in a full Redis: %v", err)
	}
	if err := b.Append(ctx, "x"); !errors.Is(err, ErrFull) {
		t.Fatalf("direct append to a full Redis: %v", err)
	}
	if err := b.Register(ctx, "u/0", "u/0"); !errors.Is(err, ErrFull) {
		t.Fatalf("register in a full Redis: %v", err)
	}

	equal(t, must1(b.TakeLease(ctx, "p", "t/0", "w", time.Minute))(t), true)
	equal(t, must1(b.TakeLease(ctx, "p", "t/1", "w", time.Minute))(t), true)
	equal(t, must1(b.RenewLeases(ctx, "p", []string{"t/0", "t/1"}, "w", time.Minute))(t), map[string]bool{"t/0": true, "t/1": true})
	noError(t, b.ReleaseLease(ctx, "p", "t/1", "w"))
	equal(t, beat(t, b, "w"), []string{"w"})
	// A pipeline that comes only now makes its group, and its lane.
	late := b.Reader("late", "w", "t/0", []string{"t/0", "u/0"})
	defer late.Close()
	must1(late.Read(ctx, 0, 1))(t)
	late.lanes[0].scan, late.lanes[1].scan = false, false
	equal(t, len(must1(late.Read(ctx, 0, 1))(t).Lanes[0].Entries), 1)

	r.Rescan("t/0")
	lt := must1(r.Read(ctx, 0, 1000))(t).Lanes[0]
	equal(t, lt.Entries[len(lt.Entries)-1].Next, tail.Next)
	noError(t, b.Publish(ctx, "p", "t/0", []Mark{markAt(lt, len(lt.Entries))}, time.Minute, nil))
	equal(t, must1(c.XLen(ctx, a.laneKey).Result())(t), 0)
	equal(t, must1(b.Marks(ctx, "t/0"))(t)["p"]["t/0"].Position, tail.Next)
	equal(t, must1(a.Tail(ctx))(t).Held, 0)
	must1(a.Append(ctx, Append{From: tail.Next, Next: tail.Next + 10, Batches: big}))(t)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	t.Run("evicts", func(t *testing.T) {
		s := redistest.Start(t, "--maxmemory", "24mb", "--maxmemory-policy", "allkeys-lru")
		err := open(t, s.URL()).Check(t.Context())
		if !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), "CONFIG SET maxmemory-policy noeviction") {
			t.Fatal(err)
		}
	})
	t.Run("does not say", func(t *testing.T) {
		s := redistest.Start(t, "--rename-command", "CONFIG", "", "--rename-command", "INFO", "")
		core, logs := observer.New(zap.WarnLevel)
		b, err := Open(Options{URL: s.URL(), Stream: "s", Logger: zap.New(core)})
		noError(t, err)
		defer b.Close()
		noError(t, b.Check(t.Context()))
		noError(t, b.Check(t.Context()))
		equal(t, logs.Len(), 1)
	})
	t.Run("replica", func(t *testing.T) {
		master := redistest.Start(t)
		host, port, _ := net.SplitHostPort(master.Addr)
		s := redistest.Start(t, "--replicaof", host+" "+port)
		if err := open(t, s.URL()).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "replica") {
			t.Fatal(err)
		}
	})
	t.Run("away", func(t *testing.T) {
		b := open(t, "redis://127.0.0.1:1")
		if err := b.Check(t.Context()); err == nil || errors.Is(err, ErrPolicy) {
			t.Fatal(err)
		}
	})
}

// A reader that waits lives through FLUSHALL, and sees what comes after; it does not spin.
func TestReadThroughLoss(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b, c, ctx := open(t, s.URL()), s.Client(), t.Context()
	r := b.Reader("p", "w", "t/0", []string{"t/0", "u/0"})
	defer r.Close()
	drain(t, r, "t/0")
	a := b.Appender("t/0", "t/0")
	defer a.Close()
	for i := range int64(3) {
		lost := make(chan error, 1)
		go func() {
			for { // until the reader waits
				n, err := c.Do(ctx, "CLIENT", "LIST").Text()
				if err != nil || strings.Contains(n, "cmd=xreadgroup") && strings.Contains(n, "flags=b") {
					break
				}
			}
			if i == 1 {
				lost <- c.XGroupDestroy(ctx, a.laneKey, "p").Err()
			} else {
				lost <- c.FlushAll(ctx).Err()
			}
		}()
		start := time.Now()
		turn := must1(r.Read(ctx, time.Second, 10))(t)
		noError(t, <-lost)
		if i == 1 { // the group, made again, begins at the lane's start
			equal(t, len(turn.Lanes[0].Entries), 1)
		} else {
			equal(t, len(turn.Lanes[0].Entries), 0)
		}
		if d := time.Since(start); d > 900*time.Millisecond {
			t.Errorf("noticed after %v", d)
		}
		start = time.Now()
		must1(r.Read(ctx, 100*time.Millisecond, 10))(t)
		if d := time.Since(start); d < 90*time.Millisecond {
			t.Errorf("the next read waits %v only", d)
		}
		must1(a.Tail(ctx))(t)
		_, err := a.Append(ctx, Append{From: 10 * i, Next: 10*i + 10, Batches: payload(10*i, 10*i+10), Gap: true})
		noError(t, err)
		got := must1(r.Read(ctx, time.Second, 10))(t).Lanes[0].Entries
		equal(t, got[len(got)-1].Next, 10*i+10)
	}

	// A server that restarts empty: an error, then a scan.
	s.Kill()
	if _, err := r.Read(ctx, 0, 10); err == nil {
		t.Fatal("read from no server")
	}
	s.Restart()
	turn := must1(r.Read(ctx, 0, 10))(t)
	equal(t, []any{turn.Lanes[0].Rescan, turn.Lanes[0].Tail}, []any{true, int64(-1)})
}

// A key that is no stream is refused before the tail moves.
func TestWrongType(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b, c, ctx := open(t, s.URL()), s.Client(), t.Context()
	a := b.Appender("t/0", "t/0")
	defer a.Close()
	noError(t, c.Set(ctx, a.laneKey, "x", 0).Err())
	if _, err := a.Tail(ctx); err == nil || !strings.Contains(err.Error(), "not a stream") {
		t.Fatal(err)
	}
	noError(t, c.Del(ctx, a.laneKey).Err())
	must1(a.Tail(ctx))(t)
	noError(t, c.Set(ctx, a.laneKey, "x", 0).Err())
	if _, err := a.Append(ctx, Append{From: 0, Next: 1, Batches: []byte("x")}); err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	r := b.Reader("p", "w", "t/0", []string{"t/0"})
	defer r.Close()
	if _, err := r.Read(ctx, 0, 1); err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Fatal(err)
	}
}

// Where transactions are not allowed nothing is appended, rather than without the comparison.
func TestNoTransactions(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c, ctx := s.Client(), t.Context()
	for _, refused := range []string{"multi", "exec", "watch"} {
		noError(t, c.Do(ctx, "ACL", "SETUSER", "u", "reset", "on", ">pw", "~*", "+@all", "-"+refused).Err())
		a := open(t, "redis://u:pw@"+s.Addr).Appender("t/0", "t/0")
		defer a.Close()
		if _, err := a.Tail(ctx); err == nil || !strings.Contains(err.Error(), "NOPERM") {
			t.Errorf("%s: %v", refused, err)
		}
		if _, err := a.Append(ctx, Append{From: 0, Next: 1, Batches: []byte("x")}); err == nil {
			t.Errorf("%s: appended", refused)
		}
	}
	equal(t, must1(c.DBSize(ctx).Result())(t), 0)
}

// exercise goes through all that touches Redis once.
func exercise(t *testing.T, b *Buffer, shards ...string) {
	t.Helper()
	ctx := t.Context()
	noError(t, b.Check(ctx))
	must1(b.Claim(ctx, Settings{Start: "earliest"}))(t)
	for _, shard := range shards {
		noError(t, b.Register(ctx, shard, shard))
		a := b.Appender(shard, shard)
		defer a.Close()
		must1(a.Tail(ctx))(t)
		appendRange(t, a, 0, 5)
		appendRange(t, a, 5, 6)
		r := b.Reader("p", "w", shard, []string{shard})
		defer r.Close()
		must1(r.Read(ctx, 0, 10))(t)
		lt := must1(r.Read(ctx, 0, 10))(t).Lanes[0]
		equal(t, len(lt.Entries), 2)
		equal(t, must1(b.TakeLease(ctx, "p", shard, "w", time.Minute))(t), true)
		noError(t, b.Publish(ctx, "p", shard, []Mark{markAt(lt, 1)}, time.Minute, nil))
		equal(t, must1(a.Tail(ctx))(t).Held, 3+entryCost)
	}
	equal(t, len(must1(b.RenewLeases(ctx, "p", shards, "w", time.Minute))(t)), len(shards))
	equal(t, len(must1(b.Leases(ctx, "p", shards))(t)), len(shards))
	beat(t, b, "w")
	noError(t, b.Append(ctx, 1))
	equal(t, len(must1(b.Shards(ctx))(t)), len(shards)+1)
	noError(t, b.Leave(ctx, "p", "w"))
}

func TestCluster(t *testing.T) {
	t.Parallel()
	nodes := redistest.Cluster(t, 3)
	b := open(t, "redis+cluster://"+nodes[0].Addr+","+nodes[1].Addr)
	exercise(t, b, "t/0", "t/1", "t/2", "t/3", "t/4", "t/5")
	spread := 0
	for _, n := range nodes {
		if keys := must1(n.Client().Keys(t.Context(), "*lane*").Result())(t); len(keys) > 0 {
			spread++
		}
	}
	if spread < 2 {
		t.Errorf("the lanes are on %d node", spread)
	}
	noError(t, nodes[2].Client().ConfigSet(t.Context(), "maxmemory-policy", "volatile-ttl").Err())
	if err := b.Check(t.Context()); !errors.Is(err, ErrPolicy) {
		t.Errorf("one master of three may evict: %v", err)
	}
	if err := open(t, nodes[0].URL()).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "redis+cluster://") {
		t.Errorf("a node alone: %v", err)
	}
}

// A slot moves to another node under the feet of all that has connections to it.
func TestClusterMoves(t *testing.T) {
	t.Parallel()
	nodes := redistest.Cluster(t, 2)
	ctx := t.Context()
	b := open(t, "redis+cluster://"+nodes[0].Addr)
	a := b.Appender("t/0", "t/0")
	defer a.Close()
	r := b.Reader("p", "w", "t/0", []string{"t/0"})
	defer r.Close()
	must1(a.Tail(ctx))(t)
	appendRange(t, a, 0, 5)
	equal(t, drain(t, r, "t/0"), []span{{0, 5}, {0, 5}}) // by the scan, then by the new group

	from, to := nodes[0].Client(), nodes[1].Client()
	if must1(from.ClusterCountKeysInSlot(ctx, slot(t, from, a.key)).Result())(t) == 0 {
		from, to = to, from
	}
	s := slot(t, from, a.key)
	fromID, toID := must1(from.Do(ctx, "CLUSTER", "MYID").Text())(t), must1(to.Do(ctx, "CLUSTER", "MYID").Text())(t)
	noError(t, to.Do(ctx, "CLUSTER", "SETSLOT", s, "IMPORTING", fromID).Err())
	noError(t, from.Do(ctx, "CLUSTER", "SETSLOT", s, "MIGRATING", toID).Err())
	host, port, _ := net.SplitHostPort(to.Options().Addr)
	for _, key := range must1(from.ClusterGetKeysInSlot(ctx, s, 100).Result())(t) {
		noError(t, from.Do(ctx, "MIGRATE", host, port, key, 0, 5000).Err())
	}
	for _, c := range []*redis.Client{to, from} {
		noError(t, c.Do(ctx, "CLUSTER", "SETSLOT", s, "NODE", toID).Err())
	}

	if _, err := a.Append(ctx, Append{From: 5, Next: 6, Batches: payload(5, 6)}); err == nil {
		t.Fatal("appended to the node that has given the lane away")
	}
	var turn *Turn
	await.True(t, "all go to the new node", func() bool {
		tail, err := a.Tail(ctx)
		if err == nil && tail.Next == 5 {
			_, err = a.Append(ctx, Append{From: 5, Next: 6, Batches: payload(5, 6)})
		}
		if err != nil {
			return false
		}
		turn, err = r.Read(ctx, 0, 10)
		return err == nil && len(turn.Lanes[0].Entries) > 0 && turn.Lanes[0].Entries[len(turn.Lanes[0].Entries)-1].Next == 6
	})
	lt := turn.Lanes[0]
	await.True(t, "the position is published", func() bool {
		return b.Publish(ctx, "p", "t/0", []Mark{markAt(lt, len(lt.Entries))}, time.Minute, nil) == nil
	})
	equal(t, must1(to.XLen(ctx, a.laneKey).Result())(t), 0)
	equal(t, must1(b.TakeLease(ctx, "p", "t/0", "w", time.Minute))(t), true)
}

func slot(t *testing.T, c *redis.Client, key string) int {
	t.Helper()
	return int(must1(c.ClusterKeySlot(t.Context(), key).Result())(t))
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	host, port, _ := net.SplitHostPort(master.Addr)
	replica := redistest.Start(t, "--replicaof", host+" "+port, "--repl-diskless-sync-delay", "0")
	addr := redistest.Sentinel(t, master)
	b := open(t, "redis+sentinel://"+addr+"/mymaster/0")
	exercise(t, b, "t/0")
	ctx := t.Context()
	a := b.Appender("t/0", "t/0")
	defer a.Close()
	r := b.Reader("p", "w", "t/0", []string{"t/0"})
	defer r.Close()
	must1(a.Tail(ctx))(t)
	must1(r.Read(ctx, 0, 10))(t)

	rc, sc := replica.Client(), redis.NewSentinelClient(&redis.Options{Addr: addr, Protocol: 2})
	defer sc.Close()
	await.True(t, "the replica is known and in step", func() bool {
		rs, err := sc.Replicas(ctx, "mymaster").Result()
		return err == nil && len(rs) == 1 && rc.Exists(ctx, a.laneKey).Val() == 1
	})
	master.Kill()
	await.True(t, "the appender goes on at the new master", func() bool {
		tail, err := a.Tail(ctx)
		if err != nil {
			return false
		}
		_, err = a.Append(ctx, Append{From: tail.Next, Next: tail.Next + 1, Batches: []byte("x")})
		return err == nil
	})
	await.True(t, "the reader does too", func() bool {
		turn, err := r.Read(ctx, 0, 10)
		return err == nil && len(turn.Lanes[0].Entries) > 0 && turn.Lanes[0].Tail == 7
	})
	equal(t, must1(rc.HGet(ctx, a.key, tailNext).Result())(t), "7")
}

func TestTLSAndPassword(t *testing.T) {
	t.Parallel()
	dir := redistest.Dir(t)
	certs(t, dir)
	ca, cert, key := filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	port := strconv.Itoa(redistest.Port(t))
	redistest.Start(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca,
		"--requirepass", "s3cret", "--unixsocket", filepath.Join(dir, "sock"))
	addr := "127.0.0.1:" + port
	exercise(t, open(t, "rediss://:s3cret@"+addr+"/3?tls_ca="+ca+"&tls_cert="+cert+"&tls_key="+key), "t/0")
	exercise(t, open(t, "unix://:s3cret@"+filepath.Join(dir, "sock")+"?db=4"), "t/0")
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	for url, want := range map[string]string{
		"rediss://:s3cret@" + addr: "certificate",
		"rediss://:wrong@" + addr + "?tls_ca=" + ca + "&tls_cert=" + cert + "&tls_key=" + key: "WRONGPASS",
		"redis://:s3cret@" + addr: "",
		"rediss://:s3cret@" + strings.Replace(addr, "127.0.0.1", "localhost", 1) + "?tls_ca=" + ca + "&db=1": "certificate",
	} {
		err := open(t, url).Check(ctx)
		if err == nil || errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// certs writes ca, cert and key: an authority, and a certificate for 127.0.0.1 that both sides use.
func certs(t *testing.T, dir string) {
	t.Helper()
	caKey := must1(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER := must1(x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey))(t)
	key := must1(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "redis"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	leafDER := must1(x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey))(t)
	keyDER := must1(x509.MarshalECPrivateKey(key))(t)
	for name, block := range map[string]*pem.Block{
		"ca": {Type: "CERTIFICATE", Bytes: caDER}, "cert": {Type: "CERTIFICATE", Bytes: leafDER}, "key": {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		var b bytes.Buffer
		noError(t, pem.Encode(&b, block))
		noError(t, os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600))
	}
}
