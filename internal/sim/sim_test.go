package sim

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/emit"
)

var (
	seedFlag  = flag.Uint64("seed", 1, "the seed of TestSeed")
	storyFlag = flag.String("story", "", "with -seed: write what happened, call by call, to this file")
	seedsFlag = flag.Int("seeds", 0, "how many seeds TestSeeds runs; 0: 1000, or 50 if they are slow")
	firstFlag = flag.Uint64("first", 1, "the first of them")
	forFlag   = flag.Duration("for", 0, "how long TestSeeds goes on, whatever -seeds says; it tells how far it is")
	failsFlag = flag.Int("failures", 20, "after how many failing seeds TestSeeds ends")
)

// slow: the race detector watches.
var slow bool

func seeds() int {
	switch {
	case *seedsFlag > 0:
		return *seedsFlag
	case slow || testing.Short():
		return 50
	}
	return 1000
}

func TestMain(m *testing.M) {
	flag.Parse()
	// One goroutine at a time, and none interrupted by a collection of garbage.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(-1)
	pause.Jitter = half
	buffer.ClientLog(zap.NewNop())
	if err := warmUp(); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// result is what became of a seed.
type result struct {
	seed   uint64
	err    error
	hash   uint64
	steps  int
	counts map[string]int
	plan   plan
}

// simulate runs one seed.
func simulate(t *testing.T, seed uint64, trace io.Writer) (r result) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		w := newWorld(seed, trace)
		w.play()
		w.close()
		r = result{seed, w.failed, w.hash, w.steps, w.counts, w.plan}
	})
	runtime.GC()
	return r
}

func (r result) String() string {
	return fmt.Sprintf("seed %d: %v\nplan: %s\nreplay: go test ./internal/sim -run TestSeed$ -seed %d -story story.txt", r.seed, r.err, r.plan, r.seed)
}

// TestSeed runs the seed of the flag, or the first.
func TestSeed(t *testing.T) {
	var trace io.Writer
	if *storyFlag != "" {
		f, err := os.Create(*storyFlag)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		trace = f
	}
	r := simulate(t, *seedFlag, trace)
	t.Logf("hash %x, %d steps, %v", r.hash, r.steps, r.counts)
	if r.err != nil {
		t.Error(r)
	}
}

// TestSeeds runs many seeds, or as many as there is time for.
func TestSeeds(t *testing.T) {
	all := tally{began: time.Now(), counts: map[string]int{}}
	for told := all.began; *forFlag > 0 && all.left() > 0 || *forFlag == 0 && all.seeds < seeds(); {
		r := simulate(t, *firstFlag+uint64(all.seeds), nil)
		all.add(r)
		if r.err != nil {
			t.Error(r)
			if all.failed >= *failsFlag {
				break
			}
		}
		if *forFlag > 0 && time.Since(told) >= 5*time.Second {
			told = time.Now()
			fmt.Printf("%v left: %v\n", all.left().Round(time.Second), &all)
		}
	}
	t.Log(&all)
	if all.seeds < 1000 {
		return
	}
	// What the seeds are for must have happened.
	events := []string{
		"append refused: the tail had moved", "concurrent transactions (51)", "crash after a call", "crash before a call",
		"fenced at the coordinator", "freeze", "late request took effect", "leader moved", "lost reply", "lost request", "new settings",
		"redis clock step", "redis emptied", "redis fail-over", "redis full", "slow request", "transaction aborted by a newer epoch", "window delivered again",
	}
	for _, name := range emit.Names() {
		events = append(events, "emitter "+name)
	}
	for _, event := range events {
		if all.counts[event] == 0 {
			t.Errorf("in %d seeds there was no %q", all.seeds, event)
		}
	}
}

// tally is what many seeds came to.
type tally struct {
	began                time.Time
	seeds, failed, steps int
	counts               map[string]int // what happened how often
}

func (a *tally) add(r result) {
	a.seeds++
	a.steps += r.steps
	for what, n := range r.counts {
		a.counts[what] += n
	}
	if r.err != nil {
		a.failed++
	}
}

// left is the time that is left of that of the flag.
func (a *tally) left() time.Duration { return *forFlag - time.Since(a.began) }

// String names what happened in the order of how often.
func (a *tally) String() string {
	took := time.Since(a.began)
	s := fmt.Sprintf("%d seeds in %v, %.1f a second, %d failed, %d steps", a.seeds, took.Round(time.Second), float64(a.seeds)/took.Seconds(), a.failed, a.steps)
	for _, what := range slices.SortedFunc(maps.Keys(a.counts), func(x, y string) int {
		return cmp.Or(cmp.Compare(a.counts[y], a.counts[x]), cmp.Compare(x, y))
	}) {
		s += fmt.Sprintf(", %s %d", what, a.counts[what])
	}
	return s
}

// TestReplay: the same seed twice is the same run, call by call. Go takes the processor from a goroutine after 10 ms of the
// wall clock, which on a busy machine can be in the middle of a step and change the order of two others: of a few runs, two
// must be the same.
func TestReplay(t *testing.T) {
	for seed := uint64(1); seed <= uint64(max(seeds()/10, 20)); seed++ {
		var seen []result
		var stories []string
		for len(seen) < 5 {
			var story bytes.Buffer
			r := simulate(t, seed, &story)
			if slices.ContainsFunc(seen, func(o result) bool { return o.hash == r.hash && o.steps == r.steps }) {
				seen = nil
				break
			}
			seen, stories = append(seen, r), append(stories, story.String())
		}
		if seen != nil {
			t.Errorf("seed %d: no two of %d runs are the same: %s", seed, len(seen), differ(calls(stories[0]), calls(stories[1])))
		}
	}
}

// differ tells the first line in which two stories differ.
func differ(xs, ys []string) string {
	for i := range min(len(xs), len(ys)) {
		if xs[i] != ys[i] {
			return fmt.Sprintf("line %d of the story is\n%s\nand then\n%s", i, xs[i], ys[i])
		}
	}
	return fmt.Sprintf("one story has %d lines, the other %d", len(xs), len(ys))
}

// calls are a story's lines but for the product's log, in which goroutines that end together may come in any order.
func calls(story string) (lines []string) {
	for l := range strings.Lines(story) {
		if strings.HasPrefix(l, " ") {
			lines = append(lines, l)
		}
	}
	return lines
}
