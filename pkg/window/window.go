// Package window is the shard's state machine: it takes records and decisions in, keeps what waits, and gives windows out.
//
// A Machine is deterministic and pure: no clock, no I/O, no goroutine, no map order. The same snapshot, decisions and
// records give the same windows, byte for byte, however the records are cut into buffer entries.
package window

import (
	"iter"
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
)

// Settings are what a pipeline's windows depend on. They are stored with every checkpoint, as JSON: a replay runs under
// the settings its decisions were made with.
type Settings struct {
	Stream        string        `json:"stream"`
	Pipeline      string        `json:"pipeline"`
	Emitter       string        `json:"emitter"`                 // count, fixed, relaxed, or a registered name
	Size          int           `json:"size,omitempty"`          // WINDOW_SIZE: records
	Interval      time.Duration `json:"interval,omitempty"`      // WINDOW_INTERVAL
	Timeout       time.Duration `json:"timeout,omitempty"`       // WINDOW_TIMEOUT
	Key           string        `json:"key,omitempty"`           // WINDOW_KEY: a field reference; windows per key
	EmitEmpty     bool          `json:"emitEmpty,omitempty"`     // EMIT_EMPTY
	StateMaxBytes int64         `json:"stateMaxBytes,omitempty"` // STATE_MAX_BYTES; 0: no bound
}

// Window is what an emitter emits. It and all it refers to are valid only during the call that hands it over; Clone
// makes one that lasts.
type Window struct {
	Stream, Pipeline, Shard string
	Emitter                 string
	Reason                  emit.Reason
	Keyed                   bool   // whether Key means something
	Key                     []byte // of WINDOW_KEY
	Seq                     int64  // number within the shard, from 0
	Start, End              int64  // Unix milliseconds; [Start, End) for time windows, least and greatest record timestamp else
	Records                 []record.Record
	Result                  []byte // what the handler made of the window: replaces the default output when not nil
}

// ID is the window's identity: the same after any replay, distinct from every other window of any pipeline. part numbers
// the pieces of a window that was split for its size, from 0.
func (w *Window) ID(part int) string { panic("not built yet") }

// Clone returns a copy of w that owns its memory.
func (w *Window) Clone() *Window { panic("not built yet") }

// Out takes what a Step gives, in order. What it is handed is valid during the call only.
type Out interface {
	Window(w *Window)
	// Reject takes a record that can't be processed under the settings (no JSON where WINDOW_KEY needs it): a dead letter.
	Reject(r *record.Record, reason error)
}

// Machine is the state of one shard.
type Machine struct{ s Settings }

// New makes the machine of a shard that has seen nothing. The error says which setting is wrong and how to put it right.
func New(s Settings, shard string) (*Machine, error) { panic("not built yet") }

// Restore makes a machine from a Snapshot taken under the same settings.
func Restore(s Settings, shard string, snapshot []byte) (*Machine, error) { panic("not built yet") }

// NeedsReceived reports whether records must carry their time of receipt, and `now` must be a bound below which no
// further record can have been received.
func (m *Machine) NeedsReceived() bool { panic("not built yet") }

// NeedsTurns reports whether windows depend on which records came in which Step. If not, Steps that gave nothing may be
// merged into the next one, as one Step with the later now and all the records.
func (m *Machine) NeedsTurns() bool { panic("not built yet") }

// Step takes one decision: at the time now (Unix milliseconds, never before the last one) these records were read. The
// records are valid until Step returns; what must wait is copied. It returns the number of calls of out.
func (m *Machine) Step(now int64, records iter.Seq[*record.Record], out Out) int {
	panic("not built yet")
}

// Deadline is the next moment at which time alone changes anything, in Unix milliseconds; 0: never.
func (m *Machine) Deadline() int64 { panic("not built yet") }

// Snapshot appends the machine's state to dst.
func (m *Machine) Snapshot(dst []byte) []byte { panic("not built yet") }

// Change ends the machine under its old settings and makes the one under new ones: waiting records go to the new emitter
// as if just read at now; what can't be carried over is emitted to out with the reason Changed.
func (m *Machine) Change(to Settings, now int64, out Out) (*Machine, error) { panic("not built yet") }

// Bytes is the memory of the records that wait, in bytes; Waiting is their number; Keys the number of keys with state.
func (m *Machine) Bytes() int64 { panic("not built yet") }

// Waiting is the number of records that wait.
func (m *Machine) Waiting() int { panic("not built yet") }

// Keys is the number of keys that hold state.
func (m *Machine) Keys() int { panic("not built yet") }
