package buffer

import (
	"context"
	"errors"
	"fmt"

	"github.com/windrow-io/windrow/internal/fault"
)

// Tail is the end of a lane.
type Tail struct {
	Exists bool
	Next   int64  // the next source offset
	Bytes  int64  // appended ever: record batches, and entryCost for each entry
	High   int64  // the source's high watermark as the last append saw it
	Held   int64  // Bytes less those before the trimmed position: what counts against BUFFER_MAX_BYTES
	Topic  string // the source topic's id, as the ingester wrote it
}

// entryCost is what an entry costs Redis besides its batches, in bytes: its fields, and its place in the pending list of
// a pipeline. It matters for entries of one record each; Redis rounds large ones up by as much as a quarter.
const entryCost = 128

// Append is what to append. With Batches nil only the tail moves.
type Append struct {
	From, Next int64
	High       int64
	Batches    []byte
	Gap        bool // From may lie beyond the tail: the source no longer has what is between
	Topic      string
}

// Appender appends to one lane over a connection of its own. Not safe for concurrent use.
//
// An append is one round trip: MULTI XADD HSET EXEC under the WATCH of the round trip before, followed by the WATCH for
// the next one. The comparison costs Redis nothing that way, and the payload is copied by no script.
type Appender struct {
	conn
	shard, lane string
	laneKey     string
	trimKey     string
	out         sink

	armed   bool // the connection watches the tail, which is:
	tail    Tail
	last    int64 // the offset after the lane's last entry
	trimmed int64
}

// Appender returns the appender of a lane.
func (b *Buffer) Appender(shard, lane string) *Appender {
	return &Appender{
		conn: conn{b: b, key: b.tailKey(shard, lane)}, shard: shard, lane: lane,
		laneKey: b.laneKey(shard, lane), trimKey: b.trimKey(shard),
	}
}

// Tail reads the lane's tail and arms the comparison: the next Append succeeds only if the tail is still this one. To
// be called first and after every error.
//
// A lane without a tail is new, or lost: it starts where the group's committed offset says, never where the ingester
// happens to stand.
func (a *Appender) Tail(ctx context.Context) (Tail, error) {
	a.armed = false
	a.out.reset()
	// An empty transaction first: it forgets an earlier WATCH, which would fail the next EXEC. And where MULTI is not
	// allowed (an ACL, a proxy) it fails here; in an append the commands after it would be executed one by one.
	cmds := append([][]any{{"MULTI"}, {"EXEC"}}, a.watch()...)
	if err := a.do(ctx, &a.out, append(cmds, []any{"TYPE", a.laneKey})...); err != nil {
		return Tail{}, fmt.Errorf("tail of lane %s: %w", a.lane, err)
	}
	r := answers{p: a.out.p}
	err := errors.Join(r.skip(), r.skip())
	if err == nil {
		err = a.watched(&r)
	}
	if err == nil {
		err = a.checkType(&r)
	}
	if err != nil {
		a.drop(ctx)
		return Tail{}, fmt.Errorf("tail of lane %s: %w", a.lane, err)
	}
	a.armed = true
	heldBytes.WithLabelValues(a.shard, a.lane).Set(float64(a.tail.Held))
	return a.tail, nil
}

// Append appends an entry of whole raw record batches that covers the source offsets [From, Next), if the tail is still
// the one that the last Tail or Append returned and From is its Next (any From starts a lane that does not exist or a
// lane whose source has lost records: then set Gap). ErrConflict, ErrFull, or any other error: unknown, call Tail.
func (a *Appender) Append(ctx context.Context, e Append) (Tail, error) {
	if len(e.Batches) == 0 {
		e.Batches = nil
	}
	fault.Point("append.before")
	t, err := a.append(ctx, e)
	fault.Point("append.after")
	if err == nil {
		if e.Batches != nil {
			appendedEntries.Inc()
			appendedBytes.Add(float64(len(e.Batches)))
		}
		heldBytes.WithLabelValues(a.shard, a.lane).Set(float64(t.Held))
		return t, nil
	}
	a.armed = false
	switch {
	case errors.Is(err, ErrConflict):
		appendConflicts.Inc()
	case errors.Is(err, ErrFull):
		appendFull.Inc()
	default:
		appendUnknown.Inc()
		a.drop(ctx)
	}
	return Tail{}, fmt.Errorf("append [%d, %d) to lane %s: %w", e.From, e.Next, a.lane, err)
}

