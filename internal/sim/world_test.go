package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"
)

// world is one simulated run: the models, the processes that use them, and the schedule. Everything but what the methods
// of proc say is the scheduler's alone: it runs while every other goroutine waits.
type world struct {
	seed  uint64
	rnd   *rand.Rand
	began time.Time
	plan  plan

	mu    sync.Mutex
	fresh []*call // asked, not seen by the scheduler yet
	wake  chan struct{}
	alarm error // what the product says is lost

	calls  []*call // waiting to be executed, or blocked in a model
	events []event // in the order of time
	nextID int     // of events
	procs  []*proc
	timer  *time.Timer

	redis *redisModel
	kafka *kafkaModel
	pipes []*pipe
	check *checker // what was written to the source

	quiet   bool    // no faults any more
	lurking []*call // late ones: see later
	belated bool    // the call that is executed is late
	steps   int
	hash    uint64
	trace   io.Writer // nil: nobody reads it
	counts  map[string]int
	failed  error
}

// pipe is a pipeline of the run.
type pipe struct {
	job
	name    string
	version int // of the settings
	mongo   *mongoModel
	check   *checker
}

func (w *world) newPipe(name string, j job) {
	p := &pipe{job: j, name: name, mongo: newMongo(w)}
	p.check = w.check.of(p)
	w.pipes = append(w.pipes, p)
}

func (p *pipe) role() string { return "worker of " + p.name }
func (p *pipe) out() string  { return "out." + p.name }

func journalOf(pipeline string) string { return "windrow." + stream + "." + pipeline + ".journal" }

// event is something that happens at a time.
type event struct {
	at time.Time
	id int
	do func()
}

// call is one request of a process to a model.
type call struct {
	p      *proc
	label  string      // what it is: decides the order among calls asked at once, and goes into the trace
	txn    string      // the transactional id it is about, if any
	step   func() bool // executes the next piece; false: there is more, or it blocks
	ready  func() bool // of a call that blocks: can it go on?
	until  time.Time   // … at the latest; zero: does not block
	refuse func() bool // makes it a passing refusal instead, if the server has one
	cut    func()      // the connection is gone
	out    any

	begun  bool
	slow   time.Time // until then it is on its way
	lurks  int       // if it is late: how many calls about the same transactional id come before it
	moment moment    // … and what kind of call is the last of them, or the next
	gone   bool      // the caller has given up; guarded by world.mu
	answer chan reply
}

type reply struct {
	out any
	err error
}

// proc is a simulated process.
type proc struct {
	w      *world
	id     int
	name   string
	role   string
	cancel context.CancelFunc // ends all its goroutines: it was killed
	stop   func()             // gracefully
	done   chan struct{}

	dead     bool  // guarded by world.mu
	ended    error // why it ended by itself; likewise
	stopping bool
	asleep   time.Time // until then it is frozen
	conns    []*redisConn

	at func(*call) reply // outside of a schedule: executes a call at once
}

var (
	errDead   = errors.New("sim: the process is dead")
	errCut    = fmt.Errorf("sim: the connection was cut: %w", io.ErrUnexpectedEOF)
	errRunOut = errors.New("the run does not come to an end")
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x57696e64726f77)) }

func newWorld(seed uint64, trace io.Writer) *world {
	w := &world{
		seed: seed, rnd: newRand(seed), began: time.Now(),
		wake: make(chan struct{}, 1), timer: time.NewTimer(time.Hour), trace: trace, counts: map[string]int{},
	}
	w.plan = newPlan(w.rnd)
	// Every third seed behind those that the rules are broken with: these shall find what they found.
	if seed > brokenWithin && seed%3 == 0 {
		w.plan.shards = 1 + int(seed/3%3)
	}
	if seed > brokenWithin && seed%2 == 0 { // likewise
		w.plan.others(newRand(^seed))
	}
	w.count("emitter " + w.plan.settings[0].Emitter)
	w.redis, w.kafka = newRedis(w), newKafka(w)
	w.check = newChecker(w)
	w.newPipe(pipeline, w.plan.job)
	if w.plan.second != nil {
		w.newPipe("q", *w.plan.second)
	}
	return w
}

// ask hands a call to the scheduler and waits for the answer, until done is closed or the deadline has passed.
func (p *proc) ask(c *call, done <-chan struct{}, deadline <-chan time.Time) (reply, error) {
	if p.at != nil {
		return p.at(c), nil
	}
	w := p.w
	c.p, c.answer = p, make(chan reply, 1)
	w.mu.Lock()
	if p.dead {
		w.mu.Unlock()
		return reply{}, errDead
	}
	w.fresh = append(w.fresh, c)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	var err error
	select {
	case r := <-c.answer:
		return r, r.err
	case <-done:
		err = context.Canceled
	case <-deadline:
		err = context.DeadlineExceeded
	}
	w.mu.Lock()
	c.gone = true
	w.mu.Unlock()
	return reply{}, err
}

