package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/e2e/lab"
)

// dead runs windrow dead with the pipeline's environment; later settings win.
func (w *world) dead(args []string, settings ...string) *lab.Program {
	w.t.Helper()
	env := append(w.common(), "PIPELINE=p", "SINK=kafka", "KAFKA_OUTPUT_TOPIC="+w.out)
	return lab.StartWith(w.t, "windrow", append([]string{"dead"}, args...), append(env, settings...)...)
}

// deadTo is dead, to its end, which must be this code.
func (w *world) deadTo(code int, args []string, settings ...string) (printed string) {
	w.t.Helper()
	p := w.dead(args, settings...)
	if got := p.Wait(w.t, patience); got != code {
		w.t.Fatalf("windrow dead %s ended with code %d, want %d:\n%s", strings.Join(args, " "), got, code, p.Log())
	}
	return p.Log()
}

// Records that could not be processed are put back by a replay that is killed, again and again, and by two at once: each
// comes exactly once.
func TestDeadRecordsArePutBackExactlyOnce(t *testing.T) {
	t.Parallel()
	const partitions, n, kills = 2, 6_000, 4
	w := newWorld(t, partitions)
	programs := []*lab.Program{w.ingest(), w.worker("EMITTER=count", "WINDOW_SIZE=100", "WINDOW_KEY=device.id")}
	w.produce(partitions, 0, n) // none has a device
	dead := w.kafka.Consume(t, w.out+".dead")
	dead.Until(patience, "dead letters", func() bool { return len(dead.Records) >= partitions*n })
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

	programs[1] = w.worker(plain...)
	noted := "windrow." + w.stream + ".p.replayed"
	w.kafka.CreateTopic(t, noted, 1, "cleanup.policy", "compact")
	notes := w.kafka.Consume(t, noted)
	for i := range kills {
		replay := w.dead([]string{"replay", "--all"}, plain...)
		seen := len(notes.Records)
		notes.Until(patience, "letters that are put back", func() bool { return len(notes.Records) > seen+400*(i+1) || !replay.Running() })
		if !replay.Running() {
			t.Fatalf("the replay has ended before it was killed:\n%s", replay.Log())
		}
		replay.Kill()
	}
	first, second := w.dead([]string{"replay", "--all"}, plain...), w.dead([]string{"replay", "--all"}, plain...)
	if codes := []int{first.Wait(t, patience), second.Wait(t, patience)}; codes[0] != 0 && codes[1] != 0 {
		t.Errorf("of two replays at once neither came through:\n%s\n%s", first.Log(), second.Log())
	}
	if said := w.deadTo(0, []string{"replay", "--all"}, plain...); !strings.Contains(said, fmt.Sprintf("0 letters put back, %d were before", partitions*n)) {
		t.Errorf("the last replay says:\n%s", said)
	}
	out := w.collect(w.out)
	out.untilRecords(partitions * n)
	lab.Stop(t, programs...)
	requireExactUnordered(t, out.all(), partitions, n)
	if left := w.deadTo(0, []string{"list", "--new", "--json"}, plain...); !strings.Contains(left, "0 letters, 0 of them put back") {
		t.Errorf("list says there are more:\n%.2000s", left)
	}
}

// requireExactUnordered requires each record exactly once.
func requireExactUnordered(t *testing.T, windows []lab.Window, partitions, n int) {
	t.Helper()
	times := map[[2]int]int{}
	for _, in := range inputsOf(t, windows) {
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
	ingest := w.ingest()
	broken := []*lab.Program{w.workerProgram("flaky", settings...), w.workerProgram("flaky", intoMongo...)}
	w.produce(partitions, 0, n)
	const dead, dropped = 3, 1 // of a shard: the windows 2, 4 and 6, and 8
	out, letters := w.collect(w.out), w.kafka.Consume(t, w.out+".dead")
	documents, deadDocuments := mongo.Collection(t, "d", "c"), mongo.Collection(t, "d", "c.dead")
	letters.Until(patience, "dead letters", func() bool { return len(letters.Records) >= partitions*dead })
	out.untilWindows(partitions * (n/size - dead - dropped))
	lab.WaitFor(t, patience, "documents and dead letters in MongoDB", func() bool {
		return len(lab.Documents(t, deadDocuments)) == partitions*dead && len(lab.Documents(t, documents)) == partitions*(n/size-dead-dropped)
	})
	lab.Stop(t, broken...)

	mended := []*lab.Program{w.worker(settings...), w.worker(intoMongo...)}
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
	out.untilWindows(all)
	lab.WaitFor(t, patience, "all documents in MongoDB", func() bool { return len(lab.Documents(t, documents)) >= all })
	lab.Stop(t, append(mended, ingest)...)

	deadIDs := map[string]bool{}
	for _, r := range letters.ToEnd() {
		var l struct{ ID string }
		if err := json.Unmarshal(r.Value, &l); err != nil {
			t.Fatal(err)
		}
		deadIDs[l.ID] = true
	}
	for name, windows := range map[string][]lab.Window{"Kafka": out.all(), "MongoDB": lab.MongoWindows(t, documents)} {
		if len(windows) != all {
			t.Errorf("%s: %d windows, want %d", name, len(windows), all)
		}
		perShard := map[string][]int64{}
		for _, win := range windows {
			perShard[win.Shard] = append(perShard[win.Shard], win.Seq)
			for i, in := range inputsOf(t, []lab.Window{win}) {
				if in.I != int(win.Seq)*size+i || fmt.Sprintf("%s/%d", w.topic, in.P) != win.Shard {
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
