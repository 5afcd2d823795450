package chaos

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// watch sees windows come, while faults happen.
type watch struct {
	mu      sync.Mutex
	records int
	came    map[int][]arrival // by partition of the source
}

// arrival is a window that came.
type arrival struct {
	at   time.Time
	last int // number of its last record
}

func newWatch() *watch { return &watch{came: map[int][]arrival{}} }

func (w *watch) saw(partition int, a arrival, records int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records += records
	w.came[partition] = append(w.came[partition], a)
}

// held is the number of records in the windows that came.
func (w *watch) held() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.records
}

// partitions is the number of those that gave a window.
func (w *watch) partitions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.came)
}

// reached says when a window came with a partition's n-th record or a later one; zero: not yet.
func (w *watch) reached(partition, n int) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.came[partition] {
		if a.last >= n {
			return a.at
		}
	}
	return time.Time{}
}

// stall is the longest time that a partition gave no window, within so long.
func (w *watch) stall(partition int, from, to time.Time) (longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range append(slices.Clone(w.came[partition]), arrival{at: to}) {
		if a.at.After(from) && !a.at.After(to) {
			longest = max(longest, a.at.Sub(from))
			from = a.at
		}
	}
	return longest
}

// follow watches topics until the test ends: windows, and dead letters with windows in them. What can't be read is found when the output is checked.
func (w *watch) follow(t testing.TB, k *lab.KafkaServer, topics ...string) {
	client := k.Client(t,
		kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.FetchMaxPartitionBytes(64<<20), kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(time.Second),
	)
	ctx := t.Context()
	go func() {
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				window, err := windowIn(r.Value)
				var last job.Input
				if err != nil || len(window.Data) == 0 || json.Unmarshal(window.Data[len(window.Data)-1], &last) != nil {
					return
				}
				w.saw(last.P, arrival{time.Now(), last.I}, window.Count)
			})
		}
	}()
}

// windowIn decodes a window, or the one in a dead letter.
func windowIn(text []byte) (w lab.Window, err error) {
	var letter struct{ Window json.RawMessage }
	if err := json.Unmarshal(text, &letter); err != nil {
		return w, err
	}
	if letter.Window != nil {
		text = letter.Window
	}
	err = json.Unmarshal(text, &w)
	return w, err
}

// deadWindows are the windows in dead letters, and the records in others.
func deadWindows(t testing.TB, letters []*kgo.Record) (windows []lab.Window, records []poison) {
	t.Helper()
	for _, l := range letters {
		if w, err := windowIn(l.Value); err == nil && len(w.Data) > 0 {
			windows = append(windows, w)
			continue
		}
		var of struct{ Key string }
		var p poison
		if err := json.Unmarshal(l.Value, &of); err != nil {
			t.Fatalf("a dead letter is no JSON: %v\n%.500s", err, l.Value)
		}
		if _, err := fmt.Sscanf(of.Key, poisonKey, &p.P, &p.I); err != nil {
			t.Fatalf("a dead letter has neither a window nor a poison record: %v\n%.500s", err, l.Value)
		}
		records = append(records, p)
	}
	return windows, records
}

// Point is a value at a time since the scenario's begin.
type Point struct {
	Seconds float64 `json:"s"`
	Value   float64 `json:"v"`
}

// Curve is a series of a scenario.
type Curve struct {
	Name   string  `json:"name"`
	Limit  float64 `json:"limit,omitempty"` // what it must not exceed; 0: none
	Points []Point `json:"points"`
}

// throughput is the curve of the records whose windows came, a second.
const throughput = "records/s"

// meters sample the memory of programs and of Redis, the throughput, and how busy the machine is.
type meters struct {
	begin time.Time
	mu    sync.Mutex
	of    map[string]*Curve
	loads []float64
}

// load samples the machine's load: how many processes want a core.
func (m *meters) load() {
	text, err := os.ReadFile("/proc/loadavg")
	var lately float64
	if err != nil {
		return // not Linux
	}
	if _, err := fmt.Sscan(string(text), &lately); err == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.loads = append(m.loads, lately)
	}
}

// busy is the mean load for each core; beyond 2 or so, times tell of the machine.
func (m *meters) busy() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.loads) == 0 {
		return 0
	}
	total := 0.0
	for _, l := range m.loads {
		total += l
	}
	return total / float64(len(m.loads)*runtime.NumCPU())
}

func (m *meters) add(name string, value, limit float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.of[name]
	if c == nil {
		c = &Curve{Name: name}
		m.of[name] = c
	}
	c.Limit = limit
	c.Points = append(c.Points, Point{time.Since(m.begin).Seconds(), value})
}

// curves are what was measured, memory apart from throughput.
func (m *meters) curves() (memory, flow []Curve) {
	m.mu.Lock()
	defer m.mu.Unlock()
	of := maps.Clone(m.of)
	if c, ok := of[throughput]; ok {
		flow = append(flow, *c)
		delete(of, throughput)
	}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		memory = append(memory, *of[name])
	}
	return memory, flow
}
