package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// Append 2: exactly 2 wait, unprocessed.
func TestCase01AppendedRecordsWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	client := w.Redis.Client(t)
	w.Append(client, "*", job.Input{I: 0})
	w.Append(client, "*", job.Input{I: 1})
	if n := w.Redis.Waiting(t, w.Stream); n != 2 {
		t.Fatalf("the buffer holds %d records, want 2", n)
	}
	worker := w.Worker("EMITTER=count", "WINDOW_SIZE=3")
	lab.WaitFor(t, job.Patience, "the worker to have both records", func() bool {
		waiting, _ := worker.Metric("windrow_process_state_records")
		return waiting == 2
	})
	out := w.Collect(w.Out)
	if windows := out.All(); len(windows) != 0 {
		t.Fatalf("2 records gave %v", windows)
	}
	w.Append(client, "*", job.Input{I: 2})
	out.UntilWindows(1)
	worker.Stop(t)
	windows := out.All()
	if len(windows) != 1 || windows[0].Count != 3 || windows[0].Shard != "direct" {
		t.Fatalf("3 records gave %v", windows)
	}
	job.RequireInOrder(t, windows, 0, 3)
}

// count 2, 10 records: 5 windows of 2, all 10 once, in order. 5 records: 2 windows, 1 waits; with a timeout it comes as a
// window of 1, its reason `timeout`.
func TestCase02CountWindows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	timed := w.Out + ".timed"
	w.Kafka.CreateTopic(t, timed, 1)
	programs := []*lab.Program{
		w.Ingest(),
		w.Worker("EMITTER=count", "WINDOW_SIZE=2"),
		w.Worker("EMITTER=count", "WINDOW_SIZE=2"),
		w.Worker("EMITTER=count", "WINDOW_SIZE=2", "WINDOW_TIMEOUT=1s", "PIPELINE=timed", "KAFKA_OUTPUT_TOPIC="+timed),
	}
	w.Produce(1, 0, 10)
	plain, withTimeout := w.Collect(w.Out), w.Collect(timed)
	plain.UntilWindows(5)
	withTimeout.UntilRecords(10)
	w.Produce(1, 10, 15)
	withTimeout.UntilRecords(15)
	plain.UntilWindows(7)
	lab.Stop(t, programs...)
	job.RequireExact(t, w.Job, plain.All(), 1, 15, 2) // 7 windows of 2: the 15th record waits

	windows := job.ByShard(t, withTimeout.All())[w.Topic+"/0"]
	job.RequireInOrder(t, windows, 0, 15)
	last := windows[len(windows)-1]
	if last.Count != 1 || last.Reason != "timeout" {
		t.Errorf("the last window with a timeout is %v", last)
	}
}

// feed appends n records, one each 0.9 s, to the direct lane, and returns when each was received.
func (w *world) feed(client *redis.Client, from, n int) (received map[int]int64) {
	w.T.Helper()
	received = map[int]int64{}
	tick := time.NewTicker(900 * time.Millisecond)
	defer tick.Stop()
	for i := from; i < from+n; i++ {
		received[i] = w.Append(client, "*", job.Input{I: i})
		<-tick.C
	}
	return received
}

// appendOnBorder appends a record that is received exactly at a full second.
func (w *world) appendOnBorder(client *redis.Client, i int) (ms int64) {
	w.T.Helper()
	now := func() int64 {
		at, err := client.Time(w.T.Context()).Result()
		if err != nil {
			w.T.Fatal(err)
		}
		return at.UnixMilli()
	}
	border := now()/1000*1000 + 1000
	lab.WaitFor(w.T, job.Patience, "a full second", func() bool { return now() >= border })
	return w.Append(client, fmt.Sprintf("%d-0", border), job.Input{I: i})
}

