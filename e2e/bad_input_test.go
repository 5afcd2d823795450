package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// Servers that are absent at the start are waited for, and named on /readyz; nothing exits, nothing spins. So it is when
// they go away.
func TestServersThatComeLateAndGo(t *testing.T) {
	t.Parallel()
	const partitions, n = 2, 2_000
	w := &world{job.On(t, lab.Kafka(t, lab.NotStarted()), lab.RedisNotStarted(t))}
	ingest, worker := w.Ingest(), w.Worker(mainWindows...)
	programs := []*lab.Program{ingest, worker}
	waitingFor := func(missing string) {
		t.Helper()
		for _, p := range programs {
			p.NotReady(t, job.Patience, missing)
		}
	}
	waitingFor("redis")
	requireIdle(t, programs)
	w.Redis.Start(t)
	waitingFor("kafka")
	requireIdle(t, programs)
	w.Kafka.Start(t)
	w.CreateTopics(partitions)
	w.Produce(partitions, 0, n)
	for _, p := range programs {
		p.Ready(t)
	}
	out := w.Collect(w.Out)
	out.UntilRecords(partitions * n)

	w.Redis.Kill()
	waitingFor("redis")
	requireIdle(t, programs)
	w.Redis.Start(t)
	w.Produce(partitions, n, 2*n)
	out.UntilRecords(partitions * 2 * n)

	w.Kafka.Stop(t)
	waitingFor("kafka")
	requireIdle(t, programs)
	w.Kafka.Start(t)
	w.Produce(partitions, 2*n, 3*n)
	out.UntilRecords(partitions * 3 * n)
	for _, p := range programs {
		p.Ready(t)
	}
	lab.Stop(t, programs...)
	job.RequireExact(t, w.Job, out.All(), partitions, 3*n, mainSize)
}

// requireIdle requires programs that wait for a server to run on, and to use little of a processor meanwhile.
func requireIdle(t *testing.T, programs []*lab.Program) {
	t.Helper()
	const looked, most = 2 * time.Second, 400 * time.Millisecond
	before := make([]time.Duration, len(programs))
	for i, p := range programs {
		before[i] = p.CPU(t)
	}
	time.Sleep(looked)
	for i, p := range programs {
		if used := p.CPU(t) - before[i]; used > most {
			t.Errorf("%s used %v of a processor in the %v that it waited", p.Name, used, looked)
		}
		if !p.Running() {
			t.Fatalf("%s has ended", p.Name)
		}
	}
}

// letter is a record's dead letter.
type letter struct {
	Reason, Error string
	Attempts      int
	Shard         string
	Origin        struct {
		Topic     string
		Partition int32
		Offset    int64
	}
	Key, Value json.RawMessage
	Omitted    []string
}

func letters(t *testing.T, records []*kgo.Record) (all []letter) {
	t.Helper()
	for _, r := range records {
		var l letter
		if err := json.Unmarshal(r.Value, &l); err != nil {
			t.Fatalf("a dead letter is no JSON: %v\n%.500s", err, r.Value)
		}
		all = append(all, l)
	}
	return all
}

// What isn't JSON where JSON is needed becomes a dead letter; the shard goes on.
func TestRecordsWithoutTheirKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	ingest := w.Ingest()
	worker := w.Worker("EMITTER=count", "WINDOW_SIZE=2", "WINDOW_KEY=device.id")
	values := []string{
		`{"device":{"id":"a"},"n":0}`,
		`this is not JSON`,
		`{"device":{"id":"b"},"n":1}`,
		`{"device":"no object"}`,
		`{"device":{"id":null}}`,
		`{"device":{"id":"a"},"n":2`,
		"\xff\xfe",
		``,
		`{"device":{"id":"b"},"n":3}`,
		`{"device":{"id":"a"},"n":4}`,
		`{"device":{"id":12},"n":5}`,
		`{"device":{"id":12},"n":6}`,
	}
	var records []*kgo.Record
	for i, v := range values {
		records = append(records, &kgo.Record{Topic: w.Topic, Key: fmt.Append(nil, i), Value: []byte(v)})
	}
	records = append(records, &kgo.Record{Topic: w.Topic, Key: []byte("tombstone")})
	w.Kafka.Produce(t, records)
	out, dead := w.Collect(w.Out), w.Kafka.Consume(t, w.Out+".dead")
	out.UntilWindows(3)
	const bad = 7
	dead.Until(job.Patience, "dead letters", func() bool { return len(dead.Records) >= bad })
	lab.Stop(t, ingest, worker)

	got := map[string]string{}
	for _, win := range job.ByShard(t, out.All())[w.Topic+"/0"] {
		var ns []string
		for _, d := range win.Data {
			var v struct{ N int }
			if err := json.Unmarshal(d, &v); err != nil {
				t.Fatal(err)
			}
			ns = append(ns, fmt.Sprint(v.N))
		}
		got[string(win.Key)] = strings.Join(ns, " ")
	}
	for key, want := range map[string]string{`"a"`: "0 4", `"b"`: "1 3", `"12"`: "5 6"} {
		if got[key] != want {
			t.Errorf("the window of key %s holds %q, want %q", key, got[key], want)
		}
	}
	reasons := map[int64]string{}
	for _, l := range letters(t, dead.ToEnd()) {
		if l.Error == "" || l.Origin.Topic != w.Topic || l.Attempts != 0 {
			t.Errorf("a dead letter says too little: %+v", l)
		}
		reasons[l.Origin.Offset] = l.Reason
	}
	const notJSON, missing = "not-json", "missing-field"
	want := map[int64]string{1: notJSON, 3: missing, 4: missing, 5: notJSON, 6: notJSON, 7: notJSON, 12: notJSON}
	if fmt.Sprint(reasons) != fmt.Sprint(want) || len(dead.Records) != bad {
		t.Errorf("%d dead letters, offsets and reasons %v, want %v", len(dead.Records), reasons, want)
	}
}

