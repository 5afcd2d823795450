package buffer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/fault"
	"github.com/windrow-io/windrow/pkg/record"
)

// Reader reads a shard's lanes for one pipeline, over a connection of its own. Not safe for concurrent use.
//
// A lane is read by the pipeline's group. Another reader of the group – an owner that was superseded and does not know it
// yet – may be given entries in its place; the tail tells. The direct lane has no tail: there each Reader goes by the last
// entry that it saw itself, and has no group.
type Reader struct {
	conn
	pipeline, worker, shard string
	lanes                   []*laneState
	mem                     memory
	heal                    sink
	wary                    int // after an error: the count that is tried, doubled by each read that works; else 0
}

// maxWary ends the caution after an error. What was asked for may have been too much for the time-out and the network in
// between, and asking for as much again would fail for ever.
const maxWary = 1 << 10

// laneState is what a Reader knows of a lane.
type laneState struct {
	name, key, tailKey string
	direct             bool
	scan               bool  // being read from its start by XRANGE
	ms, seq            int64 // the last entry seen by that scan, or since
	end                int64 // bytes appended ever up to its end
	seen               int64 // the highest Next given out
}

// memory is one turn's: what Redis answered, and the slices that alias it.
type memory struct {
	out     sink
	turn    Turn
	entries []Entry
	records []record.Record
	state   []laneRead
}

// laneRead is what a read learned of a lane, before it counts.
type laneRead struct {
	from, to   int // its entries
	read       int // entries that Redis sent
	ms, seq    int64
	end        int64
	next, last int64
	tail       bool
}

// Reader returns a reader. It starts with a scan of each lane from its start: what an earlier worker had been given is
// seen again.
func (b *Buffer) Reader(pipeline, worker, shard string, lanes []string) *Reader {
	r := &Reader{conn: conn{b: b, key: b.trimKey(shard)}, pipeline: pipeline, worker: worker, shard: shard}
	r.mem.out.shared = true
	for _, l := range lanes {
		r.AddLane(l)
	}
	return r
}

// AddLane adds a lane to those read, unless it is one of them.
func (r *Reader) AddLane(lane string) {
	for _, l := range r.lanes {
		if l.name == lane {
			return
		}
	}
	r.lanes = append(r.lanes, &laneState{
		name: lane, key: r.b.laneKey(r.shard, lane), tailKey: r.b.tailKey(r.shard, lane), direct: lane == DirectLane, scan: true,
	})
	rescans.Inc()
}

// Rescan makes the next Reads of the lane go through it from its start, until its end is reached.
func (r *Reader) Rescan(lane string) {
	for _, l := range r.lanes {
		if l.name == lane {
			l.rescan()
		}
	}
}

func (l *laneState) rescan() {
	if !l.scan || l.ms > 0 {
		rescans.Inc()
	}
	l.scan, l.ms, l.seq, l.end, l.seen = true, 0, 0, 0, 0
}

// Release gives the memory of the last turn back, for other Readers as well: a turn may take a MiB and more, and there
// are as many Readers as shards.
func (r *Reader) Release() { r.mem.out.release() }

// Close closes the reader's connection.
func (r *Reader) Close() error {
	r.close()
	return nil
}

// Read reads up to count entries a lane, waiting up to block (0: not at all; never more than a second) for the first
// one. The turn is valid until the next Read, or Release.
//
// A lane or group that is not there yet (or no longer) is made; an error means: try again after a pause. After an error
// the lanes are read from their start again, since the lost answer may have moved the group. Cancelling ctx does not
// interrupt a Read that waits, which is a second at most; a deadline shortens the wait.
func (r *Reader) Read(ctx context.Context, block time.Duration, count int) (*Turn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	block = min(max(block, 0), maxBlock)
	if len(r.lanes) == 0 {
		wait, stop := context.WithTimeout(ctx, block)
		<-wait.Done()
		stop()
	}
	if d, ok := ctx.Deadline(); ok {
		block = min(block, max(0, time.Until(d)-50*time.Millisecond)) // not a time-out, which would cost the connection
	}
	if count = max(1, count); r.wary > 0 {
		count = min(count, r.wary)
	}
	m := &r.mem
	err := r.read(ctx, m, block, count)
	if lostGroup(err) {
		if err = r.makeGroups(ctx); err == nil {
			err = r.read(ctx, m, 0, count)
		}
	}
	if err != nil {
		r.wary = 1
		readErrors.Inc()
		r.drop(ctx)
		for _, l := range r.lanes {
			l.rescan()
		}
		return nil, fmt.Errorf("read shard %s: %w", r.shard, err)
	}
	if r.wary *= 2; r.wary > maxWary {
		r.wary = 0
	}
	return &m.turn, nil
}

