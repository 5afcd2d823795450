package ledger

import "fmt"

// Check completes a state in thought – all workers dead, a fresh one takes over – and looks whether everything is, or will
// be, there once.
func (m *Ledger) Check(s *State) string {
	switch s.Fault {
	case gapAccepted:
		return "lost: a gap was accepted"
	case twice:
		return "twice: a record is in two windows"
	case refused:
		return "stuck: a shard that never began is taken for one whose journal is lost"
	}
	for i := uint8(1); i < s.Redis.Len; i++ {
		if s.Redis.Entries[i].From != s.Redis.Entries[i-1].Next {
			return "the lane is not its source"
		}
	}
	for p := range m.Bounds.Pipelines {
		if v := m.checkPipeline(s, p); v != "" {
			return v
		}
	}
	return m.checkWaiting(s)
}

func (m *Ledger) checkPipeline(s *State, p uint8) string {
	k := s.Pipelines[p] // a copy
	said := k.Journal.Delivered
	if k.Txn == decidedTxn && k.complete() {
		return "twice: a record is in two windows"
	}
	j := k.Journal
	if j.Checkpoint == none {
		return ""
	}
	if m.Setup.Direct && s.Redis.oldest() > j.Checkpoint {
		return fmt.Sprintf("lost: a taker of pipeline %d needs records that are gone", p)
	}
	if k.Output != uint8(1)<<j.Closed-1 {
		return "lost: what the journal says is in windows is not what is in the output"
	}
	if m.Setup.Mongo {
		return checkDocs(&k, max(said, j.Delivered))
	}
	return ""
}

// checkDocs compares MongoDB with the windows that the journal knows: those up to delivered must be there, no other may.
func checkDocs(k *Pipeline, delivered uint8) string {
	var known [maxEntries + 1]uint8
	from := uint8(0)
	for end := uint8(1); end <= k.Journal.Closed; end++ {
		if k.Journal.Cuts>>(end-1)&1 == 0 {
			continue
		}
		known[from] |= 1 << (end - 1)
		if end <= delivered && k.Docs[from]>>(end-1)&1 == 0 {
			return "lost: a window that is said to be delivered is not in MongoDB"
		}
		from = end
	}
	for a, docs := range k.Docs {
		if docs&^known[a] != 0 {
			return "twice: MongoDB has a window that the journal does not know"
		}
	}
	return ""
}

// checkWaiting finds an owner that waits for entries which its group will never give it.
func (m *Ledger) checkWaiting(s *State) string {
	if m.Setup.Direct || s.Redis.Tail != m.Bounds.Records {
		return ""
	}
	for w := range m.Bounds.Workers * m.Bounds.Pipelines {
		p := w % m.Bounds.Pipelines
		x := &s.Workers[w]
		if x.Phase != working || x.Epoch != s.Pipelines[p].Epoch || x.Read >= s.Redis.Tail || !m.Broken.WatchTail {
			continue
		}
		waits := true
		for _, e := range s.Redis.Entries[:s.Redis.Len] {
			cursor := s.Redis.Delivered[p]
			if x.Scanning {
				cursor = x.Last
			}
			waits = waits && (e.ID <= cursor || e.Next <= x.Read)
		}
		if waits && !x.Scanning {
			return "stuck: an owner waits for records that its group has given to another reader"
		}
	}
	return ""
}
