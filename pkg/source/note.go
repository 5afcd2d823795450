package source

import (
	"encoding/json"
	"maps"
	"slices"
)

// Note is what ingest keeps in the metadata of an offset that it commits: of the lane, what Redis may lose.
type Note struct {
	Epoch  int           `json:"epoch,omitempty"`  // the lane's
	Topic  string        `json:"topic,omitempty"`  // the id of the topic it belongs to
	Starts map[int]int64 `json:"starts,omitempty"` // where the last epochs after the first began: before that, a lane never had a record
}

// maxStarts bounds the epochs in a Note: Kafka takes 4,096 bytes.
const maxStarts = 32

// NoteOf reads the metadata of a commit; what another program wrote there is no note.
func NoteOf(c Committed) (n Note) {
	_ = json.Unmarshal([]byte(c.Metadata), &n)
	return n
}

func (n Note) String() string {
	b, _ := json.Marshal(n) // of numbers and a string
	return string(b)
}

// WithStart is Starts with an epoch more.
func (n Note) WithStart(epoch int, offset int64) map[int]int64 {
	starts := maps.Clone(n.Starts)
	if epoch == 0 {
		return starts
	}
	if starts == nil {
		starts = map[int]int64{}
	}
	starts[epoch] = offset
	for len(starts) > maxStarts {
		delete(starts, slices.Min(slices.Collect(maps.Keys(starts))))
	}
	return starts
}