// lostGroup reports whether Redis says that a lane or its group is not there.
func lostGroup(err error) bool {
	var se serverError
	return errors.As(err, &se) && (strings.HasPrefix(string(se), "NOGROUP") || strings.HasPrefix(string(se), "UNBLOCKED"))
}

// read sends one pipeline and takes what it gave. Nothing of the Reader's state changes unless all of it is understood.
func (r *Reader) read(ctx context.Context, m *memory, block time.Duration, count int) error {
	cmds := make([][]any, 0, 2+2*len(r.lanes))
	cmds = append(cmds, []any{"TIME"})
	group := []any{"XREADGROUP", "GROUP", r.pipeline, r.worker, "COUNT", count, "BLOCK", max(1, block.Milliseconds()), "STREAMS"}
	own := []any{"XREAD", "COUNT", count, "BLOCK", max(1, block.Milliseconds()), "STREAMS"}
	scanning := false
	var grouped, direct []*laneState
	for _, l := range r.lanes {
		if !l.direct {
			cmds = append(cmds, []any{"HMGET", l.tailKey, tailNext, tailLast, tailHigh})
		}
		switch {
		case l.scan:
			scanning = true
			from := "-"
			if l.ms > 0 || l.seq > 0 {
				from = "(" + l.id()
			}
			cmds = append(cmds, []any{"XRANGE", l.key, from, "+", "COUNT", count})
		case l.direct:
			direct = append(direct, l)
		default:
			grouped = append(grouped, l)
		}
	}
	waits := block > 0 && !scanning
	if len(direct) > 0 {
		cmds = append(cmds, streams(own, direct, (*laneState).id, waits && len(grouped) == 0))
	}
	if len(grouped) > 0 {
		cmds = append(cmds, streams(group, grouped, func(*laneState) string { return ">" }, waits))
	}
	m.out.reset()
	fault.Point("read.before")
	err := r.do(ctx, &m.out, cmds...)
	fault.Point("read.after")
	if err != nil {
		return err
	}
	if err := r.take(m, count); err != nil {
		return err
	}
	readBytes.Add(float64(len(m.out.p)))
	readEntries.Add(float64(len(m.entries)))
	return nil
}

// streams completes a command that ends with BLOCK, its milliseconds, and STREAMS: the lanes' keys, and from where each.
func streams(cmd []any, lanes []*laneState, from func(*laneState) string, waits bool) []any {
	if !waits {
		n := len(cmd)
		cmd = append(cmd[:n-3], cmd[n-1])
	}
	for _, l := range lanes {
		cmd = append(cmd, l.key)
	}
	for _, l := range lanes {
		cmd = append(cmd, from(l))
	}
	return cmd
}

// id is that of the last entry seen.
func (l *laneState) id() string { return id(l.ms, l.seq) }

// take parses the answers into m.
func (r *Reader) take(m *memory, count int) error {
	m.entries, m.records, m.state = m.entries[:0], m.records[:0], m.state[:0]
	a := answers{p: m.out.p}
	now, err := takeTime(&a)
	if err != nil {
		return err
	}
	m.turn.Now = now
	m.turn.Lanes = m.turn.Lanes[:0]
	var direct, grouped bool
	for _, l := range r.lanes {
		lt := LaneTurn{Lane: l.name, Tail: -1, High: -1, Rescan: l.scan}
		lr := laneRead{ms: l.ms, seq: l.seq, end: l.end}
		if !l.direct {
			if err := takeTail(&a, &lt, &lr); err != nil {
				return err
			}
		}
		switch {
		case l.scan:
			if err := r.takeEntries(&a, m, l, &lr); err != nil {
				return err
			}
		case l.direct:
			direct = true
		default:
			grouped = true
		}
		m.turn.Lanes = append(m.turn.Lanes, lt)
		m.state = append(m.state, lr)
	}
	for _, asked := range []bool{direct, grouped} {
		if asked {
			if err := r.takeStreams(&a, m); err != nil {
				return err
			}
		}
	}
	if a.i != len(a.p) {
		return errAnswer
	}
	r.commit(m, count)
	return nil
}

func takeTime(a *answers) (int64, error) {
	if n, err := a.array(); err != nil || n != 2 {
		return 0, errors.Join(errAnswer, err)
	}
	s, ok1, err1 := a.integer()
	us, ok2, err2 := a.integer()
	if err := errors.Join(err1, err2); err != nil || !ok1 || !ok2 {
		return 0, errors.Join(errAnswer, err)
	}
	return s*1000 + us/1000, nil
}

