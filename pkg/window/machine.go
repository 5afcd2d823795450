package window

import (
	"fmt"
	"math"

	"github.com/windrow-io/windrow/pkg/emit"
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
	keyRef   field.Ref
	keyed    bool
	limit    int64  // bytes that may wait
	print    uint64 // of settings and shard

	// The state.
	begun   bool    // the first Step is over: last means something
	now     int64   // of the last Step
	last    int64   // end of the last interval that was closed
	seq     int64   // number of the next window
	backlog backlog // what waited when the settings were changed
	queues  map[string]*queue
	waiting list   // the queues in which records wait
	due     agenda // those of them that time will close
	order   uint64 // number of the next queue to begin
	records int    // in the queues, as of the last Step
	bytes   int64  // of the records, and of the queues
	arena   arena

	// What a Step works with.
	out     Out
	at      int64 // its now
	bound   int64 // records count as received no earlier
	calls   int   // of out
	empties int   // windows without records that it may still give
	from    int64 // the interval that the last record was received in; 0 where that doesn't matter
	to      int64
	current *queue   // without key: the queue that the last record went to
	touched []*queue // those that got records; nil where the queue is no more
	spare   []*queue // to be used again
	room    int      // for records, in spare
	// Memory used again and again.
	window Window
	name   []byte
	key    []byte
	picked []record.Record
	marks  []bool
	joinFn func(*record.Record) bool
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
	m := &Machine{s: s, shard: shard, strategy: s.strategy(), queues: map[string]*queue{}}
	m.traits = m.strategy.Traits()
	if s.Key != "" {
		key, err := field.Parse(s.Key)
		if err != nil {
			return nil, fmt.Errorf("WINDOW_KEY=%s: %w", s.Key, err)
		}
		m.keyRef, m.keyed = key, true
	}
	var err error
	if m.print, err = s.fingerprint(shard); err != nil {
		return nil, err
	}
	if m.limit = s.StateMaxBytes; m.limit == 0 {
		m.limit = math.MaxInt64
	}
	m.joinFn = m.join
	m.window = Window{Stream: s.Stream, Pipeline: s.Pipeline, Shard: shard, Emitter: s.Emitter, Keyed: m.keyed}
	return m, nil
}

// NeedsReceived reports whether records must carry their time of receipt, and `now` must be a bound below which no
// further record can have been received.
func (m *Machine) NeedsReceived() bool { return m.traits.Received }

// NeedsTurns reports whether windows depend on which records came in which Step. If not, Steps that gave nothing may be
// merged into the next one, as one Step with the later now and all the records, in the order in which those Steps had
// them.
func (m *Machine) NeedsTurns() bool { return m.traits.Turns }

// Bytes is the memory of what waits, in bytes: keys, values, headers, and a flat rate for each record and key.
func (m *Machine) Bytes() int64 { return m.bytes + m.backlog.bytes }

// Waiting is the number of records that wait.
func (m *Machine) Waiting() int { return m.records + len(m.backlog.records) }

// Keys is the number of keys that hold state; a key counts again for each interval in which its records wait. Without
// WINDOW_KEY it is 0.
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
	var deadline int64
	if q := m.due.first(); q != nil {
		deadline = q.Due
	}
	if m.begun && m.s.EmitEmpty {
		if _, end := m.strategy.Span(m.last); deadline == 0 || end < deadline {
			deadline = end
		}
	}
	return deadline
}
