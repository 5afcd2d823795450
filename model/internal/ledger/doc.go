// Package ledger models how a pipeline stays exactly once: Redis with its lanes and hints, the ingesters that fill it,
// the workers that take a shard over, read, and commit, and Kafka's transactions, in which decisions, checkpoints and
// output are one.
//
// No lease is modelled: any worker may take the shard over at any moment, stall at any step, and wake at any later one
// (a crash is a stall that never ends). So what holds here holds whatever the lease does; see package lease for what the
// lease is for. Replies may be lost: the request acted or not. Redis may fail over to any earlier state, or lose all.
//
// A Kafka transaction is modelled by its guarantees: none, open, decided (its markers are still to be written).
// InitProducerID waits for a decided one and aborts an open one; requests of an older epoch are refused; a produce
// request that was delayed lands in whatever transaction of its epoch is open.
//
// A window is a range of offsets that closes at an offset which the owner is free to choose: every strategy is some such
// choice. What a machine makes of its records, with settings and several lanes, is package replay's matter; what
// compaction does to the journal, package journal's.
//
// Each state is also completed in thought: all workers dead, a fresh one takes over. Everything must then be there, once.
package ledger

import (
	"fmt"
	"strconv"
	"strings"
)

// The fields of Rules are the protocol's rules: true breaks one.
type Rules struct {
	// After any error inside a transaction the owner takes a new epoch. Broken: it aborts and goes on under the same one,
	// and a late request lands in the next transaction.
	NewEpochAfterError bool
	// What an error leaves open, the next InitProducerID aborts. Broken: the owner aborts it itself, with a marker of the
	// old epoch, which does not keep a late request out. Only with OldBroker.
	AbortByNextEpoch bool
	// The journal is read after InitProducerID. Broken: before; the old owner commits behind the reader's back.
	FenceBeforeRead bool
	// The journal is read up to the taker's mark. Broken: up to the last stable offset, which another shard's open
	// transaction may hold back.
	ReadToMark bool
	// Replayed are the decisions behind the checkpoint, in log order. Broken: those that read beyond its position; one that
	// read nothing is forgotten.
	ReplayInLogOrder bool
	// A gap is filled. Broken: records beyond the position are taken as the next ones.
	FillGaps bool
	// An owner that has nothing to read compares its position with the lane's tail. Broken: it waits for its group to
	// give it what another reader has been given.
	WatchTail bool
	// The tail is compared before each append. Broken: ingest appends what it has.
	CompareTail bool
	// A pipeline starts where its journal says. Broken: at the oldest record that the lane holds.
	StartFromJournal bool
	// Positions are published when the checkpoint is known to be committed. Broken: when it is sent.
	PublishConfirmed bool
	// Lanes are trimmed up to a checkpoint that is known to be committed. Broken: when it is sent.
	TrimConfirmed bool
	// The direct lane is trimmed to the least position of all pipelines that have a journal. Broken: of those that have
	// published one.
	TrimForJournaled bool
	// The direct lane is read by a cursor of the owner's own. Broken: by the group's, which any reader moves.
	OwnCursor bool
	// Mongo: windows are written when their decision is committed. Broken: before.
	WriteAfterCommit bool
	// Mongo: … known to be committed. Broken: also if the outcome is unknown.
	WriteConfirmed bool
	// Mongo: "delivered up to" names acknowledged writes. Broken: all decided ones.
	DeliveredAcknowledged bool
	// Mongo: a taker writes again what the journal does not say is delivered. Broken: it takes all before the journal's last
	// record for delivered.
	RewriteUndelivered bool
}

// Sinks and sources.
type Setup struct {
	Mongo     bool // the sink is MongoDB: windows are written after their decision's transaction
	Direct    bool // the lane is the direct one: programs append, nothing can be read again from a source
	OldBroker bool // before KIP-890: a late request of an older epoch is accepted where no marker of a newer one is
	Latecomer bool // the second pipeline begins on the way
	Forgetful bool // Redis may lose the oldest entry of a lane at any time: more than any owner trims
}

// Any as a bound is none.
const Any = 255

// Bounds of a search: how many there are, and how often something may happen.
type Bounds struct {
	Records   uint8 // of the source, up to 5
	Workers   uint8 // of a pipeline, up to 2
	Pipelines uint8 // up to 2
	Ingesters uint8 // up to 2
	Failovers uint8 // of Redis, to an earlier state
	Flushes   uint8 // of Redis: everything is gone
	Takeovers uint8
	Lost      uint8 // replies, and requests delayed in the network
}

// Ledger is the model.
type Ledger struct {
	Named  bool // alike workers are not sorted: more states, but a story in which each keeps its name
	Broken Rules
	Setup  Setup
	Bounds Bounds
}

func (s Setup) String() string {
	words := []string{"Kafka sink"}
	if s.Mongo {
		words[0] = "MongoDB"
	}
	for _, w := range []struct {
		is   bool
		word string
	}{{s.Direct, "direct lane"}, {s.OldBroker, "broker before KIP-890"}, {s.Latecomer, "a latecomer"}, {s.Forgetful, "forgetful Redis"}} {
		if w.is {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ", ")
}

func (b Bounds) String() string {
	number := func(n uint8) string {
		if n == Any {
			return "any"
		}
		return strconv.Itoa(int(n))
	}
	return fmt.Sprintf("%d records, %d pipeline(s) of %d worker(s), %d ingester(s), %s failovers, %s flushes, %s takeovers, %s lost messages",
		b.Records, b.Pipelines, b.Workers, b.Ingesters, number(b.Failovers), number(b.Flushes), number(b.Takeovers), number(b.Lost))
}