// odd are records that are nothing out of the ordinary for Kafka. Their values' form in a window's data is want.
func odd() (records []*kgo.Record, want []string) {
	invalid := []byte("caf\xe9")
	large := bytes.Repeat([]byte("0123456789abcdef"), 10<<20/16)
	for _, c := range []struct {
		record kgo.Record
		want   string
	}{
		{kgo.Record{Key: []byte("tombstone")}, `null`},
		{kgo.Record{Key: []byte("empty value"), Value: []byte{}}, `""`},
		{kgo.Record{Key: []byte{}, Value: []byte(`{"key":"empty"}`)}, `{"key":"empty"}`},
		{kgo.Record{Value: []byte(`{"key":"absent"}`)}, `{"key":"absent"}`},
		{kgo.Record{Key: invalid, Value: invalid}, `{"$base64":"` + base64.StdEncoding.EncodeToString(invalid) + `"}`},
		{kgo.Record{Value: []byte(`{"a":1,"a":2}`)}, `{"a":1,"a":2}`},
		{kgo.Record{Value: []byte("line\nand \"quote\"")}, `"line\nand \"quote\""`},
		{kgo.Record{Value: []byte(`[1,2`)}, `"[1,2"`},
		{kgo.Record{Value: []byte(`12345678901234567890.5e3`)}, `12345678901234567890.5e3`},
		{kgo.Record{Value: []byte(strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000))}, strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000)},
		{kgo.Record{Value: large}, `"` + string(large) + `"`},
		{kgo.Record{Value: []byte(`"last"`)}, `"last"`},
	} {
		records = append(records, &c.record)
		want = append(want, c.want)
	}
	return records, want
}

