package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func TestMain(m *testing.M) { Main(m) }

func numbered(topic string, partition int32, from, to int) []*kgo.Record {
	var records []*kgo.Record
	for i := from; i < to; i++ {
		records = append(records, &kgo.Record{Topic: topic, Partition: partition, Value: fmt.Append(nil, i)})
	}
	return records
}

func requireValues(t *testing.T, records []*kgo.Record, n int) {
	t.Helper()
	if len(records) != n {
		t.Fatalf("read %d records, want %d", len(records), n)
	}
	for i, r := range records {
		if string(r.Value) != fmt.Sprint(i) {
			t.Fatalf("record %d has the value %s", i, r.Value)
		}
	}
}

func TestKafkaKeepsItsDataOverAKill(t *testing.T) {
	t.Parallel()
	k := Kafka(t, WithoutAutoCreate())
	k.CreateTopic(t, "t", 1, "max.message.bytes", "2000000")
	k.Produce(t, numbered("t", 0, 0, 100))
	k.Kill()
	k.Start(t)
	k.Produce(t, numbered("t", 0, 100, 200), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	k.Stop(t)
	k.Start(t)
	requireValues(t, k.Consume(t, "t").ToEnd(), 200)
}

func TestConsumerReadsCommittedOnly(t *testing.T) {
	t.Parallel()
	k, topic := Kafka(t), Name(t)
	k.CreateTopic(t, topic, 1)
	k.ProduceTxn(t, true, numbered(topic, 0, 0, 10))
	k.ProduceTxn(t, false, numbered(topic, 0, 1000, 1010))
	k.ProduceTxn(t, true, numbered(topic, 0, 10, 20))
	requireValues(t, k.Consume(t, topic).ToEnd(), 20)
}

func TestConsumerWaitsForATopic(t *testing.T) {
	t.Parallel()
	k, topic := Kafka(t), Name(t)
	c := k.Consume(t, topic)
	c.poll(100 * time.Millisecond)
	k.CreateTopic(t, topic, 1)
	k.Produce(t, numbered(topic, 0, 0, 3))
	c.Until(30*time.Second, "3 records", func() bool { return len(c.Records) == 3 })
	requireValues(t, c.Records, 3)
}

func TestSecureListeners(t *testing.T) {
	t.Parallel()
	k := Kafka(t, WithSecurity())
	pem, err := os.ReadFile(k.Secure.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(k.Secure.CertFile, k.Secure.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	ping := func(addr string, config *tls.Config, mechanisms ...sasl.Mechanism) error {
		client := k.Client(t, kgo.SeedBrokers(addr), kgo.DialTLSConfig(config), kgo.SASL(mechanisms...),
			kgo.RequestRetries(0), kgo.RetryTimeout(0))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return client.Ping(ctx)
	}
	user, password := k.Secure.User, k.Secure.Password
	for name, m := range map[string]sasl.Mechanism{
		"plain":   plain.Auth{User: user, Pass: password}.AsMechanism(),
		"scram":   scram.Auth{User: user, Pass: password}.AsSha256Mechanism(),
		"scram-5": scram.Auth{User: user, Pass: password}.AsSha512Mechanism(),
	} {
		if err := ping(k.Secure.SASLAddr, &tls.Config{RootCAs: roots}, m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if ping(k.Secure.SASLAddr, &tls.Config{RootCAs: roots}, plain.Auth{User: user, Pass: "wrong"}.AsMechanism()) == nil {
		t.Error("a wrong password was let in")
	}
	if err := ping(k.Secure.TLSAddr, &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	if ping(k.Secure.TLSAddr, &tls.Config{RootCAs: roots}) == nil {
		t.Error("no certificate was asked for")
	}
}

func TestRedisComesBackEmpty(t *testing.T) {
	t.Parallel()
	r := Redis(t)
	c := r.Client(t)
	if err := c.Set(t.Context(), "a", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	r.Kill()
	if c.Ping(t.Context()).Err() == nil {
		t.Fatal("a killed server answers")
	}
	r.Start(t)
	if err := c.Get(t.Context(), "a").Err(); err != redis.Nil {
		t.Fatalf("a restarted server has %v", err)
	}
	r.Config(t, "maxmemory", "100mb")
	r.FlushAll(t)
}

func TestClockSteps(t *testing.T) {
	t.Parallel()
	r := RedisWithClock(t)
	c := r.Client(t)
	for _, d := range []time.Duration{0, time.Hour, -time.Minute} {
		r.Clock.Step(t, d)
		before := time.Now()
		now, err := c.Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		const tells = time.Millisecond // less it does not
		if now = now.Add(-d); now.Before(before.Add(-tells)) || now.After(time.Now().Add(tells)) {
			t.Errorf("%v ahead: it was %v and Redis says %v, less that", d, before, now)
		}
	}
}

func TestProxyLosesRepliesAndConnections(t *testing.T) {
	t.Parallel()
	r := Redis(t)
	p := NewProxy(t, r.Addr)
	direct := r.Client(t)
	through := redis.NewClient(&redis.Options{Addr: p.Addr, MaxRetries: -1, PoolSize: 1})
	t.Cleanup(func() { through.Close() })
	count := func() int {
		n, err := direct.Get(t.Context(), "n").Int()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := through.Incr(t.Context(), "n").Err(); err != nil {
		t.Fatal(err)
	}
	p.DropReplies()
	if through.Incr(t.Context(), "n").Err() == nil {
		t.Fatal("the reply was not dropped")
	}
	if n := count(); n != 2 {
		t.Fatalf("the request whose reply is dropped must take effect: n = %d", n)
	}
	p.Refuse()
	if through.Incr(t.Context(), "n").Err() == nil {
		t.Fatal("the connection was not refused")
	}
	p.Accept()
	if err := through.Incr(t.Context(), "n").Err(); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 3 {
		t.Fatalf("n = %d", n)
	}
	p.Cut()
}
