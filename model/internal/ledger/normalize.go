package ledger

import "cmp"

// normalize drops what no later step can see, and takes at once the steps that touch nothing but their worker. Both make
// states equal that would lead to the same.
//
//   - Of epochs only matters which is the current one (with OldBroker their order does).
//   - A superseded owner of a Kafka sink can still do two things: publish what it knows to be committed, and be given an
//     entry by a request it had sent.
//   - A replay ends when its records are there.
//   - IDs matter by their order: the lane's first is 1.
//   - Workers of a pipeline are alike, and so are ingesters: they are sorted.
func (m *Ledger) normalize(s *State) {
	m.forgetCounts(s)
	for p := range m.Bounds.Pipelines {
		k := &s.Pipelines[p]
		if !m.Broken.ReadToMark {
			k.Stable = Journal{}
		}
		if !m.Setup.Mongo {
			k.Journal.Cuts, k.Journal.Delivered, k.Stable.Cuts, k.Stable.Delivered = 0, 0, 0, 0
		}
		for w := p; w < m.Bounds.Workers*m.Bounds.Pipelines; w += m.Bounds.Pipelines {
			m.normalizeWorker(&s.Workers[w], k)
		}
		if !m.Setup.OldBroker {
			k.OutputEpoch = 0
			if k.Late.Kind == nothing || k.LateEpoch != k.Epoch {
				k.Late, k.LateEpoch = Item{}, 0
			} else {
				k.LateEpoch = 1
			}
			k.Epoch = 1
		}
	}
	m.normalizeRedis(s)
	m.sort(s)
}

// forgetCounts: what may happen without bound is not counted.
func (m *Ledger) forgetCounts(s *State) {
	for _, c := range []struct {
		count *uint8
		bound uint8
	}{
		{&s.Failovers, m.Bounds.Failovers}, {&s.Flushes, m.Bounds.Flushes}, {&s.Takeovers, m.Bounds.Takeovers}, {&s.Lost, m.Bounds.Lost},
	} {
		if c.bound == Any {
			*c.count = 0
		}
	}
	if s.Failovers >= m.Bounds.Failovers {
		s.Replica = Redis{}
	}
}

func (m *Ledger) normalizeWorker(x *Worker, k *Pipeline) {
	current := x.Epoch == k.Epoch
	if !m.Setup.OldBroker {
		if !current && !m.Setup.Mongo && (x.Phase == working || x.Phase == committing) || x.Phase == fenced && !current && k.Marked {
			x.stop()
		}
		if x.Phase == working && !current { // MongoDB: it may still write what it knows
			*x = Worker{Phase: working, Woken: true, Checkpoint: x.Checkpoint, Cuts: x.Cuts &^ (1<<x.Up - 1), Up: x.Up}
			if x.Cuts == 0 {
				x.stop()
			}
		}
		if x.Phase == idle || x.Phase == unfenced || !current {
			x.Epoch = 0
		} else {
			x.Epoch = 1
		}
	}
	if x.Phase == working && x.Replaying && x.Read >= x.ReplayPosition {
		if !m.Broken.ReplayInLogOrder || x.Position != x.ReplayPosition {
			x.Position, x.Closed = x.ReplayPosition, x.ReplayClosed
		}
		x.Replaying = false
	}
	if !x.Replaying {
		x.ReplayPosition, x.ReplayClosed = 0, 0
	}
	if m.Setup.Mongo {
		x.Cuts &^= 1<<x.Up - 1 // those are written
	} else {
		x.Cuts, x.Up = 0, 0
	}
	if m.Setup.Direct && !m.Broken.OwnCursor {
		x.Woken = false
	}
}

// normalizeRedis numbers the lane's IDs anew, from 1.
func (m *Ledger) normalizeRedis(s *State) {
	if m.Setup.Direct && !m.Broken.OwnCursor {
		s.Redis.Delivered, s.Replica.Delivered = [maxPipelines]uint8{}, [maxPipelines]uint8{}
	}
	if m.Setup.Forgetful { // only whether one was published matters
		for p := range s.Redis.Positions {
			if s.Redis.Positions[p] != none {
				s.Redis.Positions[p] = 0
			}
		}
		for w := range s.Workers {
			if x := &s.Workers[w]; x.Checkpoint != none && x.Phase == idle {
				x.Checkpoint = 0
			}
		}
	}
	base := s.Redis.firstID()
	if s.Failovers < m.Bounds.Failovers {
		base = min(base, s.Replica.firstID())
		s.Replica.rebase(base - 1)
	}
	s.Redis.rebase(base - 1)
	for w := range s.Workers {
		x := &s.Workers[w]
		x.Last -= min(x.Last, base-1)
	}
}

func (r *Redis) firstID() uint8 {
	if r.Len > 0 {
		return r.Entries[0].ID
	}
	return r.LastID + 1
}

func (r *Redis) rebase(by uint8) {
	for i := range r.Entries[:r.Len] {
		r.Entries[i].ID -= by
	}
	r.LastID -= min(r.LastID, by)
	for p := range r.Delivered {
		r.Delivered[p] -= min(r.Delivered[p], by)
	}
}

// sort puts what is alike in order.
func (m *Ledger) sort(s *State) {
	if m.Named {
		return
	}
	each := m.Bounds.Pipelines
	for a := range m.Bounds.Workers * each {
		for b := a + each; b < m.Bounds.Workers*each; b += each {
			if s.Workers[b].compare(&s.Workers[a]) < 0 {
				s.Workers[a], s.Workers[b] = s.Workers[b], s.Workers[a]
			}
		}
	}
	if i := &s.Ingesters; m.Bounds.Ingesters == 2 && cmp.Or(cmp.Compare(i[0].Next, i[1].Next), flag(i[0].Create)-flag(i[1].Create)) > 0 {
		i[0], i[1] = i[1], i[0]
	}
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (w *Worker) compare(o *Worker) int {
	return cmp.Or(
		cmp.Compare(w.Phase, o.Phase), cmp.Compare(w.Epoch, o.Epoch), flag(w.Woken)-flag(o.Woken),
		cmp.Compare(w.Checkpoint, o.Checkpoint), cmp.Compare(w.Position, o.Position), cmp.Compare(w.Closed, o.Closed),
		cmp.Compare(w.Read, o.Read), flag(w.Scanning)-flag(o.Scanning), cmp.Compare(w.Last, o.Last),
		flag(w.Replaying)-flag(o.Replaying), cmp.Compare(w.ReplayPosition, o.ReplayPosition), cmp.Compare(w.ReplayClosed, o.ReplayClosed),
		cmp.Compare(w.Cuts, o.Cuts), cmp.Compare(w.Up, o.Up),
		cmp.Compare(w.Item.Kind, o.Item.Kind), cmp.Compare(w.Item.From, o.Item.From), cmp.Compare(w.Item.Position, o.Item.Position),
		cmp.Compare(w.Item.Closed, o.Item.Closed), cmp.Compare(w.Item.Delivered, o.Item.Delivered),
	)
}
