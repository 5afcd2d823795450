package buffer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/fault"
)

// pending is how many pending entries are asked for, and acknowledged, at once.
const pending = 1000

// publication is one Publish: what is to be written, and what Redis said.
type publication struct {
	b               *Buffer
	node            *redis.Client
	pipeline, shard string
	marks           []Mark
	alive           time.Duration
	required        []string

	now   int64
	hash  map[string]string // the trim hash
	all   map[string]map[string]Mark
	tails []*redis.SliceCmd
	acks  []*redis.XPendingExtCmd
}

// Publish says that pipeline's checkpoint at these marks is committed. It writes them to the trim hash, acknowledges
// what the group holds pending below them, whoever holds it, and trims each lane to the least mark of the pipelines
// that run (those that published within alive); the direct lane to the least of all that were ever enrolled, and of all in
// required, which must have a mark there. Call it again every few seconds to stay alive. It passes also when Redis is full.
//
// A pipeline that runs on the shard and has no mark yet in one of the lanes keeps that lane from being trimmed.
func (b *Buffer) Publish(ctx context.Context, pipeline, shard string, marks []Mark, alive time.Duration, required []string) error {
	node, err := b.node(ctx, b.trimKey(shard)) // one server, and its clock
	if err == nil {
		p := publication{b: b, node: node, pipeline: pipeline, shard: shard, marks: slices.Clone(marks), alive: alive, required: required}
		err = p.publish(ctx)
	}
	if err != nil {
		b.moved(ctx)
		return fmt.Errorf("publish the position of shard %s: %w", shard, err)
	}
	return nil
}

func (p *publication) publish(ctx context.Context) error {
	for i := range p.marks {
		if m := &p.marks[i]; m.Lane == DirectLane && m.Position > 0 {
			m.Ms, m.Seq = (m.Position-1)>>20, (m.Position-1)&(1<<20-1)
		}
	}
	if err := p.look(ctx); err != nil {
		return err
	}
	fault.Point("trim.before")
	err := p.write(ctx)
	fault.Point("trim.after")
	if err != nil {
		return err
	}
	for i := range p.marks {
		for len(p.acks[i].Val()) == pending { // there may be more
			var next *redis.XPendingExtCmd
			if _, err := p.node.Pipelined(ctx, func(pipe redis.Pipeliner) error {
				next = p.pending(ctx, pipe, p.marks[i])
				return nil
			}); err != nil {
				return err
			}
			p.acks[i] = next
			if _, err := p.node.Pipelined(ctx, func(pipe redis.Pipeliner) error {
				p.ack(ctx, pipe, i)
				return nil
			}); err != nil {
				return err
			}
		}
	}
	if err := p.tidy(ctx); err != nil { // what matters is done
		p.b.log.Warn("consumers of workers that are gone stay", zap.String("shard", p.shard), zap.String("pipeline", p.pipeline), zap.Error(err))
	}
	return nil
}

// look reads the clock, the other marks, the tails, and what is pending below the marks.
func (p *publication) look(ctx context.Context) error {
	var now *redis.TimeCmd
	var hash *redis.MapStringStringCmd
	_, err := p.node.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		now = pipe.Time(ctx)
		hash = pipe.HGetAll(ctx, p.b.trimKey(p.shard))
		for _, m := range p.marks {
			p.tails = append(p.tails, pipe.HMGet(ctx, p.b.tailKey(p.shard, m.Lane), tailNext, tailBytes))
			p.acks = append(p.acks, p.pending(ctx, pipe, m))
		}
		return nil
	})
	if err != nil && !strings.HasPrefix(err.Error(), "NOGROUP") {
		return err
	}
	for _, err := range []error{now.Err(), hash.Err()} {
		if err != nil {
			return err
		}
	}
	p.now = now.Val().UnixMilli()
	p.hash = hash.Val()
	p.all = decodeMarks(p.hash)
	if p.all[p.pipeline] == nil {
		p.all[p.pipeline] = map[string]Mark{}
	}
	for i := range p.marks {
		p.marks[i].At = p.now
		p.all[p.pipeline][p.marks[i].Lane] = p.marks[i]
	}
	return nil
}

func (p *publication) pending(ctx context.Context, pipe redis.Pipeliner, m Mark) *redis.XPendingExtCmd {
	return pipe.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: p.b.laneKey(p.shard, m.Lane), Group: p.pipeline, Start: "-", End: id(m.Ms, m.Seq), Count: pending,
	})
}

