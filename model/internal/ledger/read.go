package ledger

// read is one read of an owner: the first entry that it does not have yet, or none. Entries that it has are passed over at
// once; that touches nothing but its cursor, so no other step can tell.
//
// In a lane that has a source it goes through the lane from the start, then follows its group; a gap it meets in what the
// group gives sends it through the lane again, one that is still there is filled from the source.
func (n *next) read(w, p uint8) {
	me, r := &n.s.Workers[w], &n.s.Redis
	byGroup := !me.Scanning
	cursor := me.Last
	if byGroup {
		cursor = r.Delivered[p]
	}
	move := func(t *State, id uint8) {
		if byGroup {
			t.Redis.Delivered[p] = id
		} else {
			t.Workers[w].Last = id
		}
	}
	for _, e := range r.Entries[:r.Len] {
		if e.ID <= cursor || e.Next <= me.Read {
			continue
		}
		switch {
		case e.From <= me.Read:
			n.to(Step{readEntry, w, e.ID, taken}, func(t *State) {
				move(t, e.ID)
				t.Workers[w].Read = e.Next
			})
		case n.m.Broken.FillGaps || n.m.Setup.Direct: // positions in the direct lane are IDs: what is missing can't be seen
			n.to(Step{readEntry, w, e.ID, gap}, func(t *State) {
				move(t, e.ID)
				t.Workers[w].Read = e.Next
				t.Fault = gapAccepted
			})
		case byGroup:
			n.to(Step{readEntry, w, e.ID, rescan}, func(t *State) {
				move(t, e.ID)
				t.Workers[w].scan()
			})
		default:
			n.to(Step{readEntry, w, e.ID, refill}, func(t *State) {
				t.Workers[w].Read = e.From
				t.Workers[w].scan()
			})
		}
		return
	}
	behind := r.Tail != none && r.Tail > me.Read && !n.m.Setup.Direct
	switch {
	case behind && byGroup:
		if !n.m.Broken.WatchTail {
			n.to(Step{seeTail, w, rescan, 0}, func(t *State) { t.Workers[w].scan() })
		}
	case behind && !n.m.Broken.WatchTail:
		n.to(Step{seeTail, w, refill, 0}, func(t *State) {
			t.Workers[w].Read = r.Tail
			t.Workers[w].scan()
		})
	case !byGroup && (!n.m.Setup.Direct || n.m.Broken.OwnCursor):
		n.to(Step{scanEnds, w, 0, 0}, func(t *State) { t.Workers[w].Scanning, t.Workers[w].Last = false, 0 })
	}
}

func (w *Worker) scan() { w.Scanning, w.Last = true, 0 }