// requireReceivedWithin requires each record once, in order, in the window of one second in which it was received.
func requireReceivedWithin(t *testing.T, windows []lab.Window, received map[int]int64) {
	t.Helper()
	for _, win := range windows {
		if win.Start%1000 != 0 || win.End-win.Start != 1000 || win.Reason != "interval" {
			t.Errorf("%v is [%d, %d)", win, win.Start, win.End)
		}
		for _, in := range job.InputsOf(t, []lab.Window{win}) {
			if at := received[in.I]; at < int64(win.Start) || at >= int64(win.End) {
				t.Errorf("record %d was received at %d and is in the window [%d, %d)", in.I, at, win.Start, win.End)
			}
		}
	}
	job.RequireInOrder(t, windows, 0, len(received))
}

// fixed 1 s, a record each ~0.9 s, 10 of them: every record once, each inside its window's [start, end); empties present
// or suppressed as set; a record received exactly on the border is in the later window only.
func TestCase03FixedWindows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	client := w.Redis.Client(t)
	empties := w.Out + ".empties"
	w.Kafka.CreateTopic(t, empties, 1)
	programs := []*lab.Program{
		w.Worker("EMITTER=fixed", "WINDOW_INTERVAL=1s"),
		w.Worker("EMITTER=fixed", "WINDOW_INTERVAL=1s"),
		w.Worker("EMITTER=fixed", "WINDOW_INTERVAL=1s", "EMIT_EMPTY=true", "PIPELINE=empties", "KAFKA_OUTPUT_TOPIC="+empties),
	}
	received := w.feed(client, 0, 10)
	suppressed, present := w.Collect(w.Out), w.Collect(empties)
	present.UntilRecords(10)
	present.Until(job.Patience, "an empty window, for nothing comes", func() bool {
		present.Decode()
		return present.Windows[len(present.Windows)-1].Count == 0
	})
	received[10] = w.appendOnBorder(client, 10)
	suppressed.UntilRecords(11)
	present.UntilRecords(11)
	lab.Stop(t, programs...)

	windows := job.ByShard(t, suppressed.All())["direct"]
	requireReceivedWithin(t, windows, received)
	for _, win := range windows {
		if win.Count == 0 {
			t.Errorf("%v is empty", win)
		}
	}
	windows = job.ByShard(t, present.All())["direct"]
	requireReceivedWithin(t, windows, received)
	empty := 0
	for i, win := range windows {
		if win.Count == 0 {
			empty++
		}
		if i > 0 && win.Start != windows[i-1].End {
			t.Errorf("%v begins at %d, the one before it ends at %d", win, win.Start, windows[i-1].End)
		}
	}
	if empty == 0 {
		t.Error("no empty window came")
	}
}

// relaxed 1 s, same feed: every record once. Consumer down for 10 s: relaxed gives one large window, fixed gives each
// missed window, or with CATCH_UP=merge one for those that a read brings.
func TestCase04RelaxedWindowsAndDowntime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	client := w.Redis.Client(t)
	fixedOut, mergedOut := w.Out+".fixed", w.Out+".merged"
	w.Kafka.CreateTopic(t, fixedOut, 1)
	w.Kafka.CreateTopic(t, mergedOut, 1)
	startBoth := func() []*lab.Program {
		return []*lab.Program{
			w.Worker("EMITTER=relaxed", "WINDOW_INTERVAL=1s"),
			w.Worker("EMITTER=fixed", "WINDOW_INTERVAL=1s", "PIPELINE=fixed", "KAFKA_OUTPUT_TOPIC="+fixedOut),
			w.Worker("EMITTER=fixed", "WINDOW_INTERVAL=1s", "CATCH_UP=merge", "PIPELINE=merged", "KAFKA_OUTPUT_TOPIC="+mergedOut),
		}
	}
	relaxed, fixed, merged := w.Collect(w.Out), w.Collect(fixedOut), w.Collect(mergedOut)
	programs := startBoth()
	received := w.feed(client, 0, 10)
	relaxed.UntilRecords(10)
	fixed.UntilRecords(10)
	merged.UntilRecords(10)
	lab.Stop(t, programs...)
	before, mergedBefore := len(relaxed.All()), len(merged.All())

	for i, ms := range w.feed(client, 10, 11) { // 9.9 s
		received[i] = ms
	}
	programs = startBoth()
	relaxed.UntilRecords(21)
	fixed.UntilRecords(21)
	merged.UntilRecords(21)
	lab.Stop(t, programs...)

	windows := job.ByShard(t, relaxed.All())["direct"]
	job.RequireInOrder(t, windows, 0, 21)
	if late := windows[before:]; len(late) != 1 || late[0].Count != 11 {
		t.Errorf("after the downtime came %v, want one window of 11 records", late)
	}
	for _, win := range windows {
		if win.Reason != "interval" {
			t.Errorf("the reason of %v is not interval", win)
		}
	}
	requireReceivedWithin(t, job.ByShard(t, fixed.All())["direct"], received)

	windows = job.ByShard(t, merged.All())["direct"]
	job.RequireInOrder(t, windows, 0, 21)
	late := windows[mergedBefore:]
	if len(late) > 3 { // of a short read, of the rest, and of the last record, whose second may not have been over
		t.Errorf("after the downtime came %v, want one window of what was overdue at each read", late)
	}
	for _, win := range late {
		for _, in := range job.InputsOf(t, []lab.Window{win}) {
			if at := received[in.I]; at < int64(win.Start) || at >= int64(win.End) {
				t.Errorf("record %d was received at %d and is in the window [%d, %d)", in.I, at, win.Start, win.End)
			}
		}
	}
}