// run schedules until over says so, or something is wrong.
func (w *world) run(limit time.Duration, over func() bool) {
	end := time.Now().Add(limit)
	for w.failed == nil {
		synctest.Wait()
		w.collect()
		w.fire()
		if over() {
			return
		}
		if time.Now().After(end) {
			w.fail(errRunOut)
			return
		}
		able := w.able()
		if len(able) == 0 {
			w.idle()
			continue
		}
		w.steps++
		w.release(able[w.rnd.IntN(len(able))])
		time.Sleep(w.latency())
	}
}

func (w *world) fail(err error) {
	if w.failed == nil {
		w.failed = err
		w.note("FAILED %v", err)
	}
}

func (w *world) failf(format string, args ...any) { w.fail(fmt.Errorf(format, args...)) }

// collect takes the calls that were asked since the last time, in an order that does not depend on how goroutines ran,
// and deals with those whose callers have given up: their requests may be under way all the same.
func (w *world) collect() {
	select {
	case <-w.wake:
	default:
	}
	w.mu.Lock()
	fresh, alarm := w.fresh, w.alarm
	w.fresh = nil
	w.mu.Unlock()
	if alarm != nil {
		w.fail(alarm)
	}
	slices.SortStableFunc(fresh, func(a, b *call) int {
		return cmp.Or(cmp.Compare(a.p.id, b.p.id), cmp.Compare(a.label, b.label))
	})
	w.calls = append(w.calls, fresh...)
	for _, p := range w.procs {
		if p.ended != nil {
			w.fail(p.ended)
		}
	}
	w.calls = slices.DeleteFunc(w.calls, func(c *call) bool {
		if !c.gone {
			return false
		}
		w.abandoned(c)
		return true
	})
}

// abandoned is a call whose caller waits no longer.
func (w *world) abandoned(c *call) {
	if !c.begun && w.plan.late && !w.quiet && w.chance(2) {
		w.later(c)
		return
	}
	if c.begun && c.ready == nil {
		c.finish()
	}
	w.note("%s drops %s", c.p.name, c.label)
}

// later has a call take effect at some time, with nobody listening any more. One about a transactional id does so, if it
// can, between two others about it: there it is most dangerous.
func (w *world) later(c *call) {
	if c.txn != "" && !w.chance(3) {
		c.moment, c.lurks = pick(w.rnd, between, behindProduce, beforeFencing), pick(w.rnd, 1, 1, 1, 1, 2, 3, 4)
		w.lurking = append(w.lurking, c)
		w.note("%s: %s comes %s, %d calls later", c.p.name, c.label, c.moment, c.lurks)
		return
	}
	d := time.Duration(w.rnd.ExpFloat64() * float64(w.plan.lateness))
	w.note("%s: %s comes %v later", c.p.name, c.label, d)
	w.after(min(d, 30*time.Second), func() { w.takesEffect(c) })
}

func (w *world) takesEffect(c *call) {
	w.count("late request took effect")
	w.note("late: %s", c.label)
	w.belated = true
	c.finish()
	w.belated = false
}

// moment says between which two calls about its transactional id a late one comes.
type moment string

const (
	between       moment = "between two others"
	behindProduce moment = "behind a Produce"         // when there is something in the transaction
	beforeFencing moment = "before an InitProducerID" // the last time that it has an effect
)

// comes is called before a call about a transactional id is executed, and after it: late ones may come then.
func (w *world) comes(x *call, after bool) {
	w.lurking = slices.DeleteFunc(w.lurking, func(c *call) bool {
		if c.txn != x.txn {
			return false
		}
		if !after {
			c.lurks--
		}
		now := false
		switch c.moment {
		case between:
			now = !after && c.lurks <= 0
		case behindProduce:
			now = after && c.lurks <= 0 && strings.HasPrefix(x.label, "kafka Produce")
		case beforeFencing:
			now = !after && strings.HasPrefix(x.label, "kafka InitProducerID")
		}
		if !now {
			return false
		}
		w.takesEffect(c)
		return true
	})
}

// able are the calls that can be executed now.
func (w *world) able() (able []*call) {
	now := time.Now()
	for _, c := range w.calls {
		if c.slow.After(now) || c.p.asleep.After(now) && !c.begun { // what has begun, its server does
			continue
		}
		if c.ready == nil || c.ready() || !c.until.After(now) {
			able = append(able, c)
		}
	}
	return able
}

