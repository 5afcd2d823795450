package sim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/shard"
	"github.com/windrow-io/windrow/pkg/window"
)

// checker is the reference model of a pipeline: it knows what was written to the source, and what a strategy makes of a
// partition's records. Of shards' owners, decisions, lanes it knows nothing.
type checker struct {
	w       *world
	pipe    *pipe
	written map[int][]*sourceBatch // by partition, in offset order; -1: the direct lane
	nextN   map[int]int
	out     map[tp]int64 // offsets of the output that were read
	windows []*output
	looked  time.Time
	spread  *shard.Spread // nil: a shard is a partition
}

// sourceBatch is a batch that a producer wrote.
type sourceBatch struct {
	id      record.Producer
	base    int64
	records []datum
	state   sourceState
}

type sourceState int

const (
	confirmed sourceState = iota
	open
	aborted
)

// output is a window as it was written.
type output struct {
	ID, Shard, Reason string
	Key               *string
	Seq, Start, End   int64
	Count             int
	Data              content
}

func newChecker(w *world) *checker {
	c := &checker{w: w, written: map[int][]*sourceBatch{}, nextN: map[int]int{}, out: map[tp]int64{}}
	if w.plan.shards > 0 {
		var err error
		if c.spread, err = shard.New(w.plan.shards, shardKey(w.plan.shards)); err != nil {
			panic(err)
		}
	}
	return c
}

// of is a checker of a pipeline of the same source.
func (c *checker) of(p *pipe) *checker {
	return &checker{w: c.w, pipe: p, written: c.written, nextN: c.nextN, out: map[tp]int64{}, spread: c.spread}
}

// datum makes the next record of a partition.
func (c *checker) datum(part int) datum {
	n := c.nextN[part]
	c.nextN[part]++
	d := datum{P: part, N: n, K: string(rune('a' + c.w.rnd.IntN(3))), V: c.w.rnd.IntN(100)}
	if c.w.plan.timed {
		d.T = time.Now().UnixMilli() - int64(c.w.rnd.IntN(pick(c.w.rnd, 1, 100, 100, 3000)))
	}
	return d
}

// source appends a batch of n records to a source partition, in a transaction if there is a producer.
func (c *checker) source(p *partition, n int, id record.Producer, _ int) *sourceBatch {
	s := &sourceBatch{id: id}
	var b record.Builder
	for range n {
		d := c.datum(int(p.at.part))
		s.records = append(s.records, d)
		b.Add(cmp.Or(d.T, time.Now().UnixMilli()), nil, d.json())
	}
	codec := []record.Codec{record.None, record.LZ4}[c.w.rnd.IntN(2)]
	raw, err := b.Seal(id, 0, id.ID >= 0, codec)
	if err != nil {
		panic(err)
	}
	s.base = p.add(slices.Clone(raw)).BaseOffset
	if id.ID >= 0 {
		p.open[id.ID] = s.base
		s.state = open
	}
	c.written[int(p.at.part)] = append(c.written[int(p.at.part)], s)
	return s
}

// end ends a source transaction.
func (c *checker) end(p *partition, s *sourceBatch, commit bool) {
	s.state = aborted
	if commit {
		s.state = confirmed
	}
	c.w.count("source transaction")
	c.w.kafka.mark(p, s.id.ID, s.id.Epoch, commit)
}

func (c *checker) finishSource() {
	for part := range c.w.plan.partitions {
		for _, s := range c.written[part] {
			if s.state == open {
				c.end(c.w.kafka.topics["in"].partitions[part], s, true)
			}
		}
	}
}

// direct is the next record of the direct lane.
func (c *checker) direct() datum {
	d := c.datum(-1)
	c.written[-1] = append(c.written[-1], &sourceBatch{records: []datum{d}})
	return d
}

