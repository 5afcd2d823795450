package ledger

// Initial is a shard that has been worked on, with nothing in Redis: the state after Redis was lost. A latecomer among the
// pipelines does not exist yet.
func (m *Ledger) Initial() (s State) {
	s.Redis = emptyRedis()
	s.Replica = s.Redis
	for p := range s.Pipelines[:m.Bounds.Pipelines] {
		s.Created[p] = true
	}
	if m.Setup.Latecomer {
		late := m.Bounds.Pipelines - 1
		s.Created[late] = false
		s.Pipelines[late].Journal.Checkpoint = none
		s.Pipelines[late].Stable.Checkpoint = none
	}
	for i := range s.Ingesters {
		s.Ingesters[i].Next = none
	}
	for w := range s.Workers {
		s.Workers[w].Checkpoint = none
	}
	m.normalize(&s)
	return s
}

// next is one state's expansion.
type next struct {
	m    *Ledger
	s    *State
	lost bool // a reply may still be lost
	step func(Step, State)
}

// Next gives every step of every process, and every fault.
func (m *Ledger) Next(s *State, step func(Step, State)) {
	n := next{m: m, s: s, lost: s.Lost < m.Bounds.Lost, step: step}
	n.redis()
	n.ingest()
	for p := range m.Bounds.Pipelines {
		if !s.Created[p] {
			n.to(Step{Op: create, Who: p}, func(t *State) { t.Created[p] = true })
			continue
		}
		n.kafka(p)
	}
	for w := range m.Bounds.Workers * m.Bounds.Pipelines {
		if s.Created[w%m.Bounds.Pipelines] {
			n.worker(w)
		}
	}
}

// to takes a step: change makes the next state of a copy of this one.
func (n *next) to(a Step, change func(t *State)) {
	t := *n.s
	change(&t)
	n.m.normalize(&t)
	n.step(a, t)
}

// unsure takes a step whose answer does not come.
func (n *next) unsure(a Step, change func(t *State)) {
	if n.lost {
		n.to(a, func(t *State) { t.Lost++; change(t) })
	}
}

// redis: it replicates, fails over, and loses things.
func (n *next) redis() {
	s, b := n.s, n.m.Bounds
	if s.Failovers < b.Failovers && s.Redis != s.Replica {
		n.to(Step{Op: replicate}, func(t *State) { t.Replica = t.Redis })
		n.to(Step{Op: failover}, func(t *State) { t.Redis = t.Replica; t.Failovers++ })
	}
	if s.Flushes < b.Flushes && s.Redis != emptyRedis() {
		n.to(Step{Op: flush}, func(t *State) { t.Redis = emptyRedis(); t.Flushes++ })
	}
	if n.m.Setup.Forgetful && s.Redis.Len > 0 {
		n.to(Step{Op: forget}, func(t *State) { t.Redis.drop() })
	}
}

// ingest: the ingesters append, each where it read the tail. A lane without one begins anywhere: what offset ingest's
// group has committed is of no consequence for safety, an owner reads from the source what lies before the lane.
func (n *next) ingest() {
	s, b := n.s, n.m.Bounds
	if n.m.Setup.Direct {
		if at := s.Redis.Tail; s.Redis.Len < maxEntries && (at == none || at < b.Records) {
			n.to(Step{Op: appendDirect}, func(t *State) { t.Redis.add(at%none, at%none+1) })
		}
		return
	}
	for i := range b.Ingesters {
		x := s.Ingesters[i]
		if x.Next == none || x.Next >= b.Records && s.Redis.Tail != x.Next {
			if s.Redis.Tail != none {
				n.to(Step{Op: readTail, Who: i}, func(t *State) { t.Ingesters[i] = Ingester{Next: s.Redis.Tail} })
				continue
			}
			for at := range b.Records {
				n.to(Step{Op: readTail, Who: i}, func(t *State) { t.Ingesters[i] = Ingester{Next: at, Create: true} })
			}
			continue
		}
		same := s.Redis.Tail == x.Next && !x.Create || s.Redis.Tail == none && x.Create
		if !same && !n.m.Broken.CompareTail {
			n.to(Step{Op: appendRecords, Who: i, B: conflict}, func(t *State) { t.Ingesters[i] = Ingester{Next: none} })
			continue
		}
		for count := uint8(1); count <= 2 && x.Next+count <= b.Records && s.Redis.Len < maxEntries; count++ {
			n.to(Step{appendRecords, i, count, ok}, func(t *State) {
				t.Redis.add(x.Next, x.Next+count)
				t.Ingesters[i] = Ingester{Next: x.Next + count}
			})
			n.unsure(Step{appendRecords, i, count, replyLost}, func(t *State) {
				t.Redis.add(x.Next, x.Next+count)
				t.Ingesters[i] = Ingester{Next: none}
			})
		}
	}
}

// kafka: what it does of itself.
func (n *next) kafka(p uint8) {
	k := &n.s.Pipelines[p]
	switch k.Txn {
	case decidedTxn:
		n.to(Step{Op: completeTxn, Who: p}, func(t *State) {
			if t.Pipelines[p].complete() {
				t.Fault = twice
			}
		})
	case openTxn:
		n.to(Step{Op: timeout, Who: p}, func(t *State) {
			t.Pipelines[p].Epoch++
			t.Pipelines[p].end()
		})
	}
	if k.Late.Kind == nothing {
		return
	}
	old := n.m.Setup.OldBroker
	// Since KIP-890 a request without an open transaction is refused; before, it waits for the next marker.
	accepted := k.Txn == openTxn && k.LateEpoch == k.Epoch || old && k.Txn != decidedTxn && k.LateEpoch >= k.OutputEpoch
	a := Step{Op: lateArrives, Who: p}
	if accepted {
		a.A = 1
	}
	n.to(a, func(t *State) {
		x := &t.Pipelines[p]
		if accepted {
			x.hold(x.Late)
		}
		x.Late, x.LateEpoch = Item{}, 0
	})
}
