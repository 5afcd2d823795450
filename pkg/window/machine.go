package window

import (
	"fmt"
	"math"

	"github.com/windrow-io/windrow/pkg/aggregate"
	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/expression"
	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/record"
)

const (
	// maxEmpty bounds the empty windows of one Step: after a long downtime the rest comes with the Steps that follow at
	// once, so that what a Step gives stays small.
	maxEmpty = 1024
	// Queues are used again; these bound the memory that spare ones hold.
	maxSpare        = 1024     // queues
	maxSpareRecords = 64 << 10 // room for records in all of them
)

// Machine is the state of one shard. It is not safe for concurrent use.
type Machine struct {
	s        Settings
	shard    string
	strategy emit.Strategy
	traits   emit.Traits
	placed   bool            // records are placed in intervals, by their time of receipt or by their event time
	merger   emit.Merger     // the strategy, if its intervals come from the records; else nil
	grid     bool            // records are placed in intervals that are there beforehand
	plan     *aggregate.Plan // AGGREGATE; nil: records are kept and emitted
	folds    bool            // records are folded as they come
	stays    bool            // a queue whose window closed early stays, empty, until its interval is over
	spanless bool            // the strategy has no intervals: windows span their records' timestamps
	scanner  *field.Scanner  // of what is read out of values
	keyRef   field.Ref
	keyed    bool
	clock    *field.Clock // of event time
	ownTime  *field.Clock // of the records' own timestamps
	filter   *expression.Single
	mapping  *expression.Single
	sorter   *order
	limit    int64  // bytes that may wait
	lateness int64  // ALLOWED_LATENESS, milliseconds
	early    int64  // EMIT_EARLY, milliseconds; 0: never
	updates  bool   // windows may be emitted more than once
	print    uint64 // of settings and shard

	// The state.
	begun   bool    // last means something
	now     int64   // of the last Step
	last    int64   // end of the last interval that was closed
	seq     int64   // number of the next window
	backlog backlog // what waited when the settings were changed
	queues  map[string]*queue
	later   map[*queue]*queue // sessions: the next one of the same key; queues has the first
	waiting fifo              // the queues in which records wait
	due     agenda            // those of them that time will close
	order   uint64            // number of the next queue to begin
	records int               // in the queues, as of the last Step
	bytes   int64             // of the records, and of the queues
	arena   arena
	states  *aggregate.States
	mark    watermark // of event time
	dedupe  *dedupe   // nil: records may come again
	recent  *recency  // nil: keys are not bounded
	counts  Counts
	// editions are of the windows that were emitted and may be again.
	editions map[*queue]edition

	// What a Step works with.
	out      Out
	at       int64          // its now
	looked   int64          // the time, as it decides on what is due, after the Step before
	bound    int64          // records count as received no earlier
	original *record.Record // what is taken in, before MAP
	calls    int            // of out
	pardon   bool           // what comes has waited before, and is not late
	empties  int            // windows without records that it may still give
	from     int64          // the interval that the last record was received in; 0 where that doesn't matter
	to       int64
	moment   int64    // when the record at hand happened, if the strategy goes by that
	current  *queue   // without key: the queue that the last record went to
	touched  []*queue // those that got records; nil where the queue is no more
	revised  []*queue // those that got late records; some may be no more, or used again
	issuing  *queue   // the one whose window is handed over; nil: of none
	final    bool     // … for the last time
	spare    []*queue // to be used again
	room     int      // for records, in spare
	// Memory used again and again.
	window  Window
	name    []byte
	key     []byte
	picked  []record.Record
	marks   []bool
	summary []byte
	one     [1]record.Record
	none    emit.Queue // what is shown of a queue that doesn't exist yet
	joinFn  func(*record.Record) bool
}

// backlog are records that a change of settings left to the next Step, which takes them in as if just read.
type backlog struct {
	records []record.Record
	bytes   int64
}

