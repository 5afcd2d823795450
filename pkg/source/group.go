package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/internal/wire"
)

// Assignment is what the group gave this member to read, and under which generation it may commit.
type Assignment struct {
	Generation int32
	Member     string
	Partitions []TopicPartition // in order
}

// Group shares the partitions of the watched topics among all programs of one Kafka consumer group, and does nothing
// else: it neither reads nor commits. A rebalance is only another Assignment: a member that goes on reading a partition
// during it does no harm, for the lanes compare before they take anything.
type Group struct {
	id      string
	cluster *wire.Cluster
	watch   *Watch
	assign  func(*Assignment)
	report  Report
	log     *zap.Logger
}

// A member that dies is noticed after groupSession (brokers allow 6 s at least); one that leaves, at once.
const (
	groupSession   = 6 * time.Second
	groupHeartbeat = time.Second
	groupRebalance = 10 * time.Second
	groupTimeout   = 5 * time.Second
	groupBackoff   = 500 * time.Millisecond
	groupLeave     = 5 * time.Second
)

// NewGroup makes a Group that does nothing until Run. assign is called for every generation, from one goroutine, and
// should return soon. report hears why there is no generation.
func NewGroup(id string, c *wire.Cluster, w *Watch, assign func(*Assignment), report Report, log *zap.Logger) *Group {
	return &Group{id: id, cluster: c, watch: w, assign: assign, report: report, log: log}
}

// Run takes part in the group until ctx is done, then leaves it, so that the others take over at once.
func (g *Group) Run(ctx context.Context) {
	for ctx.Err() == nil {
		view, changed := g.watch.View()
		if view == nil || len(view.Topics) == 0 {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		g.join(ctx, view)
	}
}

// join is a member with the topics of one view, until there are others.
func (g *Group) join(ctx context.Context, view *View) {
	config := g.cluster.Config()
	topics := slices.Sorted(maps.Keys(view.Topics))
	log := kafka.LoggerFunc(func(format string, args ...any) { g.log.Debug("group: " + fmt.Sprintf(format, args...)) })
	cg, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:      g.id,
		Brokers: config.Brokers,
		Dialer: &kafka.Dialer{
			ClientID: config.ClientID, Timeout: groupTimeout, DualStack: true, TLS: config.TLS, SASLMechanism: config.SASL,
		},
		Topics:            topics,
		GroupBalancers:    []kafka.GroupBalancer{balancer{}},
		HeartbeatInterval: groupHeartbeat,
		SessionTimeout:    groupSession,
		RebalanceTimeout:  groupRebalance,
		JoinGroupBackoff:  groupBackoff,
		Timeout:           groupTimeout,
		Logger:            log,
		ErrorLogger:       log,
	})
	if err != nil {
		g.report("", fmt.Errorf("joining group %s: %w", g.id, err))
		pause.For(ctx, groupSession)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	grown := make(chan struct{}, 1)
	watching.Go(func() {
		defer cancel()
		g.follow(ctx, topics, view, grown)
	})
	defer func() {
		cancel()
		watching.Wait()
		g.leave(cg)
	}()
	for {
		gen, err := cg.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if !errors.Is(err, kafka.RebalanceInProgress) {
				g.report("", fmt.Errorf("joining group %s: %w", g.id, err))
			}
			continue
		}
		g.report("", nil)
		a := &Assignment{Generation: gen.ID, Member: gen.MemberID}
		for topic, ps := range gen.Assignments {
			for _, p := range ps {
				a.Partitions = append(a.Partitions, TopicPartition{topic, int32(p.ID)})
			}
		}
		slices.SortFunc(a.Partitions, TopicPartition.Compare)
		assignments.Inc()
		assigned.Set(float64(len(a.Partitions)))
		g.log.Info("partitions assigned", zap.String("group", g.id), zap.Int32("generation", gen.ID), zap.Stringers("partitions", a.Partitions))
		g.assign(a)
		// The function's return ends the generation, and the next one counts the partitions again.
		gen.Start(func(gen context.Context) {
			select {
			case <-gen.Done():
			case <-grown:
			}
		})
	}
}

// follow returns when the topics are no longer those of the view, and says so when one of them has other partitions.
func (g *Group) follow(ctx context.Context, topics []string, view *View, grown chan<- struct{}) {
	for {
		next, changed := g.watch.View()
		if !slices.Equal(topics, slices.Sorted(maps.Keys(next.Topics))) {
			return
		}
		if !slices.Equal(view.Partitions(), next.Partitions()) {
			view = next
			select {
			case grown <- struct{}{}:
			default:
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// leave leaves the group; a coordinator that doesn't answer is not waited for.
func (g *Group) leave(cg *kafka.ConsumerGroup) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cg.Close()
	}()
	// Close doesn't interrupt an error on its way to Next.
	ctx, cancel := context.WithTimeout(context.Background(), groupLeave)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
		g.log.Warn("left the group without a word: its coordinator does not answer", zap.String("group", g.id))
	}
}

// balancer gives each partition to the member that has the fewest so far, among those that know the topic; first the
// topics that few know, as while members learn of new ones. kafka-go's own deal out each topic by itself: the first member would get all of many topics with one partition.
type balancer struct{}

func (balancer) ProtocolName() string { return "windrow" }

func (balancer) UserData() ([]byte, error) { return nil, nil }

func (balancer) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	slices.SortFunc(members, func(a, b kafka.GroupMember) int { return strings.Compare(a.ID, b.ID) })
	known := map[string]int{}
	for _, m := range members {
		for _, t := range m.Topics {
			known[t]++
		}
	}
	slices.SortFunc(partitions, func(a, b kafka.Partition) int {
		if c := known[a.Topic] - known[b.Topic]; c != 0 {
			return c
		}
		return TopicPartition{a.Topic, int32(a.ID)}.Compare(TopicPartition{b.Topic, int32(b.ID)})
	})
	out := kafka.GroupMemberAssignments{}
	load := make([]int, len(members))
	for _, m := range members {
		out[m.ID] = map[string][]int{}
	}
	for _, p := range partitions {
		least := -1
		for i, m := range members {
			if slices.Contains(m.Topics, p.Topic) && (least < 0 || load[i] < load[least]) {
				least = i
			}
		}
		if least >= 0 {
			load[least]++
			out[members[least].ID][p.Topic] = append(out[members[least].ID][p.Topic], p.ID)
		}
	}
	return out
}