// Slow processing on several shards runs in parallel with more workers; nothing lost, order kept per shard.
func TestCase05SlowProcessingInParallel(t *testing.T) {
	t.Parallel()
	const partitions, n, size = 4, 500, 20
	w := newWorld(t, partitions)
	settings := []string{"EMITTER=count", fmt.Sprintf("WINDOW_SIZE=%d", size)}
	workers := []*lab.Program{w.WorkerProgram("slow", settings...), w.WorkerProgram("slow", settings...)}
	programs := append(workers, w.Ingest())
	w.Produce(partitions, 0, size)
	lab.WaitFor(t, job.Patience, "both workers to have their shards", func() bool {
		return !slices.ContainsFunc(workers, func(p *lab.Program) bool {
			held, _ := p.Metric("windrow_process_shards")
			taken, _ := p.Metric("windrow_process_shard_takeovers_total")
			return held != partitions/2 || taken < held
		})
	})
	w.Produce(partitions, size, n)
	type call struct { // of the handler
		Worker       int
		Began, Ended int64
	}
	type result struct {
		lab.Window
		call
	}
	out := w.Kafka.Consume(t, w.Out)
	out.Until(job.Patience, "all windows", func() bool { return len(out.Records) >= partitions*n/size })
	lab.Stop(t, programs...)

	var results []result
	next := map[string]int64{} // shard → the next window's number
	perPartition := map[int32][]result{}
	for _, r := range out.ToEnd() {
		var res result
		if err := errors.Join(json.Unmarshal(r.Value, &res.Window), json.Unmarshal(r.Value, &res.call)); err != nil {
			t.Fatalf("%v: %.300s", err, r.Value)
		}
		results = append(results, res)
		perPartition[r.Partition] = append(perPartition[r.Partition], res)
	}
	slices.SortStableFunc(results, func(a, b result) int { return int(a.Seq - b.Seq) })
	shards := map[string][]lab.Window{}
	for _, r := range results {
		if r.Seq != next[r.Shard] {
			t.Fatalf("%s gave window %d where %d was due", r.Shard, r.Seq, next[r.Shard])
		}
		next[r.Shard]++
		shards[r.Shard] = append(shards[r.Shard], r.Window)
	}
	for p := range partitions {
		job.RequireInOrder(t, shards[fmt.Sprintf("%s/%d", w.Topic, p)], p, n)
	}
	for partition, rs := range perPartition {
		last := map[string]int64{}
		for _, r := range rs {
			if before, seen := last[r.Shard]; seen && r.Seq <= before {
				t.Errorf("%s: window %d comes after %d in partition %d of the output", r.Shard, r.Seq, before, partition)
			}
			last[r.Shard] = r.Seq
		}
	}
	parallel := 0
	for i, a := range results {
		for _, b := range results[i+1:] {
			if a.Worker != b.Worker && a.Began < b.Ended && b.Began < a.Ended {
				parallel++
			}
			if a.Shard == b.Shard && a.Worker == b.Worker && a.Began < b.Ended && b.Began < a.Ended {
				t.Errorf("windows %d and %d of %s were handled at the same time, with HANDLER_CONCURRENCY=1", a.Seq, b.Seq, a.Shard)
			}
		}
	}
	if parallel == 0 {
		t.Error("the two workers never worked at the same time")
	}
}