// New makes the machine of a shard that has seen nothing. The error says which settings are wrong and how to put them
// right.
func New(s Settings, shard string) (*Machine, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	m := &Machine{s: s, shard: shard, strategy: s.strategy(), queues: map[string]*queue{}, later: map[*queue]*queue{}, final: true}
	m.traits = m.strategy.Traits()
	m.stays = s.EmitEmpty || m.traits.Stays
	m.placed = m.traits.Received || m.traits.Event
	m.merger, _ = m.strategy.(emit.Merger)
	m.grid = m.placed && m.merger == nil
	if s.Key != "" {
		key, err := field.Parse(s.Key)
		if err != nil {
			return nil, fmt.Errorf("WINDOW_KEY=%s: %w", s.Key, err)
		}
		m.keyRef, m.keyed = key, true
	}
	var err error
	if m.traits.Event {
		if m.clock, err = s.clock(s.EventTime); err != nil {
			return nil, err
		}
		if m.ownTime, err = s.clock(""); err != nil {
			return nil, err
		}
		m.mark = watermark{
			delay: s.WatermarkDelay.Milliseconds(), idle: s.WatermarkIdle.Milliseconds(), future: s.MaxFuture.Milliseconds(), value: never, hold: -1,
		}
	}
	if m.print, err = s.fingerprint(shard); err != nil {
		return nil, err
	}
	if m.limit = s.StateMaxBytes; m.limit == 0 {
		m.limit = math.MaxInt64
	}
	m.lateness, m.early = s.AllowedLateness.Milliseconds(), s.EmitEarly.Milliseconds()
	if m.updates = s.Updates(); m.updates {
		m.editions = map[*queue]edition{}
	}
	m.joinFn = m.join
	switch {
	case m.merger != nil:
		m.joinFn = m.joinAt(m.placeSession)
	case m.traits.Event:
		m.joinFn = m.joinAt(m.place)
	}
	if s.Dedupe != "" {
		if m.dedupe, err = newDedupe(s); err != nil {
			return nil, fmt.Errorf("DEDUPE=%s: %w", s.Dedupe, err)
		}
		if !m.traits.Event {
			m.joinFn = m.unique(m.joinFn)
		}
	}
	if s.OrderBy != "" {
		if m.sorter, err = parseOrder(s.OrderBy); err != nil {
			return nil, fmt.Errorf("ORDER_BY=%s: %w", s.OrderBy, err)
		}
	}
	if s.MaxKeys > 0 || s.KeyTimeout > 0 {
		m.recent = newRecency()
	}
	if s.Aggregate != "" {
		if m.plan, err = aggregate.Parse(s.Aggregate); err != nil {
			return nil, fmt.Errorf("AGGREGATE: %w", err)
		}
		m.states = m.plan.NewStates()
		start, end := m.strategy.Span(0)
		m.spanless = start == end && !m.traits.Stays
		if m.folds = !m.traits.Asked && !m.traits.Looks; m.folds {
			m.joinFn = m.read(m.joinFn)
		}
	}
	m.scan()
	if s.Filter != "" {
		if m.filter, err = expression.NewFilter(s.Filter); err != nil {
			return nil, fmt.Errorf("FILTER: %w", err)
		}
	}
	if s.Map != "" {
		if m.mapping, err = expression.NewMap(s.Map); err != nil {
			return nil, fmt.Errorf("MAP: %w", err)
		}
	}
	if m.filter != nil || m.mapping != nil {
		m.joinFn = m.admit(m.joinFn)
	}
	m.window = Window{Stream: s.Stream, Pipeline: s.Pipeline, Shard: shard, Emitter: s.Emitter, Keyed: m.keyed, Aggregate: m.plan != nil, Updates: m.updates}
	return m, nil
}

// scan has all that is read out of a record's value looked for at once.
func (m *Machine) scan() {
	m.scanner = &field.Scanner{}
	if m.keyed {
		m.keyRef = m.scanner.Bind(m.keyRef)
	}
	if m.clock != nil {
		m.clock.Bind(m.scanner)
	}
	if m.dedupe != nil {
		m.dedupe.ref = m.scanner.Bind(m.dedupe.ref)
	}
	if m.folds {
		m.plan.Bind(m.scanner)
	}
	if !m.scanner.Bound() {
		return
	}
	join := m.joinFn
	m.joinFn = func(r *record.Record) bool {
		m.scanner.Next(r.Value)
		return join(r)
	}
}