// appended checks an entry of a lane: promise 1, a lane is its source partition.
func (c *checker) appended(key string, s *redisStream, fields [][]byte) {
	name, lane, _ := strings.Cut(key, "}:lane:")
	if strings.HasPrefix(lane, "direct/") {
		return
	}
	var held, largest int64 // bytes; of all entries, of the largest
	for _, x := range s.entries {
		n := int64(len(entryOf(x.fields).batches))
		held, largest = held+n, max(largest, n)
	}
	// Twice, and what the last entry of the first time was over: what an ingester takes for trimmed may be there still. And when Redis has lost something, a lane that is filled
	// again holds besides what is behind the positions, until the next ones are published.
	lost := c.w.counts["redis emptied"]+c.w.counts["redis fail-over"] > 0
	if held-largest >= 2*c.w.plan.bufferBytes && !lost {
		c.w.failf("lane %s holds %d bytes and gets more: it may hold %d", lane, held, c.w.plan.bufferBytes)
	}
	e := entryOf(fields)
	part, err := strconv.Atoi(strings.TrimPrefix(lane, "in/"))
	if err != nil {
		c.w.failf("a lane of the name %q", lane)
		return
	}
	if n := len(s.entries); n > 0 {
		if last := entryOf(s.entries[n-1].fields); last.next != e.from && e.from > c.w.kafka.topics["in"].partitions[part].start { // retention makes a gap that is none of the lane's
			c.w.failf("lane %s: after an entry that ends at %d comes one that begins at %d", lane, last.next, e.from)
		}
	}
	if c.spread != nil {
		c.appendedPart(strings.TrimPrefix(name, "windrow:{"+stream+"/"), part, e)
		return
	}
	var want []byte
	for _, b := range c.w.kafka.topics["in"].partitions[part].batches {
		if b.BaseOffset >= e.from && b.BaseOffset < e.next && !b.Control() && !b.aborted {
			want = append(want, b.Raw...)
		}
	}
	if string(want) != string(e.batches) && e.from >= c.w.kafka.topics["in"].partitions[part].start {
		c.w.failf("lane %s: the entry [%d, %d) does not hold what the source has there", lane, e.from, e.next)
	}
}

// appendedPart checks an entry of a lane that has the records of some keys alone.
func (c *checker) appendedPart(shard string, part int, e laneEntry) {
	source := c.w.kafka.topics["in"].partitions[part]
	if e.from < source.start {
		return
	}
	var want []byte
	for _, b := range source.batches {
		if b.BaseOffset < e.next && b.Next() > e.from && !b.Control() && !b.aborted {
			want = append(want, b.Raw...)
		}
	}
	texts := func(raw []byte, all bool) (ts []string) {
		var d record.Decoder
		for len(raw) > 0 {
			b, rest, err := record.ParseBatch(raw)
			if err == nil {
				err = d.Decode(&b, &record.Record{}, e.from, func(r *record.Record) {
					if n, _ := c.spread.Of(r); r.Offset < e.next && (all || strconv.Itoa(n) == shard) {
						ts = append(ts, fmt.Sprintf("%d at %d: %s", r.Offset, r.Timestamp, r.Value))
					}
				})
			}
			if err != nil {
				c.w.failf("lane in/%d of shard %s: %v", part, shard, err)
				return nil
			}
			raw = rest
		}
		return ts
	}
	if !slices.Equal(texts(e.batches, true), texts(want, false)) {
		c.w.failf("lane in/%d of shard %s: the entry [%d, %d) does not hold what the source has there for it", part, shard, e.from, e.next)
	}
}

type laneEntry struct {
	from, next int64
	batches    []byte
}

func entryOf(fields [][]byte) (e laneEntry) {
	for i := 0; i+1 < len(fields); i += 2 {
		switch string(fields[i]) {
		case "f":
			e.from = atoi(fields[i+1])
		case "n":
			e.next = atoi(fields[i+1])
		case "b":
			e.batches = fields[i+1]
		}
	}
	return e
}

// published checks a pipeline's mark: it is a checkpoint's that is committed.
func (c *checker) published(key string, fields [][]byte) {
	if !strings.HasSuffix(key, ":trim") {
		return
	}
	for i := 0; i+1 < len(fields); i += 2 {
		name, _, ok := strings.Cut(string(fields[i]), " ")
		if !ok {
			continue
		}
		c.w.count("position published")
		f := strings.Fields(string(fields[i+1]))
		at := atoi([]byte(f[4]))
		if at == 0 { // the journal begins with a mark
			c.w.failf("the position %s of %q is published without a checkpoint", f[0], fields[i])
		}
		found, committed := c.checkpoint(journalOf(name), at)
		if found && !committed {
			c.w.failf("the position %s of %q is published, whose checkpoint at offset %d of the journal is not committed", f[0], fields[i], at)
		}
	}
}

// checkpoint looks for one in the journal.
func (c *checker) checkpoint(journal string, at int64) (found, committed bool) {
	t := c.w.kafka.topics[journal]
	for _, p := range t.partitions {
		for i := range p.batches {
			b := &p.batches[i]
			if b.BaseOffset != at || !b.Transactional() || b.Control() {
				continue
			}
			found = true
			first, open := p.open[b.ProducerID]
			deciding := open && at >= first && c.committing(b.ProducerID)
			committed = committed || !b.aborted && (!open || at < first || deciding)
		}
	}
	return found, committed
}

