package window

import (
	"cmp"
	"slices"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
)

// Change ends the machine under its old settings and makes the one under new ones: waiting records go to the new emitter
// as if just read. They do so in the new machine's first Step, before its records, so that the windows they make belong
// to an ordinary decision; Deadline says that this Step is due. Aggregates can't be carried over: they are emitted. Of times of
// receipt those that are known still count; what has none counts as received at the change, before all that is read after
// it.
//
// Records of several queues go on in the order in which they were read, those of one Step by lane and offset. The window
// numbers go on, and so does the watermark if the event time stays the same, and what DEDUPE remembers of a field. The old machine is not to be used any more; if the new settings are wrong it is left as it is.
func (m *Machine) Change(to Settings, now int64, out Out) (*Machine, error) {
	n, err := New(to, m.shard)
	if err != nil {
		return nil, err
	}
	if m.folds {
		m.flush(emit.Changed, out)
	} else if m.updates {
		m.settle(emit.Changed, out)
	}
	n.now, n.seq = max(now, m.now), m.seq
	n.backlog = m.gather(n.traits.Slide > 0)
	if n.traits.Event && m.traits.Event && n.s.EventTime == m.s.EventTime && n.s.EventTimeFormat == m.s.EventTimeFormat && n.s.Zone == m.s.Zone {
		n.mark.value, n.mark.at, n.mark.lanes = m.mark.value, m.mark.at, m.mark.lanes
	}
	if n.dedupe != nil && m.dedupe != nil && n.s.Dedupe == m.s.Dedupe && n.traits.Event == m.traits.Event {
		n.dedupe.carry(m.dedupe)
	}
	if !n.traits.Received {
		for i := range n.backlog.records {
			n.backlog.records[i].Received = 0
		}
	}
	return n, nil
}

// gather returns all records that wait, in the order in which they were read; those that were in a window already only if
// seen are asked for.
func (m *Machine) gather(seen bool) backlog {
	type item struct {
		at int64
		r  *record.Record
	}
	items := make([]item, 0, m.records)
	queues := 0
	for q := m.waiting.first; q != nil && !m.folds; q = q.next {
		queues++
		i := 0
		for _, t := range q.turns {
			for range t.n {
				if seen || i >= q.seen {
					items = append(items, item{t.at, &q.Records[i]})
				}
				i++
			}
		}
	}
	if queues > 1 {
		slices.SortStableFunc(items, func(a, b item) int {
			return cmp.Or(cmp.Compare(a.at, b.at), comparePlaces(a.r, b.r))
		})
	}
	if m.traits.Overlap { // a record waits in several queues
		items = slices.CompactFunc(items, func(a, b item) bool { return a.at == b.at && comparePlaces(a.r, b.r) == 0 })
	}
	g := backlog{records: make([]record.Record, 0, m.Waiting())}
	for i := range m.backlog.records {
		g.add(&m.backlog.records[i])
	}
	for _, i := range items {
		g.add(i.r)
	}
	return g
}

func comparePlaces(a, b *record.Record) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
}

func (b *backlog) add(r *record.Record) {
	b.records = append(b.records, *r)
	b.bytes += cost(r)
}