// After processing, the buffer holds nothing that is no longer needed; before, everything.
func TestCase06BufferHoldsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	const partitions, n = 2, 1050
	w := newWorld(t, partitions)
	ingest := w.Ingest()
	w.Produce(partitions, 0, n)
	lab.WaitFor(t, job.Patience, "the buffer to hold every record", func() bool { return w.Buffered(partitions) == partitions*n })
	if entries := w.Redis.Waiting(t, w.Stream); entries == 0 {
		t.Fatal("the buffer is empty before anybody has read it")
	}
	first, second := w.Worker(mainWindows...), w.Worker(mainWindows...)
	out := w.Collect(w.Out)
	out.UntilRecords(partitions * 1000)
	lab.WaitFor(t, job.Patience, "the buffer to be empty", func() bool { return w.Redis.Waiting(t, w.Stream) == 0 })
	client := w.Redis.Client(t)
	for _, lane := range w.Redis.Lanes(t, w.Stream) {
		groups, err := client.XInfoGroups(t.Context(), lane).Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range groups {
			if g.Pending != 0 {
				t.Errorf("group %s of %s has %d entries pending", g.Name, lane, g.Pending)
			}
		}
	}
	// The 50 records of each partition that wait for a window are in the pipeline's checkpoint: nothing is lost with them.
	lab.Stop(t, first, second)
	w.Produce(partitions, n, 1100)
	third := w.Worker(mainWindows...)
	out.UntilRecords(partitions * 1100)
	lab.Stop(t, ingest, third)
	job.RequireExact(t, w.Job, out.All(), partitions, 1100, 100)
}

// Kafka in → window → Kafka out and MongoDB out, 1:1 content; output per window, and per record.
func TestCase07OutputsAndTheirContent(t *testing.T) {
	t.Parallel()
	const partitions, n = 2, 300
	w := newWorld(t, partitions)
	mongo := lab.Mongo(t)
	records, data := w.Out+".records", w.Out+".data"
	w.Kafka.CreateTopic(t, records, 3)
	w.Kafka.CreateTopic(t, data, 3)
	intoMongo := []string{"SINK=mongo", "MONGO_URL=" + mongo.URL, "MONGO_DATABASE=d"}
	with := func(more ...string) []string { return append(slices.Clone(mainWindows), more...) }
	programs := []*lab.Program{
		w.Ingest(),
		w.Worker(with("PIPELINE=windows")...),
		w.Worker(with("PIPELINE=records", "OUTPUT=records", "KAFKA_OUTPUT_TOPIC="+records)...),
		w.Worker(with("PIPELINE=data", "OUTPUT=data", "OUTPUT_TOPIC="+w.Out+".{{pipeline}}",
			"OUTPUT_KEY=of/{{shard}}", "OUTPUT_HEADERS=from={{stream}}.{{pipeline}}, number={{seq}}")...),
		w.Worker(append(with("PIPELINE=mongo-windows", "MONGO_COLLECTION=windows"), intoMongo...)...),
		w.Worker(append(with("PIPELINE=mongo-records", "OUTPUT=records", "MONGO_COLLECTION=records"), intoMongo...)...),
	}
	var sent []*kgo.Record
	for p := range partitions {
		sent = append(sent, w.Inputs(p, 0, n)...)
	}
	for i, r := range sent {
		r.Headers = []kgo.RecordHeader{{Key: "trace", Value: fmt.Append(nil, i)}, {Key: "empty", Value: []byte{}}}
	}
	w.Kafka.Produce(t, sent, kgo.ProducerBatchCompression(kgo.Lz4Compression()))

	windows, perRecord, arrays := w.Collect(w.Out), w.Kafka.Consume(t, records), w.Kafka.Consume(t, data)
	windows.UntilRecords(partitions * n)
	perRecord.Until(job.Patience, "all records", func() bool { return len(perRecord.Records) >= partitions*n })
	arrays.Until(job.Patience, "all arrays", func() bool { return len(arrays.Records) >= partitions*n/mainSize })
	mongoWindows, mongoRecords := mongo.Collection(t, "d", "windows"), mongo.Collection(t, "d", "records")
	lab.WaitFor(t, job.Patience, "all documents", func() bool {
		return len(lab.Documents(t, mongoWindows)) >= partitions*n/mainSize && len(lab.Documents(t, mongoRecords)) >= partitions*n
	})
	lab.Stop(t, programs...)

	job.RequireExact(t, w.Job, windows.All(), partitions, n, mainSize)
	job.RequireExact(t, w.Job, lab.MongoWindows(t, mongoWindows), partitions, n, mainSize)
	requireSameRecords(t, perRecord.ToEnd(), sent)
	requireArrays(t, arrays.ToEnd(), partitions, n)
	requireTemplates(t, w, arrays.ToEnd(), n/mainSize)
	requireRecordDocuments(t, lab.Documents(t, mongoRecords), sent)
}

