package wire

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/windrow-io/windrow/pkg/record"
)

// liar sits between a client and a broker and may falsify the answers to one call.
type liar struct {
	net.Listener
	target string
	key    kmsg.Key
	lie    func(answer []byte) []byte // nil: cut the connection
	asked  atomic.Int32
}

// lieFor starts a cluster of one broker, reached through a liar.
func lieFor(t *testing.T, key kmsg.Key, lie func([]byte) []byte) (*liar, *Cluster) {
	t.Helper()
	l := &liar{key: key, lie: lie}
	var err error
	if l.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "a"), kfake.ListenFn(func(network, address string) (net.Listener, error) {
		behind, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		l.target = behind.Addr().String()
		return advertised{behind, l.Addr()}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go l.serve(c)
		}
	}()
	c := New(Config{Brokers: []string{l.Addr().String()}, ClientID: "wire-test"})
	t.Cleanup(c.Close)
	return l, c
}

// advertised is a listener that says it is at another address.
type advertised struct {
	net.Listener
	addr net.Addr
}

func (a advertised) Addr() net.Addr { return a.addr }

func (l *liar) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer server.Close()
	for {
		request, err := readFrame(client)
		if err != nil {
			return
		}
		if _, err := server.Write(request); err != nil {
			return
		}
		answer, err := readFrame(server)
		if err != nil {
			return
		}
		if kmsg.Key(binary.BigEndian.Uint16(request[4:])) == l.key {
			l.asked.Add(1)
			if answer = l.lie(answer); answer == nil {
				return
			}
		}
		if _, err := client.Write(answer); err != nil {
			return
		}
	}
}

func readFrame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	f := make([]byte, 4+binary.BigEndian.Uint32(size[:]))
	copy(f, size[:])
	_, err := io.ReadFull(r, f[4:])
	return f, err
}

