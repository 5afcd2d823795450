package source

import (
	"math"
	"testing"
)

// However often a lane begins anew, its note fits where Kafka keeps it, and knows the last epochs.
func TestNote(t *testing.T) {
	var n Note
	for epoch := range 1000 {
		n = Note{Epoch: epoch, Topic: ID{1}.String(), Starts: n.WithStart(epoch, math.MaxInt64-int64(epoch))}
		text := n.String()
		if len(text) > 4096 {
			t.Fatalf("epoch %d: %d bytes", epoch, len(text))
		}
		back := NoteOf(Committed{Metadata: text})
		if back.Epoch != epoch || back.Topic != n.Topic || epoch > 0 && back.Starts[epoch] != math.MaxInt64-int64(epoch) || len(back.Starts) != min(epoch, maxStarts) {
			t.Fatalf("%s is read as %+v", text, back)
		}
	}
	if n := NoteOf(Committed{Metadata: "another program's"}); n.Epoch != 0 || n.Topic != "" || n.Starts != nil {
		t.Errorf("another program's is read as %+v", n)
	}
}
