package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/lab"
	"github.com/windrow-io/windrow/internal/await"
	"github.com/windrow-io/windrow/internal/lanetest"
)

// TestBrokerRestarts: the only broker is killed and comes back, several times, while records come.
func TestBrokerRestarts(t *testing.T) {
	k := lab.Kafka(t, lab.WithoutAutoCreate())
	w := newWorld(t, k)
	k.CreateTopic(t, w.topic, 2)
	in := w.ingest()
	k.Produce(t, w.numbered(0, 0, 1000))
	w.expect(w.topic+"/0", values(0, 0, 1000))
	for i := range 2 {
		k.Kill()
		in.NotReady(t, time.Minute, "kafka")
		k.Start(t)
		began := time.Now()
		first := 1000 + i*1000
		k.Produce(t, w.numbered(0, first, 1000))
		k.Produce(t, w.numbered(1, i*1000, 1000))
		w.expect(w.topic+"/0", values(0, 0, first+1000))
		w.expect(w.topic+"/1", values(1, 0, i*1000+1000))
		t.Logf("after start %d all was there in %v", i+1, time.Since(began).Round(time.Millisecond))
		in.Ready(t)
	}
	in.Stop(t)
}

// TestKilledAndDoubled: ingest is killed, another one takes over, a third reads the same topic for itself.
func TestKilledAndDoubled(t *testing.T) {
	k := lab.Kafka(t)
	w := newWorld(t, k)
	k.CreateTopic(t, w.topic, 4)
	first, rival := w.ingest(), w.ingest("KAFKA_GROUP="+w.stream+"-rival")
	p := k.Producer(t, kgo.ProducerLinger(time.Millisecond))
	const each = 20000
	for i := range each {
		for part := range int32(4) {
			p.Produce(t.Context(), w.numbered(part, i, 1)[0], nil)
		}
		switch i {
		case each / 4:
			first.Kill()
		case each / 3:
			first = w.ingest()
		case each / 2:
			rival.Pause(t)
		case each * 3 / 4:
			rival.Resume(t)
		}
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for part := range 4 {
		w.expect(fmt.Sprintf("%s/%d", w.topic, part), values(part, 0, each))
	}
	lab.Stop(t, first, rival)
}

func TestTopicDeletedAndMadeAgain(t *testing.T) {
	k := lab.Kafka(t, lab.WithoutAutoCreate())
	w := newWorld(t, k)
	k.CreateTopic(t, w.topic, 1)
	in := w.ingest()
	k.Produce(t, w.numbered(0, 0, 500))
	w.expect(w.topic+"/0", values(0, 0, 500))
	admin := k.Admin(t)
	again := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if res, err := admin.DeleteTopics(ctx, w.topic); err != nil || res.Error() != nil {
			t.Fatal(err, res.Error())
		}
		await.True(t, "the topic can be made again", func() bool {
			_, err := admin.CreateTopic(ctx, 1, 1, nil, w.topic)
			return err == nil
		})
	}
	again() // while it is read
	k.Produce(t, w.numbered(0, 10000, 700))
	w.expect(w.topic+"/0@1", values(0, 10000, 700))
	w.expect(w.topic+"/0", values(0, 0, 500))
	in.Stop(t)
	again() // while nobody looks
	k.Produce(t, w.numbered(0, 20000, 900))
	in = w.ingest()
	w.expect(w.topic+"/0@2", values(0, 20000, 900))
	in.Stop(t)
	w.redis.FlushAll(t)
	in = w.ingest()
	w.expect(w.topic+"/0@2", values(0, 20000, 900))
	in.Stop(t)
}

func TestRetentionOvertakes(t *testing.T) {
	k := lab.Kafka(t)
	w := newWorld(t, k)
	k.CreateTopic(t, w.topic, 1)
	in := w.ingest()
	k.Produce(t, w.numbered(0, 0, 100))
	w.expect(w.topic+"/0", values(0, 0, 100))
	in.Stop(t)
	k.Produce(t, w.numbered(0, 100, 100))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	at := kadm.Offsets{}
	at.AddOffset(w.topic, 0, 150, -1)
	if res, err := k.Admin(t).DeleteRecords(ctx, at); err != nil || res.Error() != nil {
		t.Fatal(err, res.Error())
	}
	in = w.ingest()
	var got []string
	await.True(t, "the rest is there", func() bool {
		got = got[:0]
		for _, e := range w.entries(w.topic + "/0") {
			got = append(got, e.Values...)
		}
		return len(got) >= 150
	})
	if !slices.Equal(got, append(values(0, 0, 100), values(0, 150, 50)...)) {
		t.Errorf("the lane has %s", lanetest.Brief(got))
	}
	if lost, _ := in.Metric("windrow_source_lost_records_total"); lost != 50 {
		t.Errorf("%v records are counted as lost, want 50", lost)
	}
	if _, body := in.Get("/readyz"); !strings.Contains(body, "no longer has offsets 100 to 149") {
		t.Errorf("/readyz does not speak of the loss: %s", body)
	}
	in.Stop(t)
}

