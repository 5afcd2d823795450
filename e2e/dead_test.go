package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// deadTo is Dead, to its end, which must be this code.
func (w *world) deadTo(code int, args []string, settings ...string) (printed string) {
	w.T.Helper()
	p := w.Dead(args, settings...)
	if got := p.Wait(w.T, job.Patience); got != code {
		w.T.Fatalf("windrow dead %s ended with code %d, want %d:\n%s", strings.Join(args, " "), got, code, p.Log())
	}
	return p.Log()
}

// Records that could not be processed are put back by a replay that is killed, again and again, and by two at once: each
// comes exactly once.
func TestDeadRecordsArePutBackExactlyOnce(t *testing.T) {
	t.Parallel()
	const partitions, n, kills = 2, 6_000, 4
	w := newWorld(t, partitions)
	programs := []*lab.Program{w.Ingest(), w.Worker("EMITTER=count", "WINDOW_SIZE=100", "WINDOW_KEY=device.id")}
	w.Produce(partitions, 0, n) // none has a device
	dead := w.Kafka.Consume(t, w.Out+".dead")
	dead.Until(job.Patience, "dead letters", func() bool { return len(dead.Records) >= partitions*n })
	programs[1].Stop(t)

	plain := []string{"EMITTER=count", "WINDOW_SIZE=100"}
	said := w.deadTo(0, []string{"list", "--limit", "5"}, plain...)
	if !strings.Contains(said, "missing-field") || !strings.Contains(said, "5 letters and more") {
		t.Errorf("list says:\n%s", said)
	}
	ids := strings.Fields(strings.Split(said, "\n")[1])
	if shown := w.deadTo(0, []string{"show", ids[0]}, plain...); !strings.Contains(shown, `"origin": {`) {
		t.Errorf("show says:\n%s", shown)
	}

	programs[1] = w.Worker(plain...)
	noted := "windrow." + w.Stream + ".p.replayed"
	w.Kafka.CreateTopic(t, noted, 1, "cleanup.policy", "compact")
	notes := w.Kafka.Consume(t, noted)
	for i := range kills {
		replay := w.Dead([]string{"replay", "--all"}, plain...)
		seen := len(notes.Records)
		notes.Until(job.Patience, "letters that are put back", func() bool { return len(notes.Records) > seen+400*(i+1) || !replay.Running() })
		if !replay.Running() {
			t.Fatalf("the replay has ended before it was killed:\n%s", replay.Log())
		}
		replay.Kill()
	}
	first, second := w.Dead([]string{"replay", "--all"}, plain...), w.Dead([]string{"replay", "--all"}, plain...)
	if codes := []int{first.Wait(t, job.Patience), second.Wait(t, job.Patience)}; codes[0] != 0 && codes[1] != 0 {
		t.Errorf("of two replays at once neither came through:\n%s\n%s", first.Log(), second.Log())
	}
	if said := w.deadTo(0, []string{"replay", "--all"}, plain...); !strings.Contains(said, fmt.Sprintf("0 letters put back, %d were before", partitions*n)) {
		t.Errorf("the last replay says:\n%s", said)
	}
	out := w.Collect(w.Out)
	out.UntilRecords(partitions * n)
	lab.Stop(t, programs...)
	requireExactUnordered(t, out.All(), partitions, n)
	if left := w.deadTo(0, []string{"list", "--new", "--json"}, plain...); !strings.Contains(left, "0 letters, 0 of them put back") {
		t.Errorf("list says there are more:\n%.2000s", left)
	}
}

// requireExactUnordered requires each record exactly once.
func requireExactUnordered(t *testing.T, windows []lab.Window, partitions, n int) {
	t.Helper()
	times := map[[2]int]int{}
	for _, in := range job.InputsOf(t, windows) {
		times[[2]int{in.P, in.I}]++
	}
	for p := range partitions {
		for i := range n {
			if k := times[[2]int{p, i}]; k != 1 {
				t.Fatalf("record %d of partition %d came %d times", i, p, k)
			}
		}
	}
	if len(times) != partitions*n {
		t.Errorf("%d records came, want %d", len(times), partitions*n)
	}
}

