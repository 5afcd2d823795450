package sim

// rules are those that TestEveryRuleIsNeeded breaks.
var rules = []rule{
	{"tail-compared", "an append compares the lane's tail", []edit{{
		"pkg/buffer/append.go",
		`{"WATCH", a.key},`,
		`{"WATCH", map[bool]string{true: "another key", false: a.key}[broken.Rule("tail-compared")]},`,
	}}},
	{"redis-not-sent-again", "what may have reached Redis is not sent again", []edit{{
		"pkg/buffer/conn.go",
		`	if _, err := p.Exec(ctx); err != nil {
`,
		`	_, err := p.Exec(ctx)
	if err != nil && broken.Rule("redis-not-sent-again") {
		c.drop(ctx)
		if node, nodeErr := c.b.node(ctx, c.key); nodeErr == nil {
			c.c = node.EphemeralConn()
			p = c.c.Pipeline()
			out.reset()
			for _, args := range cmds {
				_ = p.Process(ctx, redis.NewRawWriteToCmd(ctx, out, args...))
			}
			_, err = p.Exec(ctx)
		}
	}
	if err != nil {
`,
	}}},
	{"no-gap", "an owner accepts no gap in its lane", []edit{{
		"pkg/process/feed.go",
		`if e.From > l.read && !l.direct {`,
		`if e.From > l.read && !l.direct && !broken.Rule("no-gap") {`,
	}}},
	{"positions-are-offsets", "a position is an offset of the source, not the ID of an entry", []edit{{
		"pkg/process/feed.go",
		`		if e.Next <= l.read {
`,
		`		again := false
		if seen := l.last; broken.Rule("positions-are-offsets") {
			if n := len(l.spans); n > 0 {
				seen = l.spans[n-1].end
			}
			if again = seen != (mark{}) && end != (mark{}) && (e.Ms > seen.ms || e.Ms == seen.ms && e.Seq > seen.seq); again {
				l.read = e.From
			}
		}
		if e.Next <= l.read && !again {
`,
	}}},
	{"epoch-used-once", "an epoch is not used again after an error", []edit{{
		"pkg/journal/owner.go",
		`	if err := do(); err != nil {
`,
		`	err := do()
	if err != nil && broken.Rule("epoch-used-once") {
		err = do()
	}
	if err != nil {
`,
	}}},
	{"fenced-before-read", "the end of the journal is asked for after the fencing", []edit{{
		"pkg/journal/take.go",
		`	end, err := j.fence(ctx, w, ownerKey(shard), keep)
`,
		`	var early map[int32]int64
	if broken.Rule("fenced-before-read") {
		early, _ = j.cluster.Offsets(ctx, j.o.Topic, []int32{w.partition}, wire.Latest, false)
	}
	end, err := j.fence(ctx, w, ownerKey(shard), keep)
	if n, ok := early[w.partition]; ok {
		end = n
	}
`,
	}}},
	{"read-to-the-mark", "the journal is read up to the mark, not to the last stable offset", []edit{{
		"pkg/journal/take.go",
		`	a, err := j.readFromHint(ctx, shard, w.partition, hint, end)
`,
		`	if broken.Rule("read-to-the-mark") {
		if stable, err := j.cluster.Offsets(ctx, j.o.Topic, []int32{w.partition}, wire.Latest, true); err == nil {
			end = min(end, stable[w.partition])
		}
	}
	a, err := j.readFromHint(ctx, shard, w.partition, hint, end)
`,
	}}},
	{"committed-decisions-only", "decisions of aborted transactions are nobody's", []edit{{
		"pkg/journal/read.go",
		`MaxWait: fetchWait, ReadCommitted: true,`,
		`MaxWait: fetchWait, ReadCommitted: !broken.Rule("committed-decisions-only"),`,
	}}},
	{"published-when-committed", "a position is published, and the lane trimmed, when its checkpoint is known to be committed", []edit{{
		"pkg/process/commit.go",
		`		t := time.Now()
		if err := o.journal.Checkpoint(ctx, j.point); err != nil {
`,
		`		t := time.Now()
		if broken.Rule("published-when-committed") {
			o.w.publish(ctx, o.shard, j.marks)
		}
		if err := o.journal.Checkpoint(ctx, j.point); err != nil {
`,
	}}},
	{"checkpoint-behind-its-decisions", "a checkpoint is behind every decision that it covers", []edit{{
		"pkg/process/commit.go",
		`	if o.group.Len() > 0 || o.outputs() {
		o.seal()
`,
		`	if (o.group.Len() > 0 || o.outputs()) && !broken.Rule("checkpoint-behind-its-decisions") {
		o.seal()
`,
	}}},
	{"delivered-after-commit", "a sink outside the transaction is written when the decision is known to be committed", []edit{{
		"pkg/process/commit.go",
		`	if len(j.decisions) > 0 || o.w.o.Sink.Transactional() {
`,
		`	if broken.Rule("delivered-after-commit") && !o.w.o.Sink.Transactional() {
		if err := o.w.deliver(ctx, o.shard, j.group); err != nil {
			return err
		}
	}
	if len(j.decisions) > 0 || o.w.o.Sink.Transactional() {
`,
	}}},
	{"delivered-when-acknowledged", "the journal says that windows were delivered when that was acknowledged", []edit{{
		"pkg/process/commit.go",
		`		if err := o.journal.Commit(ctx, j.group.Batches(), j.decisions, o.delivered); err != nil {
`,
		`		delivered := o.delivered
		if broken.Rule("delivered-when-acknowledged") && !o.w.o.Sink.Transactional() {
			delivered = j.upTo
		}
		if err := o.journal.Commit(ctx, j.group.Batches(), j.decisions, delivered); err != nil {
`,
	}}},
	{"settings-are-a-decision", "a change of settings is journaled", []edit{{
		"pkg/process/takeover.go",
		`	o.k++
	o.handling.decided(ctx, d)
	o.handled()
	return nil
`,
		`	o.k++
	if broken.Rule("settings-are-a-decision") {
		d.Settings = nil
	}
	o.handling.decided(ctx, d)
	o.handled()
	return nil
`,
	}}},
	{"checkpoint-after-replay", "a checkpoint follows on a replay, to free what was replayed", []edit{{
		"pkg/process/takeover.go",
		`o.moved = len(h.Decisions) > 0`,
		`o.moved = len(h.Decisions) > 0 && !broken.Rule("checkpoint-after-replay")`,
	}}},
	{"receipts-are-decided", "a replay gives records the times of receipt that the decision holds", []edit{{
		"pkg/process/receipts.go",
		`		if rs == nil {
			return nil
`,
		`		if rs == nil || broken.Rule("receipts-are-decided") {
			return nil
`,
	}}},
	{"lanes-are-decided", "a replay tells the machine what the decision knew of the lanes", []edit{{
		"pkg/process/takeover.go",
		`	if d.Settings != nil {
		if err := o.changeTo(&again); err != nil {
`,
		`	if broken.Rule("lanes-are-decided") && d.Lanes != nil {
		again.Lanes = o.feed.known()
	}
	if d.Settings != nil {
		if err := o.changeTo(&again); err != nil {
`,
	}}},
	{"lane-bounded", "a lane that holds BUFFER_MAX_BYTES gets no more", []edit{{
		"pkg/ingest/lane.go",
		`		if l.fullest().held >= l.in.o.MaxBytes {
`,
		`		if l.fullest().held >= l.in.o.MaxBytes && !broken.Rule("lane-bounded") {
`,
	}}},
}
