package window

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
)

// Window is what an emitter emits. It and all it refers to are valid only during the call that hands it over; Clone
// makes one that lasts.
type Window struct {
	Stream, Pipeline, Shard string
	Emitter                 string
	Reason                  emit.Reason
	Keyed                   bool   // whether Key means something
	Key                     []byte // of WINDOW_KEY
	Seq                     int64  // number within the shard, from 0
	Updates                 bool   // it may be emitted more than once: Revision and Final mean something
	Revision                int64  // how often it was emitted before
	Final                   bool   // it is not emitted again
	Start, End              int64  // Unix milliseconds; [Start, End) for time windows, least and greatest record timestamp else
	Records                 []record.Record
	Aggregate               bool     // Records is one record, whose value is a JSON object: what AGGREGATE made of the window
	Folded                  int      // how many records that was, then
	Result                  []byte   // what the handler made of the window: replaces the default output when not nil
	born                    [2]int64 // Start and End when it was emitted first
	Letter                  string   // the id of the dead letter that it comes again from; empty: it comes for the first time
}

// ID is the window's identity, 32 hexadecimal digits: the same after any replay, distinct from every other window of any
// pipeline. part numbers the pieces of a window that was split for its size, from 0. A window that comes again from the
// dead letters has the id that it had, and all revisions of a window have the same.
func (w *Window) ID(part int) string {
	if w.Letter != "" {
		id, _ := w.died()
		if part == 0 {
			return id
		}
		sum := sha256.Sum256(binary.AppendVarint([]byte(id), int64(part)))
		return hex.EncodeToString(sum[:16])
	}
	var memory [512]byte
	version, start, end := byte(idVersion), w.Start, w.End
	if w.Updates {
		version, start, end = idOfUpdates, w.born[0], w.born[1]
	}
	p := append(memory[:0], version)
	p = appendText(p, w.Stream)
	p = appendText(p, w.Pipeline)
	p = appendText(p, w.Shard)
	if w.Keyed {
		p = append(p, 1)
		p = appendText(p, w.Key)
	} else {
		p = append(p, 0)
	}
	p = binary.AppendVarint(p, start)
	p = binary.AppendVarint(p, end)
	p = binary.AppendVarint(p, w.Seq)
	if !w.Updates { // else all further revisions have the same id
		p = binary.AppendUvarint(p, uint64(w.Count()))
		if n := len(w.Records); n > 0 && !w.Aggregate {
			p = appendPlace(p, &w.Records[0])
			p = appendPlace(p, &w.Records[n-1])
		}
		p = binary.AppendUvarint(p, firing)
	}
	p = binary.AppendVarint(p, int64(part))
	sum := sha256.Sum256(p)
	return hex.EncodeToString(sum[:16])
}

// Count is the number of the window's records, whether they are in it or their aggregate is.
func (w *Window) Count() int {
	if w.Aggregate {
		return w.Folded
	}
	return len(w.Records)
}

// RevisionID is the identity of the window as it is handed over now: ID, and after a dot the number of the revision, if it
// is not the first one.
func (w *Window) RevisionID(part int) string {
	id := w.ID(part)
	if w.Revision > 0 {
		id += "." + strconv.FormatInt(w.Revision, 10)
	}
	return id
}

// LetterID is the identity of the window's dead letter: RevisionID, and after a # how often it was a dead letter before, if
// it was.
func (w *Window) LetterID(part int) string {
	if w.Letter == "" {
		return w.RevisionID(part)
	}
	_, n := w.died()
	return w.RevisionID(part) + "#" + strconv.Itoa(n+1)
}

// died is the window's id, and how often it had been a dead letter before the one that it comes from.
func (w *Window) died() (id string, before int) {
	id, text, _ := strings.Cut(w.Letter, "#")
	before, _ = strconv.Atoi(text)
	id, _, _ = strings.Cut(id, ".")
	return id, before
}

const (
	idVersion   = 1 // of what ID hashes: changing it changes every window's identity
	idOfUpdates = 2 // likewise, of windows that may be emitted more than once
	firing      = 0 // of a window that is emitted once
)

func appendText[T string | []byte](p []byte, s T) []byte {
	return append(binary.AppendUvarint(p, uint64(len(s))), s...)
}

func appendPlace(p []byte, r *record.Record) []byte {
	p = appendText(p, r.Topic)
	p = binary.AppendVarint(p, int64(r.Partition))
	return binary.AppendVarint(p, r.Offset)
}

// Clone returns a copy of w that owns its memory.
func (w *Window) Clone() *Window {
	c := *w
	c.Key = slices.Clone(w.Key)
	c.Result = slices.Clone(w.Result)
	if w.Records == nil {
		return &c
	}
	size := 0
	for i := range w.Records {
		size += w.Records[i].Size()
	}
	arena := make([]byte, 0, size)
	c.Records = make([]record.Record, len(w.Records))
	for i := range w.Records {
		c.Records[i], arena = w.Records[i].CopyTo(arena)
	}
	return &c
}

// Out takes what a Step gives, in order. What it is handed is valid during the call only.
type Out interface {
	Window(w *Window)
	// Reject takes a record that can't be processed under the settings (no JSON where WINDOW_KEY needs it): a dead letter.
	Reject(r *record.Record, reason error)
}