// Whatever goes wrong with an answer: an error, one request, and a fresh connection for the next one.
func TestBadAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		lie   func([]byte) []byte
		want  error
		retry bool
	}{
		"cut": {func([]byte) []byte { return nil }, io.ErrUnexpectedEOF, true},
		"another request's": {func(a []byte) []byte {
			a[7]++
			return a
		}, errProtocol, false},
		"too long": {func(a []byte) []byte {
			binary.BigEndian.PutUint32(a, 1<<30)
			return a
		}, errProtocol, false},
		"negative length": {func(a []byte) []byte {
			binary.BigEndian.PutUint32(a, 1<<31)
			return a
		}, errProtocol, false},
		"short inside": {func(a []byte) []byte {
			a = a[:len(a)-6]
			binary.BigEndian.PutUint32(a, uint32(len(a)-4))
			return a
		}, errProtocol, false},
		"an array that can't be": {func(a []byte) []byte {
			binary.BigEndian.PutUint32(a[12:], 1<<30)
			return a
		}, errProtocol, false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			l, cluster := lieFor(t, kmsg.ListOffsets, c.lie)
			_, err := cluster.Offsets(ctx, "a", []int32{0}, Latest, false)
			if !errors.Is(err, c.want) || Retry(err) != c.retry {
				t.Fatalf("got %v", err)
			}
			if n := l.asked.Load(); n != 1 {
				t.Errorf("asked %d times", n)
			}
			if _, err := cluster.Topics(ctx, "a"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A lost reply to a produce request: nobody sends it again behind our back.
func TestNothingIsResent(t *testing.T) {
	ctx := t.Context()
	l, c := lieFor(t, kmsg.Produce, func([]byte) []byte { return nil })
	leader, err := c.Leader(ctx, "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Produce(ctx, leader, "", []Raw{{"a", 0, sealed(t, nobody, -1, false, "x")}}, time.Second)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !Retry(err) {
		t.Fatalf("got %v", err)
	}
	ends, err := c.Offsets(ctx, "a", []int32{0}, Latest, false)
	if err != nil || ends[0] != 1 {
		t.Fatalf("%v, %v", ends, err)
	}
	if n := l.asked.Load(); n != 1 {
		t.Errorf("sent %d times", n)
	}
}

// A broker that says nothing is given up at the deadline; what it says later meets nobody.
func TestDeadline(t *testing.T) {
	release := make(chan struct{})
	l, c := lieFor(t, kmsg.ListOffsets, func(a []byte) []byte {
		<-release
		return a
	})
	if _, err := c.Leader(t.Context(), "a", 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := c.Offsets(ctx, "a", []int32{0}, Latest, false)
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) || !Retry(err) {
		t.Fatalf("got %v", err)
	}
	close(release)
	if _, err := c.Offsets(t.Context(), "a", []int32{0}, Latest, false); err != nil {
		t.Fatal(err)
	}
	if n := l.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

func TestBrokerAwayAndBack(t *testing.T) {
	ctx := t.Context()
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := reserved.Addr().(*net.TCPAddr).Port
	reserved.Close()
	c := New(Config{Brokers: []string{reserved.Addr().String()}})
	defer c.Close()
	if _, err := c.Topics(ctx); err == nil || !Retry(err) {
		t.Fatalf("nobody there: %v", err)
	}
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.SeedTopics(1, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for deadline := time.Now().Add(10 * time.Second); ; {
		_, err := c.Offsets(ctx, "a", []int32{0}, Latest, false)
		if err == nil {
			break
		}
		if !Retry(err) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestSecurity(t *testing.T) {
	serverTLS, clientTLS := selfSigned(t)
	sha, err := scram.Mechanism(scram.SHA512, "user", "secret")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		opts   []kfake.Opt
		config Config
		bad    bool
	}{
		"tls":            {[]kfake.Opt{kfake.TLS(serverTLS)}, Config{TLS: clientTLS}, false},
		"tls, unknown":   {[]kfake.Opt{kfake.TLS(serverTLS)}, Config{TLS: &tls.Config{ServerName: "localhost"}}, true},
		"plain":          {[]kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", "secret")}, Config{SASL: plain.Mechanism{Username: "user", Password: "secret"}}, false},
		"plain, wrong":   {[]kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", "secret")}, Config{SASL: plain.Mechanism{Username: "user", Password: "other"}}, true},
		"scram with tls": {[]kfake.Opt{kfake.TLS(serverTLS), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "user", "secret")}, Config{TLS: clientTLS, SASL: sha}, false},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := kfake.NewCluster(append(c.opts, kfake.NumBrokers(2), kfake.SeedTopics(1, "a"))...)
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			c.config.Brokers = k.ListenAddrs()
			cluster := New(c.config)
			defer cluster.Close()
			_, err = cluster.Offsets(t.Context(), "a", []int32{0}, Latest, false)
			switch {
			case c.bad && err == nil:
				t.Fatal("let in")
			case !c.bad && err != nil:
				t.Fatal(err)
			}
		})
	}
}

func TestRetryAndFenced(t *testing.T) {
	for _, c := range []struct {
		err           error
		retry, fenced bool
	}{
		{nil, false, false},
		{kafka.ConcurrentTransactions, true, false},
		{kafka.NotLeaderForPartition, true, false},
		{ofPartition(kafka.BrokerNotAvailable, "a", 1), true, false},
		{kafka.InvalidProducerEpoch, false, true},
		{ofPartition(kafka.ProducerFenced, "a", 1), false, true},
		{kafka.InvalidProducerIDMapping, false, true},
		{kafka.TopicAuthorizationFailed, false, false},
		{kafka.MessageSizeTooLarge, false, false},
		{io.ErrUnexpectedEOF, true, false},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, true, false},
		{context.DeadlineExceeded, true, false},
		{context.Canceled, false, false},
		{errProtocol, false, false},
	} {
		if r, f := Retry(c.err), Fenced(c.err); r != c.retry || f != c.fenced {
			t.Errorf("%v: retry %v, fenced %v", c.err, r, f)
		}
	}
}

// Many callers at once, some of whom lose patience: nobody gets another's answer, or meets another's memory.
func TestManyCallers(t *testing.T) {
	k, c := start(t, kfake.SeedTopics(12, "a"))
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotLeaderForPartition, Count: 20, When: func(kmsg.Request) bool { return rand.Intn(4) == 0 }})
	var all sync.WaitGroup
	for n := range int32(12) {
		all.Go(func() {
			var b record.Builder
			var buf []byte
			r := rand.New(rand.NewSource(int64(n)))
			for i := range 25 {
				b.Reset()
				b.Add(1, nil, fmt.Append(nil, n, " ", i, string(make([]byte, r.Intn(2*coalesce)))))
				raw, err := b.Seal(nobody, -1, false, record.None)
				if err != nil {
					t.Error(err)
					return
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(50+r.Intn(5000))*time.Microsecond)
				if leader, err := c.Leader(ctx, "a", n); err == nil {
					_, _ = c.Produce(ctx, leader, "", []Raw{{"a", n, raw}}, time.Second)
				}
				cancel()
				leader, err := c.Leader(t.Context(), "a", n)
				if err != nil {
					t.Error(err)
					return
				}
				ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
				res, err := c.Fetch(ctx, FetchRequest{Broker: leader, Partitions: []FetchPartition{{"a", n, 0, 1 << 20}}, MaxBytes: 1 << 20, MaxWait: time.Millisecond, Buf: buf})
				cancel()
				if err != nil {
					t.Error(err)
					return
				}
				for _, v := range values(t, res.Partitions[0], 0) {
					if !strings.HasPrefix(v, fmt.Sprint(n, " ")) {
						t.Errorf("partition %d holds %.20q", n, v)
					}
				}
				buf = res.Buf
			}
		})
	}
	all.Wait()
}
