package wire

import (
	"context"
	"sync"

	"github.com/segmentio/kafka-go/protocol"
	"golang.org/x/sync/errgroup"
)

// Times for Offsets.
const (
	Latest   = -1 // the high watermark, or the last stable offset with readCommitted
	Earliest = -2 // the log start
)

// Offsets returns, for each partition, the offset at a time: Earliest, Latest, or the first record at or after a Unix
// time in milliseconds (the high watermark if there is none).
func (c *Cluster) Offsets(ctx context.Context, topic string, partitions []int32, at int64, readCommitted bool) (map[int32]int64, error) {
	found, err := c.offsets(ctx, topic, partitions, at, readCommitted)
	if err != nil || at < 0 {
		return found, err
	}
	var after []int32 // partitions without a record that young
	for p, o := range found {
		if o < 0 {
			after = append(after, p)
		}
	}
	if len(after) == 0 {
		return found, nil
	}
	ends, err := c.offsets(ctx, topic, after, Latest, readCommitted)
	if err != nil {
		return nil, err
	}
	for p, o := range ends {
		found[p] = o
	}
	return found, nil
}

// offsets asks the leaders side by side; -1 is the answer for a time after the last record.
func (c *Cluster) offsets(ctx context.Context, topic string, partitions []int32, at int64, readCommitted bool) (map[int32]int64, error) {
	byLeader := map[int32][]int32{}
	for _, p := range partitions {
		leader, err := c.Leader(ctx, topic, p)
		if err != nil {
			return nil, err
		}
		byLeader[leader] = append(byLeader[leader], p)
	}
	var mu sync.Mutex
	found := make(map[int32]int64, len(partitions))
	g, ctx := errgroup.WithContext(ctx)
	for leader, ps := range byLeader {
		g.Go(func() error {
			answers := make([]offset, 0, len(ps))
			err := c.do(ctx, callTimeout, &exchange{api: protocol.ListOffsets, broker: leader, talk: func(l *line) (err error) {
				answers, err = l.offsets(topic, ps, at, readCommitted)
				return err
			}})
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, a := range answers {
				if a.err != nil {
					if movedLeader(a.err) {
						c.leaders.drop(topic)
					}
					return ofPartition(a.err, topic, a.partition)
				}
				found[a.partition] = a.offset
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, p := range partitions {
		if _, ok := found[p]; !ok {
			return nil, ofPartition(errProtocol, topic, p)
		}
	}
	return found, nil
}

type offset struct {
	partition int32
	err       error
	offset    int64
}

func (l *line) offsets(topic string, partitions []int32, at int64, readCommitted bool) ([]offset, error) {
	if _, err := l.e.version(2, 2); err != nil {
		return nil, err
	}
	w, id := l.request(protocol.ListOffsets, 2, false)
	w.i32(-1) // not a replica
	w.bool(readCommitted)
	w.topics(len(partitions), func(int) string { return topic }, func(i int) {
		w.i32(partitions[i])
		w.i64(at)
	})
	d, err := l.call(w, id, nil, maxAnswer, false)
	if err != nil {
		return nil, err
	}
	d.i32() // throttle
	var answers []offset
	for range d.count(6) {
		d.str()
		for range d.count(22) {
			a := offset{partition: d.i32(), err: code(d.i16())}
			d.i64() // the record's time
			a.offset = d.i64()
			answers = append(answers, a)
		}
	}
	return answers, d.err()
}