// requireSameRecords requires each record sent to have come out once, with its key, value and headers unchanged.
func requireSameRecords(t *testing.T, got, sent []*kgo.Record) {
	t.Helper()
	byValue := map[string]*kgo.Record{}
	for _, r := range got {
		if byValue[string(r.Value)] != nil {
			t.Fatalf("%.100s came twice", r.Value)
		}
		byValue[string(r.Value)] = r
	}
	for _, s := range sent {
		r := byValue[string(s.Value)]
		if r == nil {
			t.Fatalf("%.100s did not come", s.Value)
		}
		if string(r.Key) != string(s.Key) {
			t.Errorf("%.100s came with key %q, was sent with %q", s.Value, r.Key, s.Key)
		}
		for _, h := range s.Headers {
			if v, ok := lab.Header(r, h.Key); !ok || v != string(h.Value) {
				t.Errorf("%.100s came with header %s %q, was sent with %q", s.Value, h.Key, v, h.Value)
			}
		}
	}
	if len(got) != len(sent) {
		t.Errorf("%d records came, %d were sent", len(got), len(sent))
	}
}

func requireArrays(t *testing.T, got []*kgo.Record, partitions, n int) {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range got {
		var data []json.RawMessage
		if err := json.Unmarshal(r.Value, &data); err != nil {
			t.Fatalf("the output is no array: %v\n%.300s", err, r.Value)
		}
		ins := job.InputsOf(t, []lab.Window{{Data: data}})
		if len(ins) != mainSize {
			t.Errorf("an array has %d elements", len(ins))
		}
		for i, in := range ins {
			name := fmt.Sprint(in.P, "-", in.I)
			if seen[name] || in.P != ins[0].P || in.I != ins[0].I+i {
				t.Fatalf("record %s is out of its place, or twice there", name)
			}
			seen[name] = true
		}
	}
	if len(seen) != partitions*n {
		t.Errorf("%d records came, want %d", len(seen), partitions*n)
	}
}

// requireTemplates requires each shard's windows to have the key and the headers that OUTPUT_KEY and OUTPUT_HEADERS say,
// in order, in one partition.
func requireTemplates(t *testing.T, w *world, got []*kgo.Record, perShard int) {
	t.Helper()
	next, at := map[string]int{}, map[string]int32{}
	for _, r := range got {
		key := string(r.Key)
		if !strings.HasPrefix(key, "of/"+w.Topic+"/") {
			t.Errorf("a window has the key %q", key)
		}
		if p, ok := at[key]; ok && p != r.Partition {
			t.Errorf("windows of %s are in partitions %d and %d", key, p, r.Partition)
		}
		at[key] = r.Partition
		if from, _ := lab.Header(r, "from"); from != w.Stream+".data" {
			t.Errorf("a window has the header from %q", from)
		}
		if number, _ := lab.Header(r, "number"); number != strconv.Itoa(next[key]) {
			t.Errorf("%s: number %q where %d is due", key, number, next[key])
		}
		next[key]++
	}
	for key, n := range next {
		if n != perShard {
			t.Errorf("%s has %d windows, want %d", key, n, perShard)
		}
	}
}

