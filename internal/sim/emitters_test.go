package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

// aggregated keeps every record's fields, so that what is checked of windows of records is checked of aggregates, too.
const aggregated = "count(), collect(p) as p, collect(n) as n, collect(k) as k, collect(v) as v, collect(t) as t, sum(v) as sum, max(t) as newest"

// others gives the first pipeline one of the emitters that newSettings does not draw.
func (p *plan) others(r *rand.Rand) {
	s := window.Settings{Stream: stream, Pipeline: pipeline}
	if r.IntN(3) == 0 {
		s.Key = "k"
	}
	switch r.IntN(10) {
	case 0:
		s.Emitter, s.Interval = emit.NameTumbling, pick(r, 100*time.Millisecond, 500*time.Millisecond, 2*time.Second)
	case 1:
		s.Emitter, s.Interval = emit.NameSliding, pick(r, 400*time.Millisecond, time.Second)
		s.Slide = s.Interval / time.Duration(pick(r, 2, 4))
	case 2, 3:
		s.Emitter, s.Gap, s.MaxLength = emit.NameSession, pick(r, 40*time.Millisecond, 150*time.Millisecond), pick(r, 0, 0, time.Second)
	case 4:
		s.Emitter, s.Size, s.When = emit.NameCount, 3+r.IntN(10), "value.v % 7 == 0"
	case 5:
		s.Emitter, s.Size = emit.NameCount, 2+r.IntN(10)
		s.SlideSize = 1 + r.IntN(s.Size)
	case 6:
		s.Emitter, s.Size, s.Open, s.When = emit.NameState, 3+r.IntN(10), "value.v < 30", "value.v > 70"
	case 7:
		s.Emitter, s.Size, s.Interval = emit.NameSample, 1_000_000, pick(r, 100*time.Millisecond, 500*time.Millisecond)
	case 8:
		n := 2 + r.IntN(10)
		s.Emitter, s.Query, s.Ready = emit.NameExpr, fmt.Sprintf("take(records, %d)", n), fmt.Sprintf(exprReady, n)
	case 9:
		s.Emitter, s.Bytes = emit.NameBytes, int64(50+r.IntN(400))
	}
	if window.EventTimed(s.Emitter) {
		s.EventTime, s.Late, s.MaxFuture = pick(r, "t", ""), window.LateNext, 10*time.Second
		s.WatermarkDelay, s.WatermarkIdle = pick(r, 0, 100*time.Millisecond, time.Second), pick(r, 100*time.Millisecond, time.Second)
		if p.direct {
			s.EventTime = "t" // what is appended to it has no other time
		}
	}
	if s.Emitter != emit.NameExpr && s.SlideSize == 0 && r.IntN(3) == 0 {
		s.Aggregate = aggregated
	}
	p.timed, p.settings = true, []window.Settings{s}
	if sequential(s) && p.partitions > 1 {
		p.shards = 0 // a shard of several lanes has no order of its own
	}
	for _, err := range s.Validate() {
		panic(err)
	}
}

const exprReady = "len(window) == %d"

// exprSize is how many records the windows of expressions have.
func exprSize(s window.Settings) (n int) {
	if _, err := fmt.Sscanf(s.Ready, exprReady, &n); err != nil {
		panic(err)
	}
	return n
}

// content is a window's records, or what its aggregate has kept of them.
type content []datum

func (c *content) UnmarshalJSON(b []byte) error {
	if b[0] == '[' {
		return json.Unmarshal(b, (*[]datum)(c))
	}
	var a struct {
		Count, Sum int
		Newest     int64
		P, N, V    []int
		K          []string
		T          []int64
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return err
	}
	sum, newest := 0, int64(0)
	for i := range a.N {
		*c = append(*c, datum{a.P[i], a.N[i], a.K[i], a.V[i], a.T[i]})
		sum += a.V[i]
		newest = max(newest, a.T[i])
	}
	if a.Count != len(a.N) || a.Sum != sum || a.Newest != newest {
		return fmt.Errorf("of these records the aggregates are %d, %d and %d", len(a.N), sum, newest)
	}
	return nil
}

func contentOf(w *window.Window) (c content) {
	for i := range w.Records {
		if !w.Aggregate {
			c = append(c, parseDatum(w.Records[i].Value))
		} else if err := c.UnmarshalJSON(w.Records[i].Value); err != nil {
			panic(fmt.Sprintf("sim: %q is no aggregate of the source's records: %v", w.Records[i].Value, err))
		}
	}
	return c
}

// happened reports whether a window by event time ends behind all its records; those from before its start were late.
func (c *checker) happened(o *output) bool {
	return !slices.ContainsFunc(o.Data, func(d datum) bool { return d.T >= o.End })
}

