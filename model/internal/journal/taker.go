package journal

// read: the taker reads the next record before its mark, or is through.
func (m *Journal) read(s *State, to func(Step, func(*State))) {
	x := s.Taker
	for _, r := range s.Log[:s.Len] {
		if r.Offset < x.Position || r.Offset >= x.Mark {
			continue
		}
		to(Step{read, r.Offset}, func(t *State) {
			y := &t.Taker
			at := y.Position
			y.Position = r.Offset + 1
			if y.First && y.FromHint && !m.Broken.HintChecked && (r.Offset != at || r.Count == 0 || r.Index != 0) {
				y.restart()
				return
			}
			y.First = false
			if r.Count > 0 {
				m.chunk(y, r)
			} else {
				m.decision(y, r)
			}
		})
		return
	}
	to(Step{end, 0}, func(t *State) {
		y := &t.Taker
		if y.FromHint && !m.Broken.HintChecked && y.Base == 0 {
			y.restart()
			return
		}
		y.Done = true
		y.Lost = y.Lost || y.Highest != y.Base && !m.Broken.ChunkNamesCheckpoint && !m.Broken.ChunkNamesCount && !m.Broken.CompleteBeforeBase
	})
}

func (x *Taker) restart() {
	*x = Taker{Marked: true, Mark: x.Mark, Superseded: x.Superseded, First: true}
}

// chunk gathers a checkpoint.
func (m *Journal) chunk(x *Taker, r Record) {
	x.Highest = max(x.Highest, r.Checkpoint)
	same := r.Checkpoint == x.Gathering && r.Count == x.GatheringCount
	if m.Broken.ChunkNamesCheckpoint { // the newest chunk of each index counts
		x.Mixed = x.Mixed && r.Index > 0 || r.Index > 0 && r.Checkpoint != x.Gathering
		same = true
		if r.Index > 0 && x.NextChunk == 0 {
			x.NextChunk = r.Index
		}
	}
	switch {
	case r.Index == 0:
		x.Gathering, x.GatheringCount, x.Mixed = r.Checkpoint, r.Count, false
	case r.Index != x.NextChunk || !same:
		x.NextChunk = 0 // the rest of an older one, whose head was compacted away
		return
	}
	x.NextChunk = r.Index + 1
	complete := x.NextChunk == x.GatheringCount
	if m.Broken.ChunkNamesCheckpoint {
		complete = x.NextChunk == r.Count
	}
	if !complete && !m.Broken.CompleteBeforeBase && !m.Broken.ChunkNamesCount {
		return
	}
	x.Base, x.BaseBad, x.Read, x.Wrong, x.Lost = x.Gathering, !complete || x.Mixed, 0, false, false
	if complete {
		x.NextChunk = 0
	}
}

// decision takes one, if it is the next behind the base.
func (m *Journal) decision(x *Taker, r Record) {
	next := r.Checkpoint == x.Base && r.Index == x.Read
	if !next && !m.Broken.DecisionNamesPlace {
		x.Lost = true // kept in mind: a checkpoint that comes makes it good
		return
	}
	x.Wrong = x.Wrong || !next
	x.Read++
}

// Check judges the taker that has read all.
func (m *Journal) Check(s *State) string {
	x := &s.Taker
	if !x.Done {
		return ""
	}
	if !x.Superseded {
		switch {
		case x.Lost:
			return "stuck: a taker misses what is not lost"
		case x.Base != s.Number || x.BaseBad:
			return "lost: it is not the last checkpoint, or not all of it"
		case x.Wrong || x.Read != s.Decisions[s.Number]:
			return "lost: these are not the decisions behind the checkpoint"
		}
		return ""
	}
	switch {
	case x.Lost || x.Base == 0 && x.Read == 0: // it says so; or it takes the shard for new, and its first checkpoint is refused
		return ""
	case x.BaseBad || x.Wrong || x.Read > s.Decisions[x.Base]:
		return "mixed: a superseded taker has read what never was"
	}
	return ""
}