// Tombstones, 10 MiB records, empty keys, duplicate JSON keys, invalid UTF-8: through unchanged, or dead letters where the
// output can't hold them; never a crash.
func TestOddRecords(t *testing.T) {
	t.Parallel()
	w := &world{job.On(t, lab.Kafka(t), lab.Redis(t))}
	const large = "16777216"
	w.Kafka.CreateTopic(t, w.Topic, 1, "max.message.bytes", large)
	w.Kafka.CreateTopic(t, w.Out, 1, "max.message.bytes", large)
	w.Kafka.CreateTopic(t, w.Out+".dead", 1)
	small, records := w.Out+".small", w.Out+".records"
	for _, topic := range []string{small, small + ".dead", records + ".dead"} {
		w.Kafka.CreateTopic(t, topic, 1)
	}
	w.Kafka.CreateTopic(t, records, 1, "max.message.bytes", large)
	sent, want := odd()
	count := []string{"EMITTER=count", fmt.Sprintf("WINDOW_SIZE=%d", len(sent))}
	with := func(more ...string) []string { return append(count[:2:2], more...) }
	programs := []*lab.Program{
		w.Ingest(),
		w.Worker(count...),
		w.Worker(with("PIPELINE=small", "KAFKA_OUTPUT_TOPIC="+small)...),
		w.Worker(with("PIPELINE=records", "OUTPUT=records", "KAFKA_OUTPUT_TOPIC="+records)...),
	}
	for _, r := range sent {
		r.Topic = w.Topic
	}
	w.Kafka.Produce(t, sent, kgo.ProducerBatchMaxBytes(12<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	out, smallOut, smallDead, perRecord := w.Collect(w.Out), w.Collect(small), w.Kafka.Consume(t, small+".dead"), w.Kafka.Consume(t, records)
	out.UntilRecords(len(sent))
	smallOut.UntilRecords(len(sent) - 1)
	smallDead.Until(job.Patience, "a dead letter", func() bool { return len(smallDead.Records) >= 1 })
	perRecord.Until(job.Patience, "all records", func() bool { return len(perRecord.Records) >= len(sent) })
	lab.Stop(t, programs...)

	var data []json.RawMessage
	for _, win := range out.All() {
		data = append(data, win.Data...)
	}
	requireData(t, data, want)
	var rest []string
	for _, v := range want {
		if len(v) < 1<<20 {
			rest = append(rest, v)
		}
	}
	data = nil
	for _, win := range smallOut.All() {
		data = append(data, win.Data...)
	}
	requireData(t, data, rest)
	if ls := letters(t, smallDead.ToEnd()); len(ls) != 1 || ls[0].Reason != "too-large" || ls[0].Origin.Offset != 10 {
		t.Errorf("the dead letters of an output that is too small are %+v", ls)
	}
	for i, r := range perRecord.ToEnd() {
		if !bytes.Equal(r.Value, sent[i].Value) || (r.Value == nil) != (sent[i].Value == nil) ||
			!bytes.Equal(r.Key, sent[i].Key) || (r.Key == nil) != (sent[i].Key == nil) {
			t.Errorf("record %d came as key %.50q, value %.50q; it was sent as %.50q, %.50q", i, r.Key, r.Value, sent[i].Key, sent[i].Value)
		}
	}
}

func requireData(t *testing.T, got []json.RawMessage, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records came, want %d", len(got), len(want))
	}
	for i := range want {
		if string(got[i]) != want[i] {
			t.Errorf("record %d came as %.200s, want %.200s", i, got[i], want[i])
		}
	}
}

// Wrong variables: all errors at once, exit 2.
func TestWrongVariables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		program string
		env     []string
		named   []string
	}{
		{"ingest", nil, []string{"STREAM", "REDIS_URL", "KAFKA_BROKERS", "KAFKA_TOPICS"}},
		{"process", nil, []string{"STREAM", "REDIS_URL", "KAFKA_BROKERS", "EMITTER", "SINK"}},
		{"ingest", []string{
			"STREAM=no spaces", "REDIS_URL=http://x", "KAFKA_BROKERS=127.0.0.1:1", "KAFKA_TOPICS=/(/", "SHARDS=-1", "BUFFER_MAX_BYTES=many",
		}, []string{"STREAM", "REDIS_URL", "KAFKA_TOPICS", "SHARDS", "BUFFER_MAX_BYTES"}},
		{"process", []string{
			"STREAM=s", "REDIS_URL=redis://127.0.0.1:1", "KAFKA_BROKERS=127.0.0.1:1", "EMITTER=count", "WINDOW_SIZE=0", "WINDOW_INTERVAL=3",
			"SINK=mongo", "LEASE_TTL=soon", "HANDLER_ATTEMPTS=0",
		}, []string{"WINDOW_SIZE", "WINDOW_INTERVAL", "MONGO_URL", "MONGO_DATABASE", "MONGO_COLLECTION", "LEASE_TTL", "HANDLER_ATTEMPTS"}},
		{"process", []string{
			"STREAM=s", "REDIS_URL=redis://127.0.0.1:1", "KAFKA_BROKERS=127.0.0.1:1", "SINK=stdout", "EMITTER=count", "WINDOW_SIZE=10", "WINDOW_CALENDAR=day",
		}, []string{"WINDOW_CALENDAR"}}, // settings that conflict are refused, not ranked
	} {
		p := lab.Start(t, c.program, c.env...)
		if code := p.Wait(t, job.Patience); code != 2 {
			t.Errorf("%s with %v ended with code %d, want 2", c.program, c.env, code)
		}
		for _, name := range c.named {
			if !strings.Contains(p.Log(), name) {
				t.Errorf("%s with %v does not name %s:\n%s", c.program, c.env, name, p.Log())
			}
		}
	}
}

// Redis that may evict what it holds is refused, with the remedy.
func TestRedisThatMayEvict(t *testing.T) {
	t.Parallel()
	w := &world{job.On(t, lab.Kafka(t), lab.Redis(t, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"))}
	w.CreateTopics(1)
	for _, p := range []*lab.Program{w.Ingest(), w.Worker(mainWindows...)} {
		lab.WaitFor(t, job.Patience, p.Name+" to name the remedy", func() bool {
			_, body := p.Get("/readyz")
			return strings.Contains(p.Log()+body, "maxmemory-policy noeviction")
		})
	}
}