func (c *checker) committing(id int64) bool {
	for _, t := range c.w.kafka.txns {
		if t.id == id {
			return t.state == "commit"
		}
	}
	return false
}

// read gathers the windows that are visible to a consumer that reads what is committed.
func (c *checker) read() []*output {
	if c.pipe.sink == "mongo" {
		return c.pipe.mongo.windows()
	}
	for _, p := range c.w.kafka.topics[c.pipe.out()].partitions {
		end := p.stable()
		for i := range p.batches {
			b := &p.batches[i]
			if b.BaseOffset < c.out[p.at] || b.BaseOffset >= end {
				continue
			}
			c.out[p.at] = b.Next()
			if b.Control() || b.aborted {
				continue
			}
			var d record.Decoder
			if err := d.Decode(&b.Batch, &record.Record{}, b.BaseOffset, func(r *record.Record) {
				o := &output{}
				if err := json.Unmarshal(r.Value, o); err != nil {
					c.w.failf("output that is no window: %v: %s", err, r.Value)
				}
				c.windows = append(c.windows, o)
			}); err != nil {
				panic(err)
			}
		}
	}
	return c.windows
}

// last are the settings that hold in the end.
func (c *checker) last() window.Settings { return c.pipe.settings[c.pipe.version] }

// wanted are the records that come in windows, in order, by shard and key ("" if there are none).
func (c *checker) wanted() map[string]map[string][]datum {
	all := map[string]map[string][]datum{}
	for _, part := range slices.Sorted(maps.Keys(c.written)) {
		for _, b := range c.written[part] {
			if b.state == aborted {
				continue
			}
			for _, d := range b.records {
				if c.last().Emitter == everyThird && d.V%2 != 0 {
					continue
				}
				shard, key := c.shardOf(d), c.keyOf(d)
				if all[shard] == nil {
					all[shard] = map[string][]datum{}
				}
				all[shard][key] = append(all[shard][key], d)
			}
		}
	}
	return all
}

// shardOf is the shard that a record belongs to.
func (c *checker) shardOf(d datum) string {
	switch {
	case d.P < 0:
		return "direct"
	case c.spread == nil:
		return "in/" + strconv.Itoa(d.P)
	}
	n, _ := c.spread.Of(&record.Record{Value: d.json()})
	return shard.Name(n)
}

// may is how many records of a shard and key may wait in the end.
func (c *checker) may() int {
	s := c.last()
	switch {
	case s.Emitter == everyThird:
		return 2
	case s.Emitter == emit.NameCount && s.Timeout == 0:
		return s.Size - 1
	case s.Emitter == emit.NameExpr:
		return exprSize(s) - 1
	}
	return 0
}

// complete reports whether everything that must come has come.
func (c *checker) complete() bool {
	if time.Since(c.looked) < 200*time.Millisecond {
		return false
	}
	c.looked = time.Now()
	return c.missing() == ""
}

// missing says what has not come yet.
func (c *checker) missing() string {
	if c.sequential() {
		return c.short()
	}
	seen := map[string]int{}
	have := map[datum]bool{}
	for _, o := range c.read() {
		for _, d := range o.Data {
			if !have[d] {
				have[d] = true
				seen[o.Shard+" "+c.keyOf(d)]++
			}
		}
	}
	var lacks []string
	for shard, keys := range c.wanted() {
		for key, ds := range keys {
			if n := len(ds) - seen[shard+" "+key]; n > c.may() {
				first := ds[slices.IndexFunc(ds, func(d datum) bool { return !have[d] })]
				lacks = append(lacks, fmt.Sprintf("of shard %s %s %d of %d records are missing, %d may wait; the first is %v", shard, key, n, len(ds), c.may(), first))
			}
		}
	}
	slices.Sort(lacks)
	return strings.Join(lacks, "; ")
}

func (c *checker) keyOf(d datum) string {
	if c.last().Key != "" {
		return d.K
	}
	return ""
}

// verify checks the output against what was written.
func (c *checker) verify() error {
	if m := c.missing(); m != "" {
		return errors.New(m)
	}
	if c.pipe.mongo.dead > 0 || c.w.kafka.topics[c.pipe.out()+".dead"] != nil {
		return errors.New("there are dead letters")
	}
	if c.pipe.sink == "at-least-once" {
		return nil // missing has said all
	}
	shards := map[string][]*output{}
	for _, o := range c.read() {
		shards[o.Shard] = append(shards[o.Shard], o)
	}
	wanted := c.wanted()
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		if wanted[shard] == nil {
			return fmt.Errorf("windows of a shard %s that is none", shard)
		}
		if err := c.shard(shards[shard], wanted[shard]); err != nil {
			return fmt.Errorf("shard %s: %w", shard, err)
		}
	}
	return nil
}

