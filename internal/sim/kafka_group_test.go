package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/windrow-io/windrow/pkg/source"
)

// member is an ingester in its consumer group, as the coordinator knows it.
type member struct {
	p    *proc
	id   string
	told int32 // the last generation that it was told of
}

const groupSession = 6 * time.Second

// join is a member's part of the group's protocol (ingest.Options.Join): it is told each new assignment, until it leaves or
// is thought dead, which it hears of late, or never.
func (p *proc) join(groupName string) func(context.Context, func(*source.Assignment)) {
	return func(ctx context.Context, assign func(*source.Assignment)) {
		k := p.w.kafka
		for attempt := 0; ctx.Err() == nil; attempt++ {
			m := &member{p: p, id: fmt.Sprintf("%s-%d", p.name, attempt)}
			for ctx.Err() == nil {
				c := &call{label: "kafka JoinGroup " + m.id, until: time.Now().Add(2 * time.Second)}
				c.step = func() bool {
					c.ready = nil
					c.out = k.sync(groupName, m)
					return true
				}
				c.ready = func() bool {
					g := k.group(groupName)
					return !slices.Contains(g.members, m) || g.generation != m.told
				}
				r, err := p.ask(c, ctx.Done(), time.After(groupSession))
				if err != nil {
					break // it joins anew
				}
				a, ok := r.out.(*source.Assignment)
				if !ok {
					break // not a member any more: join anew
				}
				if a != nil {
					assign(a)
				}
			}
			if ctx.Err() != nil {
				c := &call{label: "kafka LeaveGroup " + m.id}
				c.step = func() bool { k.leave(groupName, m); return true }
				_, _ = p.ask(c, nil, time.After(time.Second))
			}
		}
	}
}

// sync makes m a member, or tells it of the generation it does not know yet; an untyped nil: it is none any more.
func (k *kafkaModel) sync(name string, m *member) any {
	g := k.group(name)
	if !slices.Contains(g.members, m) {
		if m.told > 0 {
			return nil
		}
		g.members = slices.DeleteFunc(g.members, func(x *member) bool { return x.p == m.p })
		g.members = append(g.members, m)
		k.rebalance(g)
		if m.p.dead || m.p.stopping { // it came late: the coordinator waits for nobody longer than a session
			k.silent(m.p)
		}
	}
	if g.generation == m.told {
		return (*source.Assignment)(nil)
	}
	m.told = g.generation
	a := &source.Assignment{Generation: g.generation, Member: m.id}
	for _, at := range g.assigned[m] {
		a.Partitions = append(a.Partitions, source.TopicPartition{Topic: at.topic, Partition: at.part})
	}
	return a
}

func (k *kafkaModel) leave(name string, m *member) {
	g := k.group(name)
	if i := slices.Index(g.members, m); i >= 0 {
		g.members = slices.Delete(g.members, i, i+1)
		k.rebalance(g)
	}
}

// rebalance deals the partitions out anew.
func (k *kafkaModel) rebalance(g *group) {
	g.generation++
	g.assigned = map[*member][]tp{}
	if len(g.members) == 0 {
		return
	}
	k.w.count("rebalance")
	first := k.w.rnd.IntN(len(g.members))
	for i, p := range k.topics["in"].partitions {
		m := g.members[(first+i)%len(g.members)]
		g.assigned[m] = append(g.assigned[m], p.at)
	}
}

// silent is told that a process says nothing more, for good or for now: after a session's time it is no member any more.
func (k *kafkaModel) silent(p *proc) {
	k.w.after(groupSession, func() {
		if p.stopping && !p.dead { // it may leave the group yet
			k.silent(p)
			return
		}
		if !p.dead && !p.asleep.After(time.Now()) {
			return
		}
		for _, g := range k.groups {
			for _, m := range slices.Clone(g.members) {
				if m.p == p {
					k.w.note("%s is thought dead by its group", p.name)
					g.members = slices.DeleteFunc(g.members, func(x *member) bool { return x == m })
					k.rebalance(g)
				}
			}
		}
	})
}

// commit is OffsetCommit for one partition.
func (k *kafkaModel) commit(name, id string, generation int32, at tp, c committed) int16 {
	g := k.group(name)
	if generation < 0 {
		if len(g.members) > 0 {
			return unknownMember
		}
	} else {
		i := slices.IndexFunc(g.members, func(m *member) bool { return m.id == id })
		if i < 0 {
			return unknownMember
		}
		if generation != g.generation {
			k.w.count("offset commit of an old generation refused")
			return illegalGeneration
		}
	}
	if before := g.offsets[at].offset; name == stream && c.offset < before && !k.w.belated {
		k.w.failf("the offset of %v that is committed for %s goes back from %d to %d", at, name, before, c.offset)
	}
	g.offsets[at] = c
	return 0
}