func takeTail(a *answers, lt *LaneTurn, lr *laneRead) error {
	if n, err := a.array(); err != nil || n != 3 {
		return errors.Join(errAnswer, err)
	}
	next, ok, err1 := a.integer()
	last, _, err2 := a.integer()
	high, _, err3 := a.integer()
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("the tail of lane %s is not what Windrow wrote: %w", lt.Lane, err)
	}
	if ok {
		lt.Tail, lt.High = next, high
		lr.tail, lr.next, lr.last = true, next, last
	}
	return nil
}

// takeStreams parses the answer of XREAD or XREADGROUP: null, or for each lane that has entries its key and them.
func (r *Reader) takeStreams(a *answers, m *memory) error {
	n, err := a.array()
	if err != nil {
		return err
	}
	for range n {
		if k, err := a.array(); err != nil || k != 2 {
			return errors.Join(errAnswer, err)
		}
		key, err := a.text()
		if err != nil {
			return err
		}
		i := r.laneByKey(key)
		if i < 0 {
			return errAnswer
		}
		if err := r.takeEntries(a, m, r.lanes[i], &m.state[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) laneByKey(key []byte) int {
	for i, l := range r.lanes {
		if l.key == string(key) && !l.scan {
			return i
		}
	}
	return -1
}

// takeEntries parses an array of entries.
func (r *Reader) takeEntries(a *answers, m *memory, l *laneState, lr *laneRead) error {
	n, err := a.array()
	if err != nil {
		return err
	}
	lr.from, lr.read = len(m.entries), max(0, n)
	for range n {
		if k, err := a.array(); err != nil || k != 2 {
			return errors.Join(errAnswer, err)
		}
		id, err := a.text()
		if err != nil {
			return err
		}
		ms, seq, ok := entryID(id)
		if !ok {
			return errAnswer
		}
		fields, err := a.array()
		if err != nil || fields%2 != 0 && fields >= 0 {
			return errors.Join(errAnswer, err)
		}
		lr.ms, lr.seq = ms, seq
		e := Entry{Ms: ms, Seq: seq}
		if l.direct {
			var rec record.Record
			if err := decodeDirect(a, fields, &e, &rec); err != nil {
				return err
			}
			m.entries = append(m.entries, e)
			m.records = append(m.records, rec)
			continue
		}
		good, err := decodeEntry(a, fields, &e)
		if err != nil {
			return err
		}
		if !good {
			entriesBroken.Inc()
			r.b.log.Warn("an entry that Windrow did not write is passed over", zap.String("lane", l.key), zap.ByteString("entry", id))
			continue
		}
		lr.end = e.End()
		m.entries = append(m.entries, e)
	}
	lr.to = len(m.entries)
	return nil
}

// commit gives the turn its entries and moves the lanes on.
func (r *Reader) commit(m *memory, count int) {
	records := 0
	for i, l := range r.lanes {
		lr, lt := &m.state[i], &m.turn.Lanes[i]
		lt.Cut = lr.read >= count
		l.ms, l.seq, l.end = lr.ms, lr.seq, lr.end
		l.scan = l.scan && lt.Cut
		es := m.entries[lr.from:lr.to:lr.to]
		if l.direct {
			for j := range es {
				es[j].Record = &m.records[records+j]
			}
			records += len(es)
		}
		for j := range es {
			l.seen = max(l.seen, es[j].Next)
		}
		if lr.tail && !lt.Cut && lr.next > l.seen && lr.next > lr.last {
			es = append(es, Entry{Ms: l.ms, Seq: l.seq, Bytes: l.end, From: lr.last, Next: lr.next})
			l.seen = lr.next
		}
		lt.Entries = es
	}
}

// makeGroups makes the groups, and the lanes that are not there. Groups begin at a lane's start.
func (r *Reader) makeGroups(ctx context.Context) error {
	r.heal.reset()
	var lanes []*laneState
	cmds := make([][]any, 0, len(r.lanes))
	for _, l := range r.lanes {
		if l.direct {
			continue
		}
		lanes = append(lanes, l)
		cmds = append(cmds, []any{"XGROUP", "CREATE", l.key, r.pipeline, "0", "MKSTREAM"})
	}
	fault.Point("group.before")
	defer fault.Point("group.after")
	if err := r.do(ctx, &r.heal, cmds...); err != nil {
		return err
	}
	a := answers{p: r.heal.p}
	for _, l := range lanes {
		err := a.skip()
		var se serverError
		switch {
		case err == nil:
			groupsMade.Inc()
		case errors.As(err, &se) && strings.HasPrefix(string(se), "BUSYGROUP"):
		case fullMemory(err):
			if err := must(ctx, r.c, groupScript, []string{l.key}, r.pipeline).Err(); err != nil {
				return fmt.Errorf("make the group of lane %s: %w", l.name, err)
			}
			groupsMade.Inc()
		default:
			return fmt.Errorf("make the group of lane %s: %w", l.name, err)
		}
	}
	return nil
}