// NeedsReceived reports whether records must carry their time of receipt, and `now` must be a bound below which no
// further record can have been received.
func (m *Machine) NeedsReceived() bool { return m.traits.Received }

// NeedsLanes reports whether the machine must be told about the lanes before each Step (Lanes).
func (m *Machine) NeedsLanes() bool { return m.traits.Event }

// Lanes says what is known of all the shard's lanes at the next Step: the watermark of event time follows from it. Like the
// records it is part of the decision, and must be the same in a replay. A lane that is never told of counts as read to its
// end.
func (m *Machine) Lanes(lanes []Lane) { m.mark.set(lanes) }

// Watermark is the event time reached, in Unix milliseconds; ok is false as long as there is none, or no event time.
func (m *Machine) Watermark() (ms int64, ok bool) {
	return m.mark.value, m.traits.Event && m.mark.value != never
}

// Counts are numbers of records since the machine was made or restored, for metrics. Of a record that is not in a window
// and does not wait, one of these tells, or Out.Reject has.
type Counts struct {
	Late    int64 // came after their windows were closed, whatever became of them
	Dropped int64 // … and were dropped
	Future  int64 // were too far ahead of time to move the watermark
	Skipped int64 // lacked a field, or had one of a wrong type, and were skipped
	Nulled  int64 // … and were taken without it

	Duplicate int64 // came again (DEDUPE)
	Forgotten int64 // had values that DEDUPE forgot for DEDUPE_MAX, before their time

	Filtered int64 // were not wanted (FILTER)
	Unwanted int64 // were not wanted (the emitter)
}

// Counts returns what was counted.
func (m *Machine) Counts() Counts { return m.counts }

// NeedsTurns reports whether windows depend on which records came in which Step. If not, Steps that gave nothing may be
// merged into the next one, as one Step with the later now and all the records, in the order in which those Steps had
// them.
func (m *Machine) NeedsTurns() bool {
	return m.traits.Turns || m.dedupe != nil || m.s.KeyTimeout > 0
}

// Bytes is the memory of what waits, in bytes: keys, values, headers, and a flat rate for each record and key; and of what
// DEDUPE remembers, which does not count towards STATE_MAX_BYTES.
func (m *Machine) Bytes() int64 {
	n := m.bytes + m.backlog.bytes
	if m.dedupe != nil {
		n += int64(m.dedupe.len()) * dedupeCost
	}
	return n
}

// Waiting is the number of records that wait; one that is in several windows counts for each.
func (m *Machine) Waiting() int { return m.records + len(m.backlog.records) }

// Keys is the number of keys that hold state; a key counts again for each interval in which its records wait, but for
// sessions. Without WINDOW_KEY it is 0.
func (m *Machine) Keys() int {
	if !m.keyed {
		return 0
	}
	return len(m.queues)
}

// Deadline is the next moment at which time alone changes anything, in Unix milliseconds; 0: never.
func (m *Machine) Deadline() int64 {
	if len(m.backlog.records) > 0 {
		return max(m.now, 1)
	}
	deadline := m.previews()
	sooner := func(at int64) {
		if at > 0 && (deadline == 0 || at < deadline) {
			deadline = at
		}
	}
	if q := m.due.first(); q != nil {
		sooner(m.reached(q.Due))
	}
	if _, since := m.idle(m.now); since > 0 {
		sooner(since)
	}
	if m.begun && m.s.EmitEmpty {
		_, end := m.strategy.Span(m.last)
		sooner(m.reached(end))
	}
	return deadline
}

// reached is when time alone comes to the moment by what decides on what is due, see time; 0: it does not.
func (m *Machine) reached(moment int64) int64 {
	if m.traits.Event {
		return m.mark.reaches(moment)
	}
	return moment
}
