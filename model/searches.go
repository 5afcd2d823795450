package main

import (
	"fmt"
	"time"

	"github.com/windrow-io/windrow/model/internal/explore"
	"github.com/windrow-io/windrow/model/internal/journal"
	"github.com/windrow-io/windrow/model/internal/lease"
	"github.com/windrow-io/windrow/model/internal/ledger"
	"github.com/windrow-io/windrow/model/internal/replay"
)

// search is one model with its bounds.
type search struct {
	name, bounds string
	run          func(broken []string, l explore.Limits) (found, error)
}

// models names the rules of each.
var models = []struct {
	name  string
	rules []string
}{
	{"ledger", explore.Names(&ledger.Rules{})},
	{"journal", explore.Names(&journal.Rules{})},
	{"replay", explore.Names(&replay.Rules{})},
	{"lease", explore.Names(&lease.Rules{})},
}

const anyNumber = ledger.Any

var searches = []search{
	// A Redis that may lose the oldest entry of a lane at any moment does all that another pipeline's trimming can do, and
	// more: what holds for one pipeline there holds for each of any number.
	ledgerSearch("any-pipeline-3", ledger.Setup{Forgetful: true},
		ledger.Bounds{Records: 3, Workers: 2, Pipelines: 1, Ingesters: 1, Takeovers: anyNumber, Lost: anyNumber, Flushes: anyNumber}),
	ledgerSearch("any-pipeline-4", ledger.Setup{Forgetful: true},
		ledger.Bounds{Records: 4, Workers: 2, Pipelines: 1, Ingesters: 1, Takeovers: anyNumber, Lost: anyNumber}),
	ledgerSearch("failover", ledger.Setup{},
		ledger.Bounds{Records: 2, Workers: 2, Pipelines: 1, Ingesters: 1, Takeovers: anyNumber, Lost: anyNumber, Failovers: 1, Flushes: 1}),
	ledgerSearch("two-ingesters", ledger.Setup{},
		ledger.Bounds{Records: 2, Workers: 2, Pipelines: 1, Ingesters: 2, Takeovers: 2, Lost: 1, Failovers: 1}),
	ledgerSearch("two-pipelines", ledger.Setup{},
		ledger.Bounds{Records: 2, Workers: 1, Pipelines: 2, Ingesters: 1, Takeovers: 2, Lost: 1}),
	ledgerSearch("two-pipelines-flush", ledger.Setup{},
		ledger.Bounds{Records: 2, Workers: 1, Pipelines: 2, Ingesters: 1, Takeovers: 2, Flushes: 1}),
	ledgerSearch("latecomer", ledger.Setup{Latecomer: true},
		ledger.Bounds{Records: 2, Workers: 1, Pipelines: 2, Ingesters: 1, Takeovers: 2}),
	ledgerSearch("old-broker", ledger.Setup{OldBroker: true},
		ledger.Bounds{Records: 2, Workers: 2, Pipelines: 1, Ingesters: 1, Takeovers: 2, Lost: 1}),
	ledgerSearch("mongo", ledger.Setup{Mongo: true},
		ledger.Bounds{Records: 2, Workers: 2, Pipelines: 1, Ingesters: 1, Takeovers: anyNumber, Lost: anyNumber}),
	ledgerSearch("direct", ledger.Setup{Direct: true},
		ledger.Bounds{Records: 3, Workers: 1, Pipelines: 2, Takeovers: anyNumber, Lost: anyNumber}),
	ledgerSearch("direct-mongo", ledger.Setup{Direct: true, Mongo: true},
		ledger.Bounds{Records: 3, Workers: 2, Pipelines: 1, Takeovers: anyNumber, Lost: anyNumber}),
	journalSearch("journal-7", 7),
	replaySearch("replay-one-lane", replay.Bounds{Lanes: 1, Records: 4, Takeovers: 5, Timeouts: 3}),
	replaySearch("replay-two-lanes", replay.Bounds{Lanes: 2, Records: 3, Takeovers: 3, Timeouts: 2}),
	leaseSearch("lease-two-workers", lease.Bounds{Workers: 2, TTL: 3, Takeover: 10, MaxWait: 24}),
	leaseSearch("lease-three-workers", lease.Bounds{Workers: 3, TTL: 2, Takeover: 5, MaxWait: 12}),
}

func ledgerSearch(name string, setup ledger.Setup, bounds ledger.Bounds) search {
	return search{"ledger-" + name, fmt.Sprintf("%s; %s", setup, bounds), func(broken []string, l explore.Limits) (found, error) {
		m := &ledger.Ledger{Setup: setup, Bounds: bounds}
		if err := explore.Break(&m.Broken, broken...); err != nil {
			return found{}, err
		}
		f := run[ledger.State, ledger.Step](m, l)
		if f.violation != "" { // again, for a story in which everybody keeps his name
			m.Named = true
			f.story = run[ledger.State, ledger.Step](m, l).story
		}
		return f, nil
	}}
}

func journalSearch(name string, writes uint8) search {
	return search{name, fmt.Sprintf("%d writes", writes), func(broken []string, l explore.Limits) (found, error) {
		m := &journal.Journal{Writes: writes}
		if err := explore.Break(&m.Broken, broken...); err != nil {
			return found{}, err
		}
		return run[journal.State, journal.Step](m, l), nil
	}}
}

func replaySearch(name string, b replay.Bounds) search {
	bounds := fmt.Sprintf("%d lane(s) of %d records, %d takeovers, %d timeouts", b.Lanes, b.Records, b.Takeovers, b.Timeouts)
	return search{name, bounds, func(broken []string, l explore.Limits) (found, error) {
		m := &replay.Replay{Bounds: b}
		if err := explore.Break(&m.Broken, broken...); err != nil {
			return found{}, err
		}
		return run[replay.State, replay.Step](m, l), nil
	}}
}

// leaseSearch looks for a run that never ends and never commits.
func leaseSearch(name string, b lease.Bounds) search {
	bounds := fmt.Sprintf("%d workers; in ticks: lease %d, takeover %d, longest wait %d", b.Workers, b.TTL, b.Takeover, b.MaxWait)
	return search{name, bounds, func(broken []string, l explore.Limits) (found, error) {
		m := &lease.Lease{Bounds: b}
		if err := explore.Break(&m.Broken, broken...); err != nil {
			return found{}, err
		}
		begin := time.Now()
		r := explore.FindLasso[lease.State, lease.Step](m, lease.Progress, []func(lease.Step) bool{lease.TimePasses}, l.States)
		f := found{states: r.States, took: time.Since(begin), complete: r.Complete}
		if r.Found {
			f.violation = "stuck: workers fence each other for ever"
			for _, step := range r.Stem {
				f.story = append(f.story, step.String())
			}
			for _, step := range r.Cycle {
				f.story = append(f.story, "for ever: "+step.String())
			}
		}
		return f, nil
	}}
}

func run[S comparable, A fmt.Stringer](m explore.Model[S, A], l explore.Limits) found {
	r := explore.Search(m, l)
	f := found{states: r.States, depth: r.Depth, took: r.Took, complete: r.Complete, violation: r.Violation}
	for _, step := range r.Trace {
		f.story = append(f.story, step.String())
	}
	return f
}