// idle lets time pass until something can happen.
func (w *world) idle() {
	now := time.Now()
	next := now.Add(time.Second)
	if len(w.events) > 0 && w.events[0].at.Before(next) {
		next = w.events[0].at
	}
	for _, c := range w.calls {
		at := next
		if c.slow.After(now) {
			at = c.slow
		} else if c.p.asleep.After(now) && !c.begun {
			at = c.p.asleep
		} else if c.ready != nil {
			at = c.until
		}
		if at.Before(next) {
			next = at
		}
	}
	w.timer.Reset(max(next.Sub(now), time.Microsecond))
	select {
	case <-w.wake:
	case <-w.timer.C:
	}
}

// latency is how long the next call takes.
func (w *world) latency() time.Duration {
	return time.Duration(20_000 + w.rnd.IntN(int(w.plan.latency)))
}

// after has do happen after d.
func (w *world) after(d time.Duration, do func()) {
	w.nextID++
	e := event{time.Now().Add(d), w.nextID, do}
	i, _ := slices.BinarySearchFunc(w.events, e, func(a, b event) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) })
	w.events = slices.Insert(w.events, i, e)
}

// fire does what is due.
func (w *world) fire() {
	for len(w.events) > 0 && !w.events[0].at.After(time.Now()) && w.failed == nil {
		e := w.events[0]
		w.events = w.events[1:]
		e.do()
	}
}

func (w *world) count(what string) { w.counts[what]++ }

// note adds to the trace.
func (w *world) note(format string, args ...any) {
	h := fnv.New64a()
	var b [8]byte
	for i := range b {
		b[i] = byte(w.hash >> (8 * i))
	}
	h.Write(b[:])
	fmt.Fprintf(h, "%d ", time.Since(w.began))
	fmt.Fprintf(h, format, args...)
	w.hash = h.Sum64()
	if w.trace != nil {
		fmt.Fprintf(w.trace, "%12.6f  ", time.Since(w.began).Seconds())
		fmt.Fprintf(w.trace, format, args...)
		fmt.Fprintln(w.trace)
	}
}

// chance is true once in n times.
func (w *world) chance(n int) bool { return n > 0 && w.rnd.IntN(n) == 0 }

// release decides what becomes of a call. Calls of a process that look the same are executed together, and nothing happens
// to them: which of its goroutines asked first is nobody's choice, and must make no difference.
func (w *world) release(c *call) {
	if twins := w.twins(c); len(twins) > 1 {
		for _, t := range twins {
			if t.finish() {
				w.note("%s %s", t.p.name, t.label)
				w.deliver(t, reply{out: t.out})
			}
		}
		return
	}
	if c.begun || w.quiet || !w.fault(c) {
		w.execute(c)
	}
}

// twins are the calls that look like c, itself among them, if nothing of it is done yet.
func (w *world) twins(c *call) (all []*call) {
	if c.begun {
		return nil
	}
	for _, x := range w.calls {
		if x.p == c.p && x.label == c.label && !x.begun {
			all = append(all, x)
		}
	}
	return all
}

// execute executes a call, or its next piece.
func (w *world) execute(c *call) {
	if c.txn != "" && !c.begun {
		w.comes(c, false)
		defer w.comes(c, true)
	}
	c.begun = true
	if !c.step() {
		return
	}
	w.note("%s %s", c.p.name, c.label)
	w.deliver(c, reply{out: c.out})
}

// finish executes a call to its end without telling anybody; false: it blocks.
func (c *call) finish() bool {
	c.begun = true
	for !c.step() {
		if c.ready != nil && !c.ready() {
			return false
		}
	}
	return true
}

// deliver answers a call; a process that is frozen gets it when it wakes.
func (w *world) deliver(c *call, r reply) {
	w.remove(c)
	if c.p.asleep.After(time.Now()) {
		w.after(time.Until(c.p.asleep), func() { w.deliver(c, r) })
		return
	}
	if r.err != nil && c.cut != nil {
		c.cut()
	}
	c.answer <- r
}

func (w *world) remove(c *call) {
	w.calls = slices.DeleteFunc(w.calls, func(x *call) bool { return x == c })
}