// shard checks a shard's windows: their numbers follow one another, each record is in them once and in order, and each
// window is one that its strategy makes.
func (c *checker) shard(ws []*output, wanted map[string][]datum) error {
	slices.SortStableFunc(ws, func(a, b *output) int { return int(a.Seq - b.Seq) })
	type lane struct { // of one key's records
		key  string
		part int
	}
	lanes := map[lane][]datum{}
	for key, ds := range wanted {
		for _, d := range ds {
			lanes[lane{key, d.P}] = append(lanes[lane{key, d.P}], d)
		}
	}
	if c.sequential() {
		return c.sequence(ws, wanted)
	}
	if c.last().Emitter == emit.NameSliding {
		return c.slides(ws, wanted)
	}
	timed := window.EventTimed(c.last().Emitter) // records of a lane are in windows in another order
	before := map[string]*output{}
	for i, o := range ws {
		if o.Seq != int64(i) {
			return fmt.Errorf("window %d has the number %d: %s", i, o.Seq, brief(o))
		}
		if o.Count != len(o.Data) || o.Count == 0 {
			return fmt.Errorf("a window of %d records that says %d", len(o.Data), o.Count)
		}
		key := keyIn(o)
		for _, d := range o.Data {
			l := lane{key, d.P}
			if timed { // it may be any of those to come
				if i := slices.Index(lanes[l], d); i >= 0 {
					lanes[l] = slices.Concat([]datum{d}, lanes[l][:i], lanes[l][i+1:])
				}
			}
			if len(lanes[l]) == 0 || lanes[l][0] != d {
				var want any = "none"
				if len(lanes[l]) > 0 {
					want = lanes[l][0]
				}
				return fmt.Errorf("%s: record %v where %v should be", brief(o), d, want)
			}
			lanes[l] = lanes[l][1:]
		}
		if len(c.pipe.settings) == 1 {
			if err := c.window(o, before[key], before[""]); err != nil {
				return err
			}
		}
		before[key] = o
	}
	return nil
}

// window checks one against its strategy.
func (c *checker) window(o, before, _ *output) error {
	s := c.last()
	n, step := len(o.Data), s.Interval.Milliseconds()
	ok := true
	switch s.Emitter {
	case emit.NameCount:
		ok = o.Reason == "count" && n == s.Size || o.Reason == "timeout" && s.Timeout > 0 && n < s.Size
	case emit.NameFixed:
		ok = o.Reason == "interval" && o.Start%step == 0 && o.End == o.Start+step && (before == nil || before.Start < o.Start)
	case emit.NameRelaxed:
		ok = o.Reason == "interval" && o.End%step == 0 && (before == nil || before.End <= o.Start)
		if s.Key == "" && before != nil {
			ok = ok && o.Start == before.End
		}
	case emit.NameTumbling:
		ok = o.Reason == "interval" && o.Start%step == 0 && o.End == o.Start+step && (before == nil || before.Start < o.Start) && c.happened(o)
	case emit.NameSession: // what comes behind a session that was emitted, and would have made it longer, is one of its own
		ok = (o.Reason == "gap" || o.Reason == "length" && s.MaxLength > 0) && o.End > o.Start && (before == nil || before.End < o.End) && c.happened(o) &&
			(s.MaxLength == 0 || o.End-o.Start <= s.MaxLength.Milliseconds())
	case emit.NameSample:
		ok = o.Reason == "interval" && o.Start%step == 0 && o.End == o.Start+step && n <= s.Size && (before == nil || before.Start < o.Start)
	case emit.NameExpr:
		ok = o.Reason == "ready" && n == exprSize(s)
	case everyThird:
		ok = o.Reason == "ready" && n == 3
	}
	if !ok {
		return fmt.Errorf("%s is no window of %s", brief(o), s.Emitter)
	}
	return nil
}

func brief(o *output) string {
	key := ""
	if o.Key != nil {
		key = " of key " + *o.Key
	}
	return fmt.Sprintf("window %d%s [%d, %d) closed by %s with %d records", o.Seq, key, o.Start, o.End, o.Reason, len(o.Data))
}

// traceLogger writes the product's log between the lines of the trace.
func traceLogger(w *world, name string) *zap.Logger {
	cfg := zap.NewDevelopmentEncoderConfig()
	cfg.TimeKey = ""
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(cfg), zapcore.AddSync(w.trace), zap.DebugLevel)).Named("             | " + name)
}