func (a *Appender) append(ctx context.Context, e Append) (Tail, error) {
	if e.From < 0 || e.Next < e.From || (e.Next == e.From && e.Batches != nil) {
		return Tail{}, errors.New("not a range of offsets")
	}
	if !a.armed {
		return Tail{}, fmt.Errorf("%w, or was not read", ErrConflict)
	}
	if a.tail.Exists && e.From != a.tail.Next && (!e.Gap || e.From < a.tail.Next) {
		return Tail{}, fmt.Errorf("%w: it is at %d", ErrConflict, a.tail.Next)
	}

	// What was skipped since the last entry without one (compaction, other shards' records) belongs to this entry.
	from := a.last
	if !a.tail.Exists || e.From > a.tail.Next {
		from = e.From
	}
	want := Tail{Exists: true, Next: e.Next, Bytes: a.tail.Bytes, High: e.High, Topic: e.Topic}
	last := from
	cmds := make([][]any, 0, 8)
	cmds = append(cmds, []any{"MULTI"})
	if e.Batches != nil {
		last = e.Next
		want.Bytes += int64(len(e.Batches)) + entryCost
		cmds = append(cmds, []any{"XADD", a.laneKey, "*", fieldFrom, from, fieldNext, e.Next, fieldBefore, a.tail.Bytes, fieldBatches, e.Batches})
	}
	cmds = append(cmds, []any{"HSET", a.key, tailNext, want.Next, tailLast, last, tailBytes, want.Bytes, tailHigh, want.High, tailTopic, want.Topic},
		[]any{"EXEC"})
	queued := len(cmds) - 2
	cmds = append(cmds, a.watch()...)

	a.armed = false
	a.out.reset()
	if err := a.do(ctx, &a.out, cmds...); err != nil {
		return Tail{}, err
	}
	r := answers{p: a.out.p}
	if err := executed(&r, queued); err != nil {
		return Tail{}, err
	}
	// The entry is in the lane. If the tail that is watched now is not the one just written, somebody has been there in
	// between: the next append must not go by it.
	if err := a.watched(&r); err != nil {
		a.drop(ctx)
		want.Held = max(0, want.Bytes-a.trimmed)
		return want, nil
	}
	got := a.tail
	got.Held = 0
	a.armed = got == want && a.last == last
	if !a.armed {
		want.Held = max(0, want.Bytes-a.trimmed)
		return want, nil
	}
	return a.tail, nil
}

// executed reads the answers of MULTI, the queued commands and EXEC.
func executed(r *answers, queued int) error {
	noMemory := false
	var refused error
	for range queued + 1 {
		if err := r.skip(); err != nil {
			noMemory = noMemory || fullMemory(err)
			refused = err
		}
	}
	n, err := r.array()
	switch {
	case noMemory || fullMemory(err):
		return ErrFull
	case err != nil && refused != nil:
		return refused
	case err != nil:
		return err
	case n < 0:
		return ErrConflict
	case n != queued:
		return errAnswer
	}
	for range n {
		if err := r.skip(); err != nil {
			return err
		}
	}
	return nil
}

func (a *Appender) watch() [][]any {
	return [][]any{
		{"WATCH", a.key},
		{"HMGET", a.key, tailNext, tailLast, tailBytes, tailHigh, tailTopic},
		{"HGET", a.trimKey, trimmedField(a.lane)},
	}
}

// watched reads the answers of watch into the tail.
func (a *Appender) watched(r *answers) error {
	if err := r.skip(); err != nil {
		return err
	}
	if n, err := r.array(); err != nil || n != 5 {
		return errors.Join(errAnswer, err)
	}
	var f [4]int64
	var t Tail
	for i := range f {
		n, ok, err := r.integer()
		if err != nil {
			return fmt.Errorf("the key %s is not what Windrow wrote: %w", a.key, err)
		}
		if i == 0 {
			t.Exists = ok
		}
		f[i] = n
	}
	topic, err := r.text()
	if err != nil {
		return err
	}
	trimmed, _, err := r.integer()
	if err != nil {
		return fmt.Errorf("the key %s is not what Windrow wrote: %w", a.trimKey, err)
	}
	t.Next, a.last, t.Bytes, t.High, t.Topic = f[0], f[1], f[2], f[3], string(topic)
	if !t.Exists {
		// A lane that starts again counts on from what was trimmed of the lost one, so that Held is right from the start.
		t = Tail{Bytes: trimmed}
	}
	a.trimmed = trimmed
	t.Held = max(0, t.Bytes-trimmed)
	a.tail = t
	return nil
}

// checkType refuses a key that is no stream before anything is written: inside EXEC the tail would move without an entry.
func (a *Appender) checkType(r *answers) error {
	kind, err := r.text()
	if err != nil {
		return err
	}
	if k := string(kind); k != "stream" && k != "none" {
		return fmt.Errorf("the key %s is a %s, not a stream: delete it", a.laneKey, k)
	}
	return nil
}

// Close closes the appender's connection.
func (a *Appender) Close() error {
	a.armed = false
	a.close()
	heldBytes.DeleteLabelValues(a.shard, a.lane)
	return nil
}
