package process

import (
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/journal"
)

// A checkpoint, too, is a commit: a worker that loses the shard after it waits no longer than one that lost it for the first
// time.
func TestACheckpointSettles(t *testing.T) {
	o := &owner{w: &Worker{}, jobs: []*job{{point: &journal.Checkpoint{}}}, checkpoints: 1}
	if o.settled {
		t.Fatal("settled before anything was committed")
	}
	if o.finished(); !o.settled || o.checkpoints != 0 {
		t.Errorf("after a checkpoint: settled %v, %d checkpoints under way", o.settled, o.checkpoints)
	}
}

// Whoever looks, the same settings hold: those of the worker that started last, and one of them if several did.
func TestOneSettingsHold(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000)
	member := func(later int, settings, name string) string {
		return newMember(at.Add(time.Duration(later)*time.Millisecond), []byte(settings), name)
	}
	for _, c := range []struct {
		name string
		live []string
		want []int // each one's part of four shards
	}{
		{"the later one", []string{member(0, "a", "w1"), member(1, "b", "w2")}, []int{0, 4}},
		{"the later one, though others are more", []string{member(0, "a", "w1"), member(0, "a", "w2"), member(1, "b", "w3")}, []int{0, 0, 4}},
		{"of two that started at once, one", []string{member(0, "a", "w1"), member(0, "b", "w2")}, nil},
		{"equal settings share", []string{member(0, "a", "w1"), member(1, "a", "w2")}, []int{2, 2}},
		{"to within one", []string{member(0, "a", "w1"), member(1, "a", "w0"), member(2, "a", "w2")}, []int{2, 1, 1}},
		{"those that came first have one more", []string{member(5, "a", "w1"), member(1, "a", "w0"), member(2, "a", "w2")}, []int{1, 2, 1}},
		{"more workers than shards", []string{member(0, "a", "w1"), member(1, "a", "w2"), member(2, "a", "w3"), member(3, "a", "w4"), member(4, "a", "w5")}, []int{1, 1, 1, 1, 0}},
	} {
		var parts []int
		holds := 0
		for _, m := range c.live {
			p := (&Worker{member: m}).part(4, c.live)
			parts = append(parts, p)
			if p > 0 {
				holds++
			}
		}
		if c.want == nil {
			if holds != 1 {
				t.Errorf("%s: parts %v", c.name, parts)
			}
			continue
		}
		for i := range parts {
			if parts[i] != c.want[i] {
				t.Errorf("%s: parts %v, want %v", c.name, parts, c.want)
				break
			}
		}
	}
}
