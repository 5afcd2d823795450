package ledger

import "fmt"

type op uint8

const (
	readTail op = iota
	appendRecords
	appendDirect
	replicate
	failover
	flush
	forget
	create
	completeTxn
	timeout
	lateArrives
	initProducer
	writeMark
	readJournal
	zombieReads
	scanEnds
	readEntry
	seeTail
	refuse
	produce
	endTxn
	publish
	upsert
)

// How a request went.
const (
	ok uint8 = iota
	replyLost
	requestLost
	requestDelayed
	epochRefused
	conflict
)

var outcomes = [...]string{"", ", and the reply is lost", ", and it never arrives", ", and it is delayed in the network", ": refused, the epoch is old", ": refused, the tail is not where it was"}

// What reading an entry gave.
const (
	taken uint8 = iota
	skipped
	rescan
	refill
	gap
)

var readings = [...]string{"takes it", "has it already", "sees a gap and will go through the lane from its start", "sees a gap and reads the source", "takes it, over a gap"}

// Step is one step of one process, or a fault.
type Step struct {
	Op        op
	Who, A, B uint8
}

func (s Step) String() string {
	switch s.Op {
	case readTail:
		return fmt.Sprintf("ingester %d reads the tail", s.Who)
	case appendRecords:
		return fmt.Sprintf("ingester %d appends %d record(s)%s", s.Who, s.A, outcomes[s.B])
	case appendDirect:
		return "a program appends a record"
	case replicate:
		return "Redis replicates everything so far"
	case failover:
		return "Redis fails over: what was not replicated is lost"
	case flush:
		return "Redis loses everything"
	case forget:
		return "Redis loses the lane's oldest entry"
	case create:
		return fmt.Sprintf("pipeline %d is created", s.Who)
	case completeTxn:
		return fmt.Sprintf("the decided transaction of pipeline %d becomes visible", s.Who)
	case timeout:
		return fmt.Sprintf("the open transaction of pipeline %d times out", s.Who)
	case lateArrives:
		return fmt.Sprintf("the delayed request of pipeline %d arrives%s", s.Who, []string{": refused", " and is accepted"}[s.A])
	case initProducer:
		return fmt.Sprintf("worker %d makes a new epoch%s", s.Who, outcomes[s.A])
	case writeMark:
		return fmt.Sprintf("worker %d writes its mark%s%s", s.Who, outcomes[s.A], []string{", reads the journal up to it", ""}[min(s.A, 1)])
	case readJournal:
		return fmt.Sprintf("worker %d reads the journal%s", s.Who, []string{"", ", up to the last stable offset"}[s.A])
	case zombieReads:
		return fmt.Sprintf("worker %d, long superseded, is given entry %d by the group", s.Who, s.A)
	case scanEnds:
		return fmt.Sprintf("worker %d has gone through the lane", s.Who)
	case readEntry:
		return fmt.Sprintf("worker %d reads entry %d: %s", s.Who, s.A, readings[s.B])
	case seeTail:
		return fmt.Sprintf("worker %d sees the tail beyond its records: %s", s.Who, readings[s.A])
	case refuse:
		return fmt.Sprintf("worker %d finds a position published and no checkpoint: refuses to begin", s.Who)
	case produce:
		what := fmt.Sprintf("a decision: read to %d, a window up to %d", s.A&15, s.A>>4)
		if kind(s.B>>4) == checkpoint {
			what = fmt.Sprintf("a checkpoint at %d", s.A&15)
		}
		return fmt.Sprintf("worker %d sends %s%s", s.Who, what, outcomes[s.B&15])
	case endTxn:
		return fmt.Sprintf("worker %d commits%s", s.Who, outcomes[s.A])
	case publish:
		return fmt.Sprintf("worker %d publishes position %d and trims the lane to %d", s.Who, s.A, s.B)
	case upsert:
		return fmt.Sprintf("worker %d upserts window %d–%d", s.Who, s.A, s.B-1)
	}
	return "?"
}