func requireRecordDocuments(t *testing.T, got []json.RawMessage, sent []*kgo.Record) {
	t.Helper()
	type document struct {
		Topic     string
		Partition int32
		Key       string
		Value     job.Input
		Headers   []struct{ Key, Value string }
	}
	byName := map[string]document{}
	for _, g := range got {
		var d document
		if err := json.Unmarshal(g, &d); err != nil {
			t.Fatalf("%v: %.300s", err, g)
		}
		byName[fmt.Sprint(d.Value.P, "-", d.Value.I)] = d
	}
	if len(got) != len(sent) || len(byName) != len(sent) {
		t.Fatalf("%d documents, %d of them distinct, want %d", len(got), len(byName), len(sent))
	}
	for _, s := range sent {
		var in job.Input
		if err := json.Unmarshal(s.Value, &in); err != nil {
			t.Fatal(err)
		}
		d := byName[fmt.Sprint(in.P, "-", in.I)]
		if d.Value != in || d.Key != string(s.Key) || d.Topic != s.Topic || d.Partition != s.Partition ||
			len(d.Headers) != 2 || d.Headers[0].Key != "trace" || d.Headers[0].Value != string(s.Headers[0].Value) {
			t.Fatalf("the document of %.100s is %+v", s.Value, d)
		}
	}
}

// The user's function fails: the window comes again, with a count and a back-off, then goes to dead letters with the
// reason; the shard goes on.
func TestCase08FailingHandler(t *testing.T) {
	t.Parallel()
	const partitions, n, size = 2, 120, 10
	w := newWorld(t, partitions)
	settings := []string{"EMITTER=count", fmt.Sprintf("WINDOW_SIZE=%d", size), "HANDLER_ATTEMPTS=4"}
	programs := []*lab.Program{w.Ingest(), w.WorkerProgram("flaky", settings...), w.WorkerProgram("flaky", settings...)}
	w.Produce(partitions, 0, n)
	const written = n/size - 3 // but for the windows 2, 6 and 8 of each shard
	out, dead := w.Collect(w.Out), w.Kafka.Consume(t, w.Out+".dead")
	out.UntilWindows(partitions * written)
	dead.Until(job.Patience, "dead letters", func() bool { return len(dead.Records) >= partitions*2 })
	lab.Stop(t, programs...)

	perShard := map[string][]int64{}
	for _, win := range out.All() {
		perShard[win.Shard] = append(perShard[win.Shard], win.Seq)
	}
	for shard, got := range perShard {
		slices.Sort(got)
		if want := []int64{0, 1, 3, 4, 5, 7, 9, 10, 11}; !slices.Equal(got, want) {
			t.Errorf("%s gave the windows %v, want %v", shard, got, want)
		}
	}
	if len(perShard) != partitions {
		t.Errorf("%d shards gave windows", len(perShard))
	}
	type letter struct {
		Reason, Error string
		Attempts      int
		First, Last   int64
		Window        lab.Window
	}
	letters := map[string]letter{}
	for _, r := range dead.ToEnd() {
		var l letter
		if err := json.Unmarshal(r.Value, &l); err != nil {
			t.Fatalf("%v: %.300s", err, r.Value)
		}
		letters[fmt.Sprint(l.Window.Shard, " ", l.Window.Seq)] = l
	}
	if len(dead.Records) != partitions*2 || len(letters) != partitions*2 {
		t.Fatalf("%d dead letters, %d of them distinct, want %d", len(dead.Records), len(letters), partitions*2)
	}
	for p := range partitions {
		shard := fmt.Sprintf("%s/%d", w.Topic, p)
		cursed, refused := letters[shard+" 2"], letters[shard+" 6"]
		if cursed.Reason != "handler" || cursed.Attempts != 4 || !strings.Contains(cursed.Error, "cursed") || cursed.Last <= cursed.First {
			t.Errorf("the letter of the window that always fails: %+v", cursed)
		}
		if refused.Reason != "handler" || refused.Attempts != 1 || !strings.Contains(refused.Error, "refused") {
			t.Errorf("the letter of the window that is refused: %+v", refused)
		}
		for seq, l := range map[int]letter{2: cursed, 6: refused} {
			for i, in := range job.InputsOf(t, []lab.Window{l.Window}) {
				if in.P != p || in.I != seq*size+i {
					t.Errorf("the letter of window %d of %s holds record %d of partition %d", seq, shard, in.I, in.P)
				}
			}
			if l.Window.Count != size {
				t.Errorf("the letter of window %d of %s holds %d records", seq, shard, l.Window.Count)
			}
		}
	}
}

