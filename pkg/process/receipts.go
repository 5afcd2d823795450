package process

import "github.com/windrow-io/windrow/pkg/journal"

// noteReceipts notes in d when the records were received, where the emitter looks at that. A record never counts as
// received before the decision ahead of it, nor before the record ahead of it in its lane: Redis's clock may go back in a
// fail-over, and records would come in windows before those of the records ahead of them.
func (o *owner) noteReceipts(d *journal.Decision) func(l *lane) received {
	return func(l *lane) received {
		if !o.machine.NeedsReceived() {
			return nil
		}
		last, floor := int64(-1), o.now
		return func(offset, ms int64) int64 {
			l.receipt = max(l.receipt, ms, floor)
			if ms = l.receipt; ms != last {
				d.Receipts = append(d.Receipts, journal.Receipt{Lane: l.name, Offset: offset, Ms: ms})
				last = ms
			}
			return ms
		}
	}
}

// repeatReceipts gives the records the times of receipt that d holds.
func repeatReceipts(d *journal.Decision) func(l *lane) received {
	return func(l *lane) received {
		var rs []journal.Receipt
		for _, r := range d.Receipts {
			if r.Lane == l.name {
				rs = append(rs, r)
			}
		}
		if rs == nil {
			return nil
		}
		return func(offset, ms int64) int64 {
			for len(rs) > 1 && rs[1].Offset <= offset {
				rs = rs[1:]
			}
			l.receipt = rs[0].Ms
			return l.receipt
		}
	}
}

// receipts returns, of each lane whose next record must not count as received as early as now, since when it may.
func (f *feed) receipts(now int64) map[string]int64 {
	var m map[string]int64
	for _, l := range f.lanes {
		if l.joined && l.receipt > now {
			if m == nil {
				m = map[string]int64{}
			}
			m[l.name] = l.receipt
		}
	}
	return m
}
