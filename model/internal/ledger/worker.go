package ledger

// worker: what worker w can do next.
func (n *next) worker(w uint8) {
	p := w % n.m.Bounds.Pipelines
	me, k := &n.s.Workers[w], &n.s.Pipelines[p]
	n.publish(w, p)
	if me.Woken && me.Epoch != k.Epoch {
		n.zombie(w, p)
	}
	n.upsert(w, p)
	switch me.Phase {
	case idle:
		if n.m.Broken.FenceBeforeRead {
			n.load(Step{Op: readJournal, Who: w}, w, k.Journal, unfenced)
		} else {
			n.fence(w, p, fenced)
		}
	case unfenced:
		n.fence(w, p, working)
	case fenced:
		n.mark(w, p)
	case working:
		n.work(w, p)
	case committing:
		n.commit(w, p)
	}
}

// fence makes a new epoch: it waits for a decided transaction, and aborts an open one.
func (n *next) fence(w, p uint8, then phase) {
	if n.s.Pipelines[p].Txn == decidedTxn || n.s.Takeovers >= n.m.Bounds.Takeovers {
		return
	}
	fence := func(t *State) *Worker {
		t.Takeovers++
		k := &t.Pipelines[p]
		k.Epoch++
		k.Marked = false
		if k.Txn == openTxn {
			k.end()
		}
		return &t.Workers[w]
	}
	n.to(Step{initProducer, w, ok, 0}, func(t *State) {
		x := fence(t)
		x.Epoch, x.Phase, x.Woken = t.Pipelines[p].Epoch, then, false
	})
	n.unsure(Step{initProducer, w, replyLost, 0}, func(t *State) { fence(t) })
}

// mark writes the taker's mark and reads the journal up to it. A mark whose fate is not known belongs to an epoch that is
// over: the next try begins with a new one. It may still come into the journal, where readers pass over it.
func (n *next) mark(w, p uint8) {
	me, k := &n.s.Workers[w], &n.s.Pipelines[p]
	current := me.Epoch == k.Epoch
	if !current && k.Marked {
		n.to(Step{writeMark, w, epochRefused, 0}, func(t *State) { t.Workers[w].stop() })
		return
	}
	// A superseded taker's mark is accepted where the newer one's has not come yet: it sees what was committed so far.
	n.load(Step{writeMark, w, ok, 0}, w, k.Journal, working)
	n.unsure(Step{writeMark, w, replyLost, 0}, func(t *State) {
		t.Pipelines[p].Marked = t.Pipelines[p].Marked || current
		t.Workers[w].stop()
	})
	n.unsure(Step{writeMark, w, requestLost, 0}, func(t *State) { t.Workers[w].stop() })
	if n.m.Broken.ReadToMark && k.Stable != k.Journal {
		n.load(Step{readJournal, w, 1, 0}, w, k.Stable, working)
	}
}

func (n *next) load(a Step, w uint8, j Journal, then phase) {
	n.to(a, func(t *State) {
		x := &t.Workers[w]
		x.Phase = then
		x.load(j)
		if n.m.Broken.RewriteUndelivered {
			x.Up = j.Closed
		}
		k := &t.Pipelines[w%n.m.Bounds.Pipelines]
		k.Marked = k.Marked || then == working && x.Epoch == k.Epoch
		if n.m.Broken.StartFromJournal && j.Checkpoint == none {
			x.Position = t.Redis.oldest()
			x.Closed, x.Read, x.Up = x.Position, x.Position, x.Position
		}
	})
}

func (r *Redis) oldest() uint8 {
	switch {
	case r.Len > 0:
		return r.Entries[0].From
	case r.Tail != none:
		return r.Tail
	}
	return 0
}

// work: an owner reads, decides, and sends.
func (n *next) work(w, p uint8) {
	me, k := &n.s.Workers[w], &n.s.Pipelines[p]
	if me.Epoch != k.Epoch && !n.m.Setup.OldBroker {
		return // superseded: all that can still matter is above
	}
	if me.Checkpoint == none && k.Journal.Checkpoint == none && n.s.Redis.Positions[p] != none {
		n.to(Step{Op: refuse, Who: w}, func(t *State) { t.Fault = refused })
		return
	}
	n.read(w, p)
	if me.Replaying {
		return // normalize ends it, when the records are there
	}
	if k.Txn == decidedTxn {
		return // 51: asked again until it is through
	}
	delivered := uint8(0)
	if n.m.Setup.Mongo {
		delivered = me.Up
		if n.m.Broken.DeliveredAcknowledged {
			delivered = me.Closed
		}
	}
	if me.Checkpoint == none { // the first checkpoint fixes where the pipeline begins
		n.produce(w, p, Item{Kind: checkpoint, Position: me.Position, Closed: me.Closed, Delivered: delivered})
		return
	}
	for to := me.Position; to <= me.Read; to++ {
		for end := me.Closed + 1; end <= to; end++ {
			n.produce(w, p, Item{decision, me.Closed, to, end, delivered})
		}
		if to > me.Checkpoint {
			n.produce(w, p, Item{checkpoint, 0, to, me.Closed, delivered})
		}
	}
}

