package ops

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Heartbeats are the loops that must turn for the program to count as alive. The zero value is ready: no loops. Safe for
// concurrent use.
type Heartbeats struct {
	mu    sync.Mutex
	beats []*Heartbeat
}

// Heartbeat belongs to one loop. Safe for concurrent use.
type Heartbeat struct {
	name  string
	limit time.Duration
	of    *Heartbeats
	last  atomic.Int64 // since epoch
}

// epoch makes the beats monotonic: a step of the wall clock must not look like silence.
var epoch = time.Now()

// Start adds a loop that beats at least once per limit, or counts as stuck. The limit is to be well above the longest
// wait that the loop may do in one turn. The loop calls Stop when it ends.
func (h *Heartbeats) Start(name string, limit time.Duration) *Heartbeat {
	b := &Heartbeat{name: name, limit: limit, of: h}
	b.Beat()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.beats = append(h.beats, b)
	return b
}

// Beat says that the loop moved. It costs one clock reading.
func (b *Heartbeat) Beat() { b.last.Store(int64(time.Since(epoch))) }

// Stop says that the loop has ended and will not beat any more.
func (b *Heartbeat) Stop() {
	b.of.mu.Lock()
	defer b.of.mu.Unlock()
	b.of.beats = slices.DeleteFunc(b.of.beats, func(o *Heartbeat) bool { return o == b })
}

// Check returns an error that names the loops that are stuck, and nil if none is.
func (h *Heartbeats) Check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var stuck []string
	for _, b := range h.beats {
		if silent := time.Since(epoch) - time.Duration(b.last.Load()); silent > b.limit {
			stuck = append(stuck, fmt.Sprintf("%s has not moved for %v (allowed are %v)", b.name, silent.Round(time.Millisecond), b.limit))
		}
	}
	if len(stuck) == 0 {
		return nil
	}
	return fmt.Errorf("stuck: %s", strings.Join(stuck, "; "))
}