// Windows that the handler could not process are handed to it again, into either sink, and come out once, as they were.
func TestDeadWindowsArePutBackExactlyOnce(t *testing.T) {
	t.Parallel()
	const partitions, n, size = 2, 120, 10
	w := newWorld(t, partitions)
	mongo := lab.Mongo(t)
	settings := []string{"EMITTER=count", fmt.Sprintf("WINDOW_SIZE=%d", size), "HANDLER_ATTEMPTS=1"}
	intoMongo := append(settings[:3:3], "PIPELINE=m", "SINK=mongo", "MONGO_URL="+mongo.URL, "MONGO_DATABASE=d", "MONGO_COLLECTION=c")
	ingest := w.Ingest()
	broken := []*lab.Program{w.WorkerProgram("flaky", settings...), w.WorkerProgram("flaky", intoMongo...)}
	w.Produce(partitions, 0, n)
	const dead, dropped = 3, 1 // of a shard: the windows 2, 4 and 6, and 8
	out, letters := w.Collect(w.Out), w.Kafka.Consume(t, w.Out+".dead")
	documents, deadDocuments := mongo.Collection(t, "d", "c"), mongo.Collection(t, "d", "c.dead")
	letters.Until(job.Patience, "dead letters", func() bool { return len(letters.Records) >= partitions*dead })
	out.UntilWindows(partitions * (n/size - dead - dropped))
	lab.WaitFor(t, job.Patience, "documents and dead letters in MongoDB", func() bool {
		return len(lab.Documents(t, deadDocuments)) == partitions*dead && len(lab.Documents(t, documents)) == partitions*(n/size-dead-dropped)
	})
	lab.Stop(t, broken...)

	mended := []*lab.Program{w.Worker(settings...), w.Worker(intoMongo...)}
	for i, env := range [][]string{settings, intoMongo} {
		said := w.deadTo(0, []string{"replay", "--reason", "handler"}, env...)
		if want := fmt.Sprintf("%d letters put back, 0 were before, 0 can't be", partitions*dead); !strings.Contains(said, want) {
			t.Errorf("replay %d says:\n%s", i, said)
		}
		if said = w.deadTo(0, []string{"replay", "--all"}, env...); !strings.Contains(said, "0 letters put back") {
			t.Errorf("replay %d says, the second time:\n%s", i, said)
		}
	}
	const all = partitions * (n/size - dropped)
	out.UntilWindows(all)
	lab.WaitFor(t, job.Patience, "all documents in MongoDB", func() bool { return len(lab.Documents(t, documents)) >= all })
	lab.Stop(t, append(mended, ingest)...)

	deadIDs := map[string]bool{}
	for _, r := range letters.ToEnd() {
		var l struct{ ID string }
		if err := json.Unmarshal(r.Value, &l); err != nil {
			t.Fatal(err)
		}
		deadIDs[l.ID] = true
	}
	for name, windows := range map[string][]lab.Window{"Kafka": out.All(), "MongoDB": lab.MongoWindows(t, documents)} {
		if len(windows) != all {
			t.Errorf("%s: %d windows, want %d", name, len(windows), all)
		}
		perShard := map[string][]int64{}
		for _, win := range windows {
			perShard[win.Shard] = append(perShard[win.Shard], win.Seq)
			for i, in := range job.InputsOf(t, []lab.Window{win}) {
				if in.I != int(win.Seq)*size+i || fmt.Sprintf("%s/%d", w.Topic, in.P) != win.Shard {
					t.Errorf("%s: %v holds record %d of partition %d", name, win, in.I, in.P)
				}
			}
			if died := slices.Contains([]int64{2, 4, 6}, win.Seq); name == "Kafka" && deadIDs[win.ID] != died {
				t.Errorf("%v came back under another id than its letter's", win)
			}
		}
		for shard, seqs := range perShard {
			slices.Sort(seqs)
			if want := []int64{0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11}; !slices.Equal(seqs, want) {
				t.Errorf("%s: %s gave the windows %v, want %v", name, shard, seqs, want)
			}
		}
	}
}