func (p *publication) ack(ctx context.Context, pipe redis.Pipeliner, i int) {
	held := p.acks[i].Val()
	if len(held) == 0 {
		return
	}
	ids := make([]string, len(held))
	for j := range held {
		ids[j] = held[j].ID
	}
	pipe.XAck(ctx, p.b.laneKey(p.shard, p.marks[i].Lane), p.pipeline, ids...)
	acked.Add(float64(len(ids)))
}

// write writes the marks, acknowledges, and trims.
func (p *publication) write(ctx context.Context) error {
	key := p.b.trimKey(p.shard)
	fields := make([]any, 0, 4*len(p.marks))
	for _, m := range p.marks {
		fields = append(fields, markField(p.pipeline, m.Lane), m.encode())
	}
	var trimmed []*redis.IntCmd
	var set *redis.IntCmd
	_, err := p.node.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, m := range p.marks {
			p.ack(ctx, pipe, i)
			least, ok := p.least(m.Lane)
			if ok {
				trimmed = append(trimmed, pipe.XTrimMinID(ctx, p.b.laneKey(p.shard, m.Lane), id(least.Ms, least.Seq+1)))
			}
			if n, ok := p.before(i, least, ok); ok {
				fields = append(fields, trimmedField(m.Lane), n)
			}
		}
		if len(fields) > 0 {
			set = pipe.HSet(ctx, key, fields...)
		}
		return nil
	})
	if set != nil && fullMemory(set.Err()) {
		fullScripts.Inc()
		if err = p.node.Eval(ctx, allowOOM+publishScript, []string{key}, fields...).Err(); err != nil {
			return err
		}
	}
	for _, t := range trimmed {
		if t.Err() != nil {
			return t.Err()
		}
		trims.Inc()
		trimmedEntries.Add(float64(t.Val()))
	}
	if err != nil {
		return err
	}
	return nil
}

// runs reports whether the pipeline published within alive on any of the shard's lanes.
func (p *publication) runs(pipeline string) bool {
	if pipeline == p.pipeline {
		return true
	}
	for _, m := range p.all[pipeline] {
		if age := p.now - m.At; age <= p.alive.Milliseconds() && -age <= p.alive.Milliseconds() {
			return true
		}
	}
	return false
}

// least is the least mark that counts in the lane; ok is false if one is missing or its entry is not known.
func (p *publication) least(lane string) (least Mark, ok bool) {
	count := func(pipeline string) bool {
		m, have := p.all[pipeline][lane]
		if !have || m.Ms == 0 && m.Seq == 0 {
			return false
		}
		if !ok || m.before(least) {
			least, ok = m, true
		}
		return true
	}
	for pipeline, marks := range p.all {
		_, enrolled := marks[DirectLane]
		if (p.runs(pipeline) || lane == DirectLane && enrolled) && !count(pipeline) {
			return Mark{}, false
		}
	}
	if lane == DirectLane {
		for _, pipeline := range p.required {
			if !count(pipeline) {
				return Mark{}, false
			}
		}
	}
	return least, ok
}

// before is how many bytes were appended ever before what is left of the lane after the trim; ok is false if that is not
// known better than before.
//
// A mark from before Redis lost the lane counts by another measure: then its bytes may lie beyond the tail's.
func (p *publication) before(i int, least Mark, known bool) (bytes int64, ok bool) {
	lane := p.marks[i].Lane
	v := p.tails[i].Val()
	if lane == DirectLane || len(v) != 2 || v[0] == nil || v[1] == nil {
		return 0, false
	}
	next, ok1 := tailNumber(v[0])
	ever, ok2 := tailNumber(v[1])
	if !ok1 || !ok2 {
		return 0, false
	}
	behind := true // everything in the lane is behind every pipeline
	for pipeline, marks := range p.all {
		if p.runs(pipeline) {
			m, have := marks[lane]
			behind = behind && have && m.Position >= next
		}
	}
	if behind {
		return ever, true
	}
	if !known || least.Bytes > ever {
		return 0, false
	}
	// A pipeline that comes back has marks from before what is trimmed already.
	if old, ok := number([]byte(p.hash[trimmedField(lane)])); ok && old <= ever {
		return max(old, least.Bytes), true
	}
	return least.Bytes, true
}

func tailNumber(v any) (int64, bool) {
	s, _ := v.(string)
	return number([]byte(s))
}