// Stop and start between any two steps; kill between any two steps: same result as without.
func TestCase09StopsAndKillsBetweenSteps(t *testing.T) {
	t.Parallel()
	const partitions, step, size, rounds = 3, 47, 10, 14
	w := newWorld(t, partitions)
	settings := []string{"EMITTER=count", fmt.Sprintf("WINDOW_SIZE=%d", size)}
	ingest := w.Ingest()
	workers := []*lab.Program{w.Worker(settings...), w.Worker(settings...)}
	out := w.Collect(w.Out)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range rounds {
		w.Produce(partitions, round*step, (round+1)*step)
		// Sometimes the windows of this round are waited for, sometimes the faults come while they are made.
		if random.IntN(2) == 0 {
			out.UntilRecords((round + 1) * step / size * size)
		}
		i := random.IntN(len(workers))
		switch fault := random.IntN(5); fault {
		case 0:
			workers[i].Stop(t)
			workers[i] = w.Worker(settings...)
		case 1:
			workers[i].Kill()
			workers[i] = w.Worker(settings...)
		case 2:
			ingest.Kill()
			ingest = w.Ingest()
		case 3:
			ingest.Stop(t)
			ingest = w.Ingest()
		case 4: // a zombie: it comes back when others have its shards
			workers[i].Pause(t)
			out.UntilRecords((round + 1) * step / size * size)
			workers[i].Resume(t)
		}
	}
	out.UntilRecords(partitions * (rounds * step / size * size))
	lab.Stop(t, append(workers, ingest)...)
	job.RequireExact(t, w.Job, out.All(), partitions, rounds*step, size)
	job.RequireOrderInPartitions(t, out)
}

// SortedWindow works, written in Go by a user, and as configuration alone.
func TestCase10SortedWindow(t *testing.T) {
	t.Run("in Go", func(t *testing.T) {
		t.Parallel()
		requireSortedWindows(t, "sorted", "EMITTER=sorted")
	})
	t.Run("by configuration", func(t *testing.T) {
		t.Parallel()
		requireSortedWindows(t, "process", "EMITTER=expr", "WINDOW_READY=len(window) == 4",
			"WINDOW_QUERY=take(sortBy(filter(records, .value.value % 2 == 0), .value.value), 4)")
	})
}

