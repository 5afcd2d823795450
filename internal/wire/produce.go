package wire

import (
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go/protocol"

	"github.com/windrow-io/windrow/internal/fault"
	"github.com/windrow-io/windrow/pkg/record"
)

// produceSlack is how much longer than its time-out a broker may take to answer.
const produceSlack = 5 * time.Second

// Batch is a batch under construction and where it goes.
type Batch struct {
	Topic     string
	Partition int32
	Builder   *record.Builder
}

// Raw is a sealed batch and where it goes.
type Raw struct {
	Topic     string
	Partition int32
	Bytes     []byte
}

// Produced is what a broker said to one batch.
type Produced struct {
	Err        error // kafka.Error; nil: written
	BaseOffset int64
}

// Produce sends sealed batches, at most one a partition, to the broker that leads them all, acks=all. txn is the
// transactional id, empty for none. The error is the transport's; the results, in the order of batches, are the broker's.
func (c *Cluster) Produce(ctx context.Context, broker int32, txn string, batches []Raw, timeout time.Duration) ([]Produced, error) {
	var res []Produced
	fault.Point("produce.before")
	err := c.do(ctx, timeout+produceSlack, &exchange{api: protocol.Produce, broker: broker, talk: func(l *line) (err error) {
		res, err = l.produce(txn, batches, timeout)
		return err
	}})
	fault.Point("produce.after")
	if err != nil {
		return nil, err
	}
	for i, r := range res {
		if movedLeader(r.Err) {
			c.leaders.drop(batches[i].Topic)
		}
	}
	return res, nil
}

func (l *line) produce(txn string, batches []Raw, timeout time.Duration) ([]Produced, error) {
	v, err := l.e.version(3, 8)
	if err != nil {
		return nil, err
	}
	w, id := l.request(protocol.Produce, v, false)
	w.strOrNull(txn)
	w.i16(-1) // all in-sync replicas
	w.i32(int32(timeout.Milliseconds()))
	w.topics(len(batches), func(i int) string { return batches[i].Topic }, func(i int) {
		w.i32(batches[i].Partition)
		w.bytes(batches[i].Bytes)
	})
	d, err := l.call(w, id, nil, maxAnswer, false)
	if err != nil {
		return nil, err
	}
	res := make([]Produced, len(batches))
	seen := make([]bool, len(batches))
	for range d.count(6) {
		topic := d.take(int(d.i16()))
		for range d.count(22) {
			part := d.i32()
			p := Produced{Err: code(d.i16()), BaseOffset: d.i64()}
			d.i64() // append time
			if v >= 5 {
				d.i64() // log start
			}
			if v >= 8 {
				said := ""
				for range d.count(6) {
					d.i32()
					if s := d.str(); s != "" {
						said = s
					}
				}
				if s := d.str(); s != "" {
					said = s
				}
				if said != "" && p.Err != nil {
					p.Err = fmt.Errorf("%w (%s)", p.Err, said)
				}
			}
			for i := range batches {
				if !seen[i] && batches[i].Partition == part && batches[i].Topic == string(topic) {
					res[i], seen[i] = p, true
					break
				}
			}
		}
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	for i := range seen {
		if !seen[i] {
			return nil, fmt.Errorf("%w: nothing is said of topic %s partition %d", errProtocol, batches[i].Topic, batches[i].Partition)
		}
	}
	return res, nil
}
