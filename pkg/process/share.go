package process

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// slot is a shard that this worker holds.
type slot struct {
	shard   string
	cancel  context.CancelFunc // at once: the lease is lost
	stop    chan struct{}      // closed: gracefully
	end     chan struct{}      // closed: the run's goal is reached for the shard
	endOnce sync.Once
	stopped bool
	settled bool             // something was committed since the lease was taken
	missed  map[string]piece // by lane: what an owner before found to be gone; the owner's

	mu    sync.Mutex
	lanes []string
	more  chan struct{} // there are lanes not seen yet
}

func (s *slot) known() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lanes)
}

func (s *slot) learn(lanes []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(lanes) <= len(s.lanes) {
		return
	}
	s.lanes = slices.Clone(lanes)
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// finish has the shard's owner come to an end: it emits what is due, or all that waits, and stops.
func (s *slot) finish() { s.endOnce.Do(func() { close(s.end) }) }

func (s *slot) release() {
	if !s.stopped {
		s.stopped = true
		close(s.stop)
	}
}

// ended is how the work on a shard ended.
type ended struct {
	slot *slot
	err  error
}

// share takes and gives back shards, so that each live worker has its part, until stop is closed or ctx ends.
func (w *Worker) share(ctx context.Context, stop <-chan struct{}) error {
	tick := time.NewTicker(max(w.o.LeaseTTL/6, 20*time.Millisecond))
	defer tick.Stop()
	over := make(chan ended)
	held := map[string]*slot{}
	shy := map[string]*shyness{} // shards lost to others: when to try again
	due := true                  // a round is
	for {
		select { // before a round, which would count what has ended, or take more
		case e := <-over:
			w.drop(ctx, held, shy, e)
			continue
		case <-stop:
			due = false
		default:
		}
		if stop == nil && len(held) == 0 {
			return nil
		}
		if due {
			due = false
			w.balance(ctx, held, shy, over)
		}
		select {
		case <-tick.C:
			due = stop != nil
		case e := <-over:
			w.drop(ctx, held, shy, e)
		case <-stop:
			stop = nil
			w.log.Info("stopping: finishing transactions and giving the shards back", zap.Int("shards", len(held)))
			for _, s := range held {
				s.release()
			}
		case <-ctx.Done():
			for range len(held) {
				<-over
			}
			return ctx.Err()
		}
	}
}

// shyness keeps a worker from fighting for a shard: it waits a lease's time after losing it before its first commit,
// and twice as long each further time.
type shyness struct {
	until time.Time
	next  time.Duration
}

func (w *Worker) drop(ctx context.Context, held map[string]*slot, shy map[string]*shyness, e ended) {
	delete(held, e.slot.shard)
	w.mu.Lock()
	delete(w.slots, e.slot.shard)
	w.mu.Unlock()
	w.positions.forget(e.slot.shard)
	forget(e.slot.shard)
	w.o.Conditions.Set("shard "+e.slot.shard, nil)
	shardsHeld.Set(float64(len(held)))
	if f := (*finished)(nil); errors.As(e.err, &f) {
		w.goal.done(e.slot.shard, Summary{Waiting: f.waiting})
	}
	if errors.Is(e.err, errStopped) {
		if err := w.o.Buffer.ReleaseLease(ctx, w.o.Settings.Pipeline, e.slot.shard, w.o.Name); err != nil {
			w.log.Warn("could not give the lease back; it expires by itself", zap.String("shard", e.slot.shard), zap.Error(err))
		}
		w.log.Info("gave the shard back", zap.String("shard", e.slot.shard))
		return
	}
	if ctx.Err() != nil {
		return
	}
	w.log.Warn("lost the shard to another worker", zap.String("shard", e.slot.shard), zap.Error(e.err))
	s := shy[e.slot.shard]
	if s == nil || e.slot.settled {
		s = &shyness{next: w.o.LeaseTTL}
		shy[e.slot.shard] = s
	}
	s.until = time.Now().Add(s.next)
	s.next = min(2*s.next, time.Minute)
}

// balance does one round: heartbeat, registry, then take what is free up to this worker's part, or give back what is over.
func (w *Worker) balance(ctx context.Context, held map[string]*slot, shy map[string]*shyness, over chan<- ended) {
	err := w.round(ctx, held, shy, over)
	w.alive()
	if ctx.Err() == nil {
		w.o.Conditions.Set("redis", err)
	}
	if err != nil {
		w.log.Warn("could not look at the shards", zap.Error(err))
	}
}

func (w *Worker) round(ctx context.Context, held map[string]*slot, shy map[string]*shyness, over chan<- ended) error {
	ctx2, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	live, shards, err := w.o.Buffer.Round(ctx2, w.o.Settings.Pipeline, w.member, w.o.LeaseTTL)
	if err != nil {
		return err
	}
	for name, s := range held {
		if lanes, ok := shards[name]; ok {
			s.learn(lanes)
		}
	}
	part := w.part(len(shards), live)
	switch {
	case part == 0 && len(held) > 0:
		w.log.Info("a worker with newer settings is there: standing by")
	case len(shards) == 0:
		w.o.Conditions.Set("stream", fmt.Errorf("the stream %s has no records yet: is its ingest running, or has nothing been appended?", w.o.Settings.Stream))
		return nil
	}
	w.o.Conditions.Set("stream", nil)
	names := slices.Sorted(maps.Keys(shards))
	working := 0
	for _, s := range held {
		if !s.stopped {
			working++
		}
	}
	for _, name := range slices.Backward(names) {
		if s := held[name]; s != nil && !s.stopped && working > part {
			s.release()
			working--
		}
	}
	if working >= part {
		return nil
	}
	leases, err := w.o.Buffer.Leases(ctx2, w.o.Settings.Pipeline, names)
	if err != nil {
		return fmt.Errorf("read the leases: %w", err)
	}
	for _, name := range names {
		holder, taken := leases[name]
		if working >= part {
			break
		}
		if w.goal.isDone(name) || held[name] != nil || taken && holder != w.o.Name || shy[name] != nil && time.Now().Before(shy[name].until) {
			continue
		}
		ok, err := w.o.Buffer.TakeLease(ctx2, w.o.Settings.Pipeline, name, w.o.Name, w.o.LeaseTTL)
		if err != nil {
			return fmt.Errorf("take the lease of shard %s: %w", name, err)
		}
		if ok {
			held[name] = w.hold(ctx, name, shards[name], over)
			working++
		}
	}
	shardsHeld.Set(float64(len(held)))
	return nil
}

// hold starts the work on a shard whose lease has been taken.
func (w *Worker) hold(ctx context.Context, shard string, lanes []string, over chan<- ended) *slot {
	ctx, cancel := context.WithCancel(ctx)
	s := &slot{shard: shard, cancel: cancel, stop: make(chan struct{}), end: make(chan struct{}), lanes: lanes, more: make(chan struct{}, 1)}
	w.mu.Lock()
	w.slots[shard] = s
	w.mu.Unlock()
	go pprof.Do(ctx, pprof.Labels("shard", shard), func(ctx context.Context) { // profiles tell shards apart
		err := w.work(ctx, s)
		cancel()
		over <- ended{s, err}
	})
	return s
}

// renew prolongs the leases, in a goroutine of its own so that nothing else can hold it up.
func (w *Worker) renew(ctx context.Context) {
	tick := time.NewTicker(w.o.LeaseTTL / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		w.mu.Lock()
		slots := maps.Clone(w.slots)
		w.mu.Unlock()
		names := slices.Sorted(maps.Keys(slots))
		if len(names) == 0 {
			continue
		}
		ctx2, cancel := context.WithTimeout(ctx, w.o.LeaseTTL)
		held, err := w.o.Buffer.RenewLeases(ctx2, w.o.Settings.Pipeline, names, w.o.Name, w.o.LeaseTTL)
		if err == nil {
			err = w.regain(ctx2, slots, held)
		}
		cancel()
		if err != nil && ctx.Err() == nil {
			w.log.Warn("could not renew the leases", zap.Error(err))
		}
	}
}

// regain takes leases again that Redis forgot, and gives up the shards whose lease is another worker's.
func (w *Worker) regain(ctx context.Context, slots map[string]*slot, held map[string]bool) error {
	for _, name := range slices.Sorted(maps.Keys(slots)) {
		if held[name] {
			continue
		}
		ok, err := w.o.Buffer.TakeLease(ctx, w.o.Settings.Pipeline, name, w.o.Name, w.o.LeaseTTL)
		if err != nil {
			return err
		}
		if !ok {
			slots[name].cancel()
		}
	}
	return nil
}

// ---- whose settings hold ----

// newMember is how a worker shows itself to the others: when it started, a digest of its settings, its name.
func newMember(started time.Time, settings []byte, name string) string {
	return fmt.Sprintf("%013d|%08x|%s", started.UnixMilli(), crc32.ChecksumIEEE(settings), name)
}

// part is how many shards this worker may hold: its share among the live workers with the settings of the one that
// started last (of those that started in the same millisecond, the greater digest counts as later); 0 if its own settings
// are others.
func (w *Worker) part(shards int, live []string) int {
	mine := digest(w.member)
	newest, last := mine, started(w.member)
	for _, m := range live {
		if s := started(m); s > last || s == last && digest(m) > newest {
			newest, last = digest(m), s
		}
	}
	if newest != mine {
		return 0
	}
	// The first of them to start have one more, where they can't all have the same: who comes or goes later changes
	// nothing for them.
	n, rank := 0, 0
	for _, m := range live {
		if digest(m) != mine || m == w.member {
			continue
		}
		n++
		if m < w.member {
			rank++
		}
	}
	n++
	part := shards / n
	if rank < shards%n {
		part++
	}
	return part
}

func started(member string) int64 {
	s, _, _ := strings.Cut(member, "|")
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

func digest(member string) string {
	p := strings.SplitN(member, "|", 3)
	if len(p) != 3 {
		return ""
	}
	return p[1]
}