// requireSortedWindows runs a program with an emitter that picks even values, sorted, four at a time.
func requireSortedWindows(t *testing.T, program, emitter string, settings ...string) {
	t.Helper()
	w := newWorld(t, 1)
	settings = append(settings, emitter)
	ingest := w.Ingest()
	send := func(values ...int) {
		t.Helper()
		var records []*kgo.Record
		for _, v := range values {
			records = append(records, &kgo.Record{Topic: w.Topic, Value: fmt.Appendf(nil, `{"value":%d}`, v)})
		}
		w.Kafka.Produce(t, records)
	}
	send(9, 8, 3, 6, 2, 4, 10, 1, 12, 14)
	lab.WaitFor(t, job.Patience, "the buffer to hold every record", func() bool { return w.Buffered(1) == 10 })
	programs := []*lab.Program{ingest, w.WorkerProgram(program, settings...), w.WorkerProgram(program, settings...)}
	out := w.Collect(w.Out)
	out.UntilWindows(1)
	send(5, 16)
	out.UntilWindows(2)
	send(0, 18, 20, 7, 11)
	lab.Stop(t, programs...)
	var got [][]int
	for _, win := range job.ByShard(t, out.All())[w.Topic+"/0"] {
		if win.Reason != "ready" || "EMITTER="+win.Emitter != emitter {
			t.Errorf("%v is by %s for the reason %s", win, win.Emitter, win.Reason)
		}
		var values []int
		for _, in := range job.InputsOf(t, []lab.Window{win}) {
			values = append(values, in.Value)
		}
		got = append(got, values)
	}
	if want := [][]int{{2, 4, 6, 8}, {10, 12, 14, 16}}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("windows %v, want %v: even values, sorted, four at a time", got, want)
	}
}

// A one-shot run processes what is there and exits 0. Run again, it goes on where it stopped.
func TestCase11OneShot(t *testing.T) {
	t.Parallel()
	const partitions, size = 3, 100
	w := newWorld(t, partitions)
	once := func(summary string, args ...string) {
		t.Helper()
		run := w.Once(args, "EMITTER=count", fmt.Sprintf("WINDOW_SIZE=%d", size))
		if code := run.Wait(t, job.Patience); code != 0 {
			t.Fatalf("%s ended with code %d", run.Name, code)
		}
		lines := strings.Split(strings.TrimSpace(run.Log()), "\n")
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, "caught up in ") || !strings.HasSuffix(last, summary) {
			t.Errorf("%s ends with the line %q, want one with %q", run.Name, last, summary)
		}
	}
	out := w.Collect(w.Out)
	w.Produce(partitions, 0, 250)
	w.Kafka.ProduceTxn(t, false, w.Inputs(0, 0, 10)) // ends behind the last committed record
	once("750 records in, 6 windows out, 0 dead letters; 150 records wait for the next run")
	job.RequireExact(t, w.Job, out.All(), partitions, 250, size)

	w.Produce(partitions, 250, 420)
	once("510 records in, 6 windows out, 0 dead letters; 60 records wait for the next run", "--partial=keep")
	job.RequireExact(t, w.Job, out.All(), partitions, 420, size)

	once("0 records in, 3 windows out, 0 dead letters; 0 records wait for the next run", "--partial=flush")
	w.Produce(partitions, 420, 430)
	once("30 records in, 3 windows out, 0 dead letters; 0 records wait for the next run", "--partial", "flush")
	for shard, windows := range job.RequireOnce(t, w.Job, out.All(), partitions, 430) {
		var reasons []string
		for _, win := range windows {
			reasons = append(reasons, fmt.Sprint(win.Reason, win.Count))
		}
		if got, want := strings.Join(reasons, " "), "count100 count100 count100 count100 flush20 flush10"; got != want {
			t.Errorf("%s: windows %s, want %s", shard, got, want)
		}
	}
}

// Killed at any moment and run again, a one-shot run gives the same result.
func TestOneShotKilled(t *testing.T) {
	t.Parallel()
	const partitions, n, size = 2, 5000, 100
	w := newWorld(t, partitions)
	settings := []string{"EMITTER=count", fmt.Sprintf("WINDOW_SIZE=%d", size)}
	out := w.Collect(w.Out)
	for i := range 4 {
		w.Produce(partitions, n*i, n*(i+1))
		run := w.Once([]string{"--partial=keep"}, settings...)
		out.UntilRecords(partitions*n*i + size)
		run.Kill()
	}
	run := w.Once(nil, settings...)
	if code := run.Wait(t, job.Patience); code != 0 {
		t.Fatalf("ended with code %d", code)
	}
	job.RequireExact(t, w.Job, out.All(), partitions, 4*n, size)
}