// TestCompactedTopic: holes of every size, at the beginning, in the middle, at the end of segments.
func TestCompactedTopic(t *testing.T) {
	k := lab.Kafka(t, lab.Property("log.cleaner.backoff.ms", "200"))
	w := newWorld(t, k)
	k.CreateTopic(t, w.topic, 1, "cleanup.policy", "compact", "segment.bytes", "1048576", "min.cleanable.dirty.ratio", "0.01", "max.compaction.lag.ms", "500", "delete.retention.ms", "100")
	p := k.Producer(t, kgo.ProducerBatchMaxBytes(20<<10))
	pad := strings.Repeat("x", 500)
	const n = 10000
	latest := map[string]string{}
	for i := range n {
		key := fmt.Sprint("k", i%700)
		if i%97 == 0 {
			key = fmt.Sprint("once", i)
		}
		v := fmt.Sprint(i, "-", pad)
		latest[key] = v
		p.Produce(t.Context(), &kgo.Record{Topic: w.topic, Key: []byte(key), Value: []byte(v)}, nil)
		if i%50 == 0 {
			if err := p.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	reread := func() []string {
		var vs []string
		for _, r := range k.Consume(t, w.topic).ToEnd() {
			vs = append(vs, string(r.Value))
		}
		return vs
	}
	await.True(t, "the topic is compacted", func() bool { return len(reread()) < n/2 })
	in := w.ingest()
	// The cleaner may go on meanwhile: the lane has at least what is left at the end, in order, and every newest value.
	await.True(t, "the lane has the last record", func() bool {
		es := w.entries(w.topic + "/0")
		return len(es) > 0 && es[len(es)-1].Next == n
	})
	got := w.values(w.topic + "/0")
	if len(got) >= n/2 {
		t.Errorf("%d records: not from a compacted topic", len(got))
	}
	have := map[string]bool{}
	last := -1
	for _, v := range got {
		have[v] = true
		i := 0
		if _, err := fmt.Sscanf(v, "%d-", &i); err != nil || i <= last {
			t.Fatalf("record %d after %d", i, last)
		}
		last = i
	}
	for key, v := range latest {
		if !have[v] {
			t.Errorf("the newest value of %s is missing", key)
		}
	}
	in.Stop(t)
}

func TestTransactionsOfOthers(t *testing.T) {
	k := lab.Kafka(t)
	w := newWorld(t, k)
	k.CreateTopic(t, w.topic, 1)
	in := w.ingest()
	var want []string
	for i := range 30 {
		commit := i%3 != 1
		k.ProduceTxn(t, commit, w.numbered(0, i*100, 100), kgo.TransactionalID(fmt.Sprint(w.topic, i%4)))
		if commit {
			want = append(want, values(0, i*100, 100)...)
		}
		if i%5 == 0 {
			k.Produce(t, w.numbered(0, 100000+i, 1))
			want = append(want, values(0, 100000+i, 1)...)
		}
	}
	w.expect(w.topic+"/0", want)
	await.True(t, "nothing is left to read", func() bool {
		lag, ok := in.Metric("windrow_source_lag_records", `partition="0"`)
		return ok && lag == 0
	})
	in.Stop(t)
}

// TestLargeRecords: records of 10 MiB pass, in every partition, and memory stays bounded.
func TestLargeRecords(t *testing.T) {
	k := lab.Kafka(t)
	w := newWorld(t, k)
	const parts, each, size = 4, 3, 10 << 20
	k.CreateTopic(t, w.topic, parts, "max.message.bytes", fmt.Sprint(size+1<<20))
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(i * i >> 3)
	}
	var rs []*kgo.Record
	for i := range parts * each {
		rs = append(rs, &kgo.Record{Topic: w.topic, Partition: int32(i % parts), Value: value})
	}
	k.Produce(t, rs, kgo.ProducerBatchMaxBytes(size+1<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	in := w.ingest("BUFFER_MAX_BYTES=256MiB")
	for p := range parts {
		lane := fmt.Sprintf("%s/%d", w.topic, p)
		await.True(t, "lane "+lane+" is complete", func() bool {
			next, err := w.rdb.HGet(t.Context(), lab.LaneKey(w.stream, lane, lane)+":tail", "next").Int()
			return err == nil && next == each
		})
	}
	if rss, ok := in.Metric("process_resident_memory_bytes"); !ok || rss > 128<<20 {
		t.Errorf("ingest uses %.0f MiB", rss/(1<<20))
	}
	in.Stop(t)
}

// TestRedisIsFull: Redis refuses writes for want of memory, and takes them again.
func TestRedisIsFull(t *testing.T) {
	k := lab.Kafka(t)
	w := newWorld(t, k, "--maxmemory", "12mb")
	k.CreateTopic(t, w.topic, 2)
	pad := strings.Repeat("y", 1000)
	var rs []*kgo.Record
	var want []string
	for i := range 30000 {
		v := fmt.Sprint(i, pad)
		rs = append(rs, &kgo.Record{Topic: w.topic, Partition: 0, Value: []byte(v)})
		want = append(want, v)
	}
	k.Produce(t, rs, kgo.ProducerBatchCompression(kgo.NoCompression()))
	in := w.ingest()
	await.True(t, "back-pressure shows", func() bool {
		_, body := in.Get("/readyz")
		return strings.Contains(body, "redis is full")
	})
	began := in.CPU(t)
	time.Sleep(3 * time.Second) // for the measurement
	if used := in.CPU(t) - began; used > time.Second {
		t.Errorf("waiting for memory used %v of CPU in 3 s", used)
	}
	w.redis.Config(t, "maxmemory", "200mb")
	w.expect(w.topic+"/0", want)
	await.True(t, "the pressure is gone", func() bool {
		status, body := in.Get("/readyz")
		return status == 200 && !strings.Contains(body, "redis is full")
	})
	in.Stop(t)
}

// TestRedisComesAndGoes: absent, emptied by a restart, paused, cut off in the middle of appends.
func TestRedisComesAndGoes(t *testing.T) {
	k := lab.Kafka(t)
	w := newWorld(t, k)
	k.CreateTopic(t, w.topic, 1)
	proxy := lab.NewProxy(t, w.redis.Addr)
	w.redis.Kill()
	in := w.ingest("REDIS_URL=redis://" + proxy.Addr)
	in.NotReady(t, time.Minute, "redis")
	w.redis.Start(t)
	const each = 2000
	for i := range 12 {
		switch i {
		case 2, 6:
			proxy.DropReplies()
		case 3, 7, 9:
			proxy.Accept()
			proxy.Cut()
		case 4:
			w.redis.FlushAll(t)
		case 5:
			w.redis.Kill()
			w.redis.Start(t)
		case 8:
			proxy.Refuse()
		case 10:
			w.redis.Pause(t)
			time.AfterFunc(2*time.Second, func() { w.redis.Resume(t) })
		}
		p := k.Producer(t)
		for j := range each {
			p.Produce(t.Context(), w.numbered(0, i*each+j, 1)[0], nil)
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.Close()
	}
	w.expect(w.topic+"/0", values(0, 0, 12*each))
	in.Ready(t)
	in.Stop(t)
}

func TestSecureKafka(t *testing.T) {
	k := lab.Kafka(t, lab.WithSecurity())
	s := k.Secure
	for _, c := range []struct {
		name string
		addr string
		env  []string
	}{
		{"plain", s.SASLAddr, []string{"KAFKA_SASL_MECHANISM=PLAIN"}},
		{"scram256", s.SASLAddr, []string{"KAFKA_SASL_MECHANISM=SCRAM-SHA-256"}},
		{"scram512", s.SASLAddr, []string{"KAFKA_SASL_MECHANISM=SCRAM-SHA-512"}},
		{"certificate", s.TLSAddr, []string{"KAFKA_TLS_CERT=" + s.CertFile, "KAFKA_TLS_KEY=" + s.KeyFile}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, k)
			k.CreateTopic(t, w.topic, 1)
			k.Produce(t, w.numbered(0, 0, 100))
			env := append([]string{"KAFKA_BROKERS=" + c.addr, "KAFKA_TLS=true", "KAFKA_TLS_CA=" + s.CAFile}, c.env...)
			if c.addr == s.SASLAddr {
				env = append(env, "KAFKA_SASL_USERNAME="+s.User, "KAFKA_SASL_PASSWORD="+s.Password)
			}
			in := w.ingest(env...)
			w.expect(w.topic+"/0", values(0, 0, 100))
			in.Ready(t)
			in.Stop(t)
			if c.addr == s.SASLAddr {
				in = w.ingest(append(env, "KAFKA_SASL_PASSWORD=wrong")...)
				in.NotReady(t, time.Minute, "kafka")
				began := in.CPU(t)
				time.Sleep(2 * time.Second) // for the measurement
				if used := in.CPU(t) - began; used > 500*time.Millisecond {
					t.Errorf("being refused used %v of CPU in 2 s", used)
				}
				in.Stop(t)
			}
		})
	}
}