// produce sends an item in a transaction.
func (n *next) produce(w, p uint8, it Item) {
	a := Step{produce, w, it.Position | it.Closed<<4, uint8(it.Kind) << 4}
	if n.s.Workers[w].Epoch != n.s.Pipelines[p].Epoch {
		a.B |= epochRefused
		n.to(a, func(t *State) { t.Workers[w].stop() })
		return
	}
	n.to(a, func(t *State) {
		x, y := &t.Workers[w], &t.Pipelines[p]
		y.Txn, y.OutputEpoch = openTxn, x.Epoch
		y.hold(it)
		x.Phase, x.Item = committing, it
		if n.m.Broken.WriteAfterCommit && it.Kind == decision {
			y.Docs[it.From] |= 1 << (it.Closed - 1)
		}
	})
	failed := func(t *State) {
		if n.m.Broken.NewEpochAfterError || n.m.Broken.AbortByNextEpoch {
			t.Pipelines[p].end()
		}
		if !n.m.Broken.NewEpochAfterError {
			t.Workers[w].stop()
		}
	}
	a.B = a.B&^15 | replyLost
	n.unsure(a, func(t *State) {
		t.Pipelines[p].Txn = openTxn
		t.Pipelines[p].hold(it)
		failed(t)
	})
	a.B = a.B&^15 | requestDelayed
	n.unsure(a, func(t *State) {
		y := &t.Pipelines[p]
		y.Txn = openTxn
		if y.Late.Kind == nothing {
			y.Late, y.LateEpoch = it, t.Workers[w].Epoch
		}
		failed(t)
	})
}

// commit ends the transaction.
func (n *next) commit(w, p uint8) {
	me, k := &n.s.Workers[w], &n.s.Pipelines[p]
	if me.Epoch != k.Epoch {
		n.to(Step{endTxn, w, epochRefused, 0}, func(t *State) { t.Workers[w].stop() })
		return
	}
	if k.Txn != openTxn {
		return
	}
	n.to(Step{endTxn, w, ok, 0}, func(t *State) {
		t.Pipelines[p].Txn = decidedTxn
		x := &t.Workers[w]
		x.Phase, x.Position, x.Closed = working, x.Item.Position, x.Item.Closed
		if x.Item.Kind == checkpoint {
			x.Checkpoint = x.Item.Position
		} else {
			x.Cuts |= 1 << (x.Item.Closed - 1)
		}
		x.Item = Item{}
	})
	for _, how := range []uint8{replyLost, requestLost} {
		n.unsure(Step{endTxn, w, how, 0}, func(t *State) {
			x, y := &t.Workers[w], &t.Pipelines[p]
			if how == replyLost {
				y.Txn = decidedTxn
			}
			if n.m.Broken.WriteConfirmed && x.Item.Kind == decision {
				y.Docs[x.Item.From] |= 1 << (x.Item.Closed - 1)
			}
			if how == requestLost && (n.m.Broken.NewEpochAfterError || n.m.Broken.AbortByNextEpoch) {
				y.end()
			}
			if n.m.Broken.NewEpochAfterError {
				x.Phase, x.Item = working, Item{}
			} else {
				x.stop()
			}
		})
	}
}

// publish: whoever knows of a committed checkpoint may publish it and trim, also long after it was superseded.
func (n *next) publish(w, p uint8) {
	me := &n.s.Workers[w]
	if at := me.Checkpoint; at != none && n.s.Redis.Positions[p] != at {
		n.publishAt(w, p, at, true)
	}
	if me.Phase != committing || me.Item.Kind != checkpoint {
		return
	}
	if at := me.Item.Position; n.m.Broken.TrimConfirmed || n.m.Broken.PublishConfirmed && n.s.Redis.Positions[p] != at {
		n.publishAt(w, p, at, n.m.Broken.PublishConfirmed)
	}
}

// publishAt trims the lane to the least position that counts, its own being at.
func (n *next) publishAt(w, p, at uint8, write bool) {
	all := n.s.Redis.Positions
	all[p] = at
	least := at
	for q := range n.m.Bounds.Pipelines {
		switch {
		case all[q] != none:
			least = min(least, all[q])
		case n.m.Setup.Direct && !n.m.Broken.TrimForJournaled && n.s.Created[q]:
			least = 0
		}
	}
	put := func(to uint8) {
		n.to(Step{publish, w, at, to}, func(t *State) {
			if write {
				t.Redis.Positions = all
			}
			if !n.m.Setup.Forgetful { // else it loses more than is trimmed
				t.Redis.trim(to)
			}
		})
	}
	put(least)
	if !n.m.Setup.Direct && !n.m.Setup.Forgetful && least != at {
		put(at) // the others do not run: they will read from the source
	}
}

// zombie: a superseded owner's last read request is served, and takes the group on.
func (n *next) zombie(w, p uint8) {
	for _, e := range n.s.Redis.Entries[:n.s.Redis.Len] {
		if e.ID > n.s.Redis.Delivered[p] {
			n.to(Step{zombieReads, w, e.ID, 0}, func(t *State) {
				t.Redis.Delivered[p] = e.ID
				t.Workers[w].Woken = false
			})
			return
		}
	}
}

// upsert writes the next window that the worker believes committed to MongoDB.
func (n *next) upsert(w, p uint8) {
	me := &n.s.Workers[w]
	if !n.m.Setup.Mongo || me.Phase != working && me.Phase != committing {
		return
	}
	for b := me.Up; b < 8; b++ {
		if me.Cuts>>b&1 == 1 {
			n.to(Step{upsert, w, me.Up, b + 1}, func(t *State) {
				t.Pipelines[p].Docs[me.Up] |= 1 << b
				t.Workers[w].Up = b + 1
			})
			return
		}
	}
}
