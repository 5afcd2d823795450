package buffer

import "github.com/windrow-io/windrow/pkg/record"

// Entry is an entry of a lane. It aliases the Reader's memory.
//
// An Entry without Batches and Record is none that Redis holds: it says that the lane has nothing in [From, Next), for
// the records there belong to other shards or are no data. Its ID and Bytes are those of the entry before it, 0 if the
// Reader has seen none.
type Entry struct {
	Ms, Seq    int64 // its ID: Ms is the time of receipt, Unix milliseconds
	From, Next int64 // the positions it covers. Direct: its own position (Position(Ms, Seq)) and the one after
	Bytes      int64 // appended to the lane ever, before this entry
	Batches    []byte
	Record     *record.Record // direct lane: the record; Offset is the position
}

// End is what was appended to the lane ever, up to the end of this entry: the Bytes of a Mark behind it.
func (e *Entry) End() int64 {
	if e.Batches == nil {
		return e.Bytes
	}
	return e.Bytes + int64(len(e.Batches)) + entryCost
}

// LaneTurn is what one Read got from one lane.
type LaneTurn struct {
	Lane    string
	Entries []Entry
	Cut     bool  // there may be more: the read was cut off by its count
	Rescan  bool  // the entries come from the lane's start on, not from the group
	Tail    int64 // the lane's next source offset before the read; -1: the lane has no tail
	High    int64 // the source's high watermark, likewise
}

// Turn is what one Read got: every lane of the Reader, in the order they were given.
type Turn struct {
	Now   int64 // Redis's TIME before the read, Unix milliseconds
	Lanes []LaneTurn
}

// decodeEntry reads the fields of an entry of an ordinary lane; good is false if they are not those of one.
func decodeEntry(a *answers, fields int, e *Entry) (good bool, err error) {
	e.From, e.Next = -1, -1
	numbers := true
	for range fields / 2 {
		name, err := a.text()
		if err != nil {
			return false, err
		}
		value, err := a.text()
		if err != nil {
			return false, err
		}
		ok := true
		switch string(name) {
		case fieldBatches:
			e.Batches = value
		case fieldFrom:
			e.From, ok = number(value)
		case fieldNext:
			e.Next, ok = number(value)
		case fieldBefore:
			e.Bytes, ok = number(value)
		}
		numbers = numbers && ok
	}
	return numbers && len(e.Batches) > 0 && 0 <= e.From && e.From < e.Next, nil
}