// slides checks a shard's overlapping windows: each has a record once, and each record is in one at least.
func (c *checker) slides(ws []*output, wanted map[string][]datum) error {
	s := c.last()
	in := map[string]map[datum]int{}
	before := map[string]*output{}
	for key, ds := range wanted {
		in[key] = map[datum]int{}
		for _, d := range ds {
			in[key][d] = 0
		}
	}
	for i, o := range ws {
		key := keyIn(o)
		if o.Seq != int64(i) || o.Count != len(o.Data) || o.Count == 0 || o.Reason != "interval" || !c.happened(o) ||
			o.Start%s.Slide.Milliseconds() != 0 || o.End != o.Start+s.Interval.Milliseconds() || before[key] != nil && before[key].Start >= o.Start {
			return fmt.Errorf("%s, which says %d, is no window of %s", brief(o), o.Count, s.Emitter)
		}
		before[key] = o
		once := map[datum]bool{}
		for _, d := range o.Data {
			n, ok := in[key][d]
			if !ok || once[d] || n == int(s.Interval/s.Slide) {
				return fmt.Errorf("%s: record %v is none of its own, or was in %d windows before", brief(o), d, n)
			}
			once[d] = true
			in[key][d]++
		}
	}
	for key, ds := range in {
		for d, n := range ds {
			if n == 0 {
				return fmt.Errorf("record %v of key %q is in no window", d, key)
			}
		}
	}
	return nil
}

func keyIn(o *output) string {
	if o.Key == nil {
		return ""
	}
	return *o.Key
}

// sequential reports whether the windows follow from the order of the records alone, whatever was read together and when:
// then they are those that pkg/window gives for all records at once.
func sequential(s window.Settings) bool {
	return s.Emitter == emit.NameState || s.Emitter == emit.NameBytes || s.Emitter == emit.NameCount && (s.When != "" || s.SlideSize > 0)
}

func (c *checker) sequential() bool { return sequential(c.last()) }

// reference are the windows of a key's records.
type reference struct{ windows []string }

func (r *reference) Window(w *window.Window) {
	r.windows = append(r.windows, story(&output{Reason: string(w.Reason), Start: w.Start, End: w.End, Count: w.Count(), Data: contentOf(w)}))
}

func (r *reference) Reject(_ *record.Record, err error) { panic(err) }

// story tells what must be the same of a window.
func story(o *output) string {
	span := fmt.Sprintf("[%d, %d)", o.Start, o.End)
	if len(o.Data) > 0 && o.Data[0].P < 0 {
		span = "" // a record of the direct lane has the time of its entry
	}
	return fmt.Sprintf("%s %d records closed by %s: %v", span, o.Count, o.Reason, o.Data)
}

// expected are the windows of a key's records in one lane.
func (c *checker) expected(ds []datum) []string {
	s := c.last()
	m, err := window.New(s, "0")
	if err != nil {
		panic(err)
	}
	records := make([]record.Record, len(ds))
	for i, d := range ds {
		records[i] = record.Record{Topic: "in", Partition: int32(max(d.P, 0)), Offset: int64(i), Timestamp: d.T, Value: d.json()}
	}
	var r reference
	m.Step(1, window.Each(records), &r)
	return r.windows
}

// stories are the windows of a shard that came, by key.
func stories(ws []*output) map[string][]string {
	all := map[string][]string{}
	for _, o := range ws {
		all[keyIn(o)] = append(all[keyIn(o)], story(o))
	}
	return all
}

// sequence checks that a shard's windows are those that its records give.
func (c *checker) sequence(ws []*output, wanted map[string][]datum) error {
	for i, o := range ws {
		if o.Seq != int64(i) {
			return fmt.Errorf("window %d has the number %d: %s", i, o.Seq, brief(o))
		}
	}
	got := stories(ws)
	for key, ds := range wanted {
		want := c.expected(ds)
		for i := range max(len(want), len(got[key])) {
			if i >= len(want) || i >= len(got[key]) || want[i] != got[key][i] {
				return fmt.Errorf("window %d of key %q differs: of\n%s\nthere should be\n%s", i, key,
					strings.Join(got[key][i:min(i+1, len(got[key]))], ""), strings.Join(want[i:min(i+1, len(want))], ""))
			}
		}
		delete(got, key)
	}
	for key := range got {
		return fmt.Errorf("windows of a key %q that no record has", key)
	}
	return nil
}

// short says which windows have not come yet.
func (c *checker) short() string {
	shards := map[string][]*output{}
	for _, o := range c.read() {
		shards[o.Shard] = append(shards[o.Shard], o)
	}
	var lacks []string
	for shard, keys := range c.wanted() {
		got := stories(shards[shard])
		for key, ds := range keys {
			have := map[string]bool{}
			for _, s := range got[key] {
				have[s] = true
			}
			for _, s := range c.expected(ds) {
				if !have[s] {
					lacks = append(lacks, fmt.Sprintf("of shard %s %s a window is missing: %s", shard, key, s))
					break
				}
			}
		}
	}
	slices.Sort(lacks)
	return strings.Join(lacks, "; ")
}