// fault lets something go wrong with a call, if the dice say so; false: nothing did.
func (w *world) fault(c *call) bool {
	f := &w.plan
	n := f.oneIn
	if n > 0 && f.focus != "" && strings.HasPrefix(c.label, f.focus) {
		n = min(n, f.often)
	}
	if !w.chance(n) {
		return false
	}
	kinds := f.faults
	switch kind := kinds[w.rnd.IntN(len(kinds))]; kind {
	case "lost request":
		w.note("%s %s: lost", c.p.name, c.label)
		w.count(kind)
		w.unanswered(c)
	case "lost reply":
		c.finish()
		w.note("%s %s: its answer is lost", c.p.name, c.label)
		w.count(kind)
		w.unanswered(c)
	case "late request":
		if !f.late {
			return false
		}
		w.count(kind)
		w.later(c)
		w.unanswered(c)
	case "slow request":
		w.count(kind)
		d := time.Duration(w.rnd.ExpFloat64() * float64(500*time.Millisecond))
		w.note("%s %s: takes %v to get there", c.p.name, c.label, d)
		c.slow = time.Now().Add(d)
	case "slow reply":
		if !c.finish() {
			return true
		}
		w.count(kind)
		d := time.Duration(w.rnd.ExpFloat64() * float64(2*time.Second))
		w.note("%s %s: its answer takes %v", c.p.name, c.label, d)
		w.remove(c)
		w.after(d, func() {
			if !c.p.dead {
				w.deliver(c, reply{out: c.out})
			}
		})
	case "refusal":
		if c.refuse == nil || !c.refuse() {
			return false
		}
		w.count(kind)
		w.note("%s %s: refused", c.p.name, c.label)
		w.deliver(c, reply{out: c.out})
	case "crash":
		if !w.mayDie(c.p) {
			return false
		}
		if w.chance(2) {
			c.finish()
			w.note("%s %s: and dies", c.p.name, c.label)
			w.count("crash after a call")
			w.remove(c)
			c.answer <- reply{err: errDead}
		} else {
			w.note("%s dies before %s", c.p.name, c.label)
			w.count("crash before a call")
		}
		w.kill(c.p)
	case "freeze":
		if w.chance(2) && c.finish() {
			w.note("%s %s", c.p.name, c.label)
			w.freeze(c.p)
			w.deliver(c, reply{out: c.out})
		} else {
			w.freeze(c.p)
		}
	}
	return true
}

// unanswered leaves a caller without an answer: mostly its connection is cut, else it waits until it gives up.
func (w *world) unanswered(c *call) {
	if w.chance(4) {
		w.remove(c)
		w.count("silence")
		return
	}
	w.deliver(c, reply{err: errCut})
}

// freeze stops a process for a while: its timers go on, nothing it does has an effect before it wakes.
func (w *world) freeze(p *proc) {
	d := time.Duration(w.rnd.ExpFloat64() * float64(w.plan.freeze))
	d = min(max(d, 50*time.Millisecond), 25*time.Second)
	p.asleep = time.Now().Add(d)
	w.count("freeze")
	w.note("%s freezes for %v", p.name, d)
	w.after(d, func() { w.note("%s wakes", p.name) })
	w.kafka.silent(p)
}

// kill ends a process at once: what it has sent may still take effect, nothing else.
func (w *world) kill(p *proc) {
	if p.dead {
		return
	}
	w.note("%s is killed", p.name)
	w.mu.Lock()
	p.dead = true
	fresh := w.fresh
	w.fresh = nil
	w.mu.Unlock()
	w.calls = append(w.calls, fresh...)
	p.asleep = time.Time{}
	for _, c := range slices.Clone(w.calls) {
		if c.p != p {
			continue
		}
		w.remove(c)
		if !c.begun && w.plan.late && !w.quiet && w.chance(2) {
			w.later(c)
		}
		c.answer <- reply{err: errDead}
	}
	for _, c := range p.conns {
		c.dead = true
	}
	p.conns = nil
	w.kafka.silent(p)
	p.cancel()
}

// alive are the processes of a role that were not killed or stopped.
func (w *world) alive(role string) (ps []*proc) {
	for _, p := range w.procs {
		if p.role == role && !p.dead && !p.stopping {
			ps = append(ps, p)
		}
	}
	return ps
}

// mayDie keeps the simulation from killing faster than processes are started.
func (w *world) mayDie(p *proc) bool { return !p.dead && w.plan.crashes }

// spawn starts a process. run is its main function: ctx ends when it is killed, stop when it is to end gracefully.
func (w *world) spawn(role, name string, run func(ctx context.Context, stop <-chan struct{}, p *proc) error) *proc {
	ctx, cancel := context.WithCancel(context.Background())
	stop := make(chan struct{})
	p := &proc{w: w, id: len(w.procs), name: name, role: role, cancel: cancel, done: make(chan struct{})}
	p.stop = func() {
		if !p.stopping {
			p.stopping = true
			close(stop)
			w.kafka.silent(p) // its leaving the group may be lost
		}
	}
	w.procs = append(w.procs, p)
	w.note("%s starts", name)
	go func() {
		defer close(p.done)
		err := run(ctx, stop, p)
		w.mu.Lock()
		defer w.mu.Unlock()
		if err != nil && !p.dead && ctx.Err() == nil {
			p.ended = fmt.Errorf("%s ended: %w", name, err)
		}
		p.dead = true
	}()
	return p
}

// close ends everything, so that no goroutine is left.
func (w *world) close() {
	for _, p := range w.procs {
		w.kill(p)
	}
	for _, p := range w.procs {
		<-p.done
	}
}
