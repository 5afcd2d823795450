package wire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/windrow-io/windrow/internal/fault"
	"github.com/windrow-io/windrow/pkg/record"
)

// Transaction is the client's side of one transactional id. The calls go straight to the coordinator, found by Init and
// again after an error. Not safe for concurrent use.
type Transaction struct {
	cluster     *Cluster
	id          string
	timeout     time.Duration
	coordinator int32 // anyBroker: not known
}

// Transaction returns the client's side of a transactional id. The coordinator aborts what stays open longer than timeout.
func (c *Cluster) Transaction(id string, timeout time.Duration) *Transaction {
	return &Transaction{cluster: c, id: id, timeout: timeout, coordinator: anyBroker}
}

// ID is the transactional id.
func (t *Transaction) ID() string { return t.id }

// Init is InitProducerID: a new epoch. Kafka aborts what the old epoch had open, finishes what it had decided, and
// refuses the old epoch from then on. kafka.ConcurrentTransactions (51) and 16, 14, 15 mean: ask again.
func (t *Transaction) Init(ctx context.Context) (record.Producer, error) {
	var p record.Producer
	fault.Point("txn.init.before")
	err := t.do(ctx, protocol.InitProducerId, func(w *encoder) {
		// Version 1 has no producer id and epoch: always a new epoch, never one that is carried on.
		w.str(t.id)
		w.i32(int32(t.timeout.Milliseconds()))
	}, func(d *decoder) error {
		err := code(d.i16())
		p = record.Producer{ID: d.i64(), Epoch: d.i16()}
		return err
	})
	fault.Point("txn.init.after")
	return p, err
}

// Add is AddPartitionsToTxn. The broker takes all of the partitions or none.
func (t *Transaction) Add(ctx context.Context, p record.Producer, partitions map[string][]int32) error {
	fault.Point("txn.add.before")
	defer fault.Point("txn.add.after")
	return t.do(ctx, protocol.AddPartitionsToTxn, func(w *encoder) {
		w.str(t.id)
		w.i64(p.ID)
		w.i16(p.Epoch)
		w.i32(int32(len(partitions)))
		for topic, ps := range partitions {
			w.str(topic)
			w.i32(int32(len(ps)))
			for _, n := range ps {
				w.i32(n)
			}
		}
	}, func(d *decoder) error {
		var first error
		for range d.count(6) {
			topic := d.take(int(d.i16()))
			for range d.count(6) {
				n, err := d.i32(), code(d.i16())
				// 55 (here: not attempted) says only that another partition was refused.
				if err != nil && (first == nil || isNotAttempted(first)) {
					first = ofPartition(err, string(topic), n)
				}
			}
		}
		return first
	})
}

func isNotAttempted(err error) bool {
	const operationNotAttempted = kafka.Error(55) // kafka-go names it wrongly
	return errors.Is(err, operationNotAttempted)
}

// End is EndTxn.
func (t *Transaction) End(ctx context.Context, p record.Producer, commit bool) error {
	fault.Point("txn.end.before")
	defer fault.Point("txn.end.after")
	return t.do(ctx, protocol.EndTxn, func(w *encoder) {
		w.str(t.id)
		w.i64(p.ID)
		w.i16(p.Epoch)
		w.bool(commit)
	}, func(d *decoder) error { return code(d.i16()) })
}

// do asks the coordinator. All three calls are used in version 1 at most, which every broker since 0.11 understands, and whose
// answers begin with the time they were throttled.
func (t *Transaction) do(ctx context.Context, api protocol.ApiKey, ask func(*encoder), read func(*decoder) error) error {
	if t.coordinator == anyBroker {
		if err := t.find(ctx); err != nil {
			return err
		}
	}
	var refused error
	err := t.cluster.do(ctx, callTimeout, &exchange{api: api, broker: t.coordinator, talk: func(l *line) error {
		v, err := l.e.version(0, 1)
		if err != nil {
			return err
		}
		w, id := l.request(api, v, false)
		ask(w)
		d, err := l.call(w, id, nil, maxAnswer, false)
		if err != nil {
			return err
		}
		d.i32() // throttle
		refused = read(d)
		return d.err()
	}})
	if err == nil && errors.Is(refused, kafka.ConcurrentTransactions) {
		return refused
	}
	if err == nil && refused != nil {
		err = fmt.Errorf("kafka %s of %s: %w", api, t.id, refused)
	}
	if err != nil {
		t.coordinator = anyBroker
	}
	return err
}

// find asks which broker coordinates the transactional id.
func (t *Transaction) find(ctx context.Context) error {
	var refused error
	err := t.cluster.do(ctx, callTimeout, &exchange{api: protocol.FindCoordinator, broker: anyBroker, talk: func(l *line) error {
		if _, err := l.e.version(1, 1); err != nil {
			return err
		}
		w, id := l.request(protocol.FindCoordinator, 1, false)
		w.str(t.id)
		w.i8(int8(kafka.CoordinatorKeyTypeTransaction))
		d, err := l.call(w, id, nil, maxAnswer, false)
		if err != nil {
			return err
		}
		d.i32() // throttle
		refused = code(d.i16())
		d.str() // what went wrong, in words: the code says it
		broker := d.i32()
		if refused == nil {
			t.coordinator = broker
		}
		return d.err()
	}})
	if err == nil && refused != nil {
		err = fmt.Errorf("kafka FindCoordinator of %s: %w", t.id, refused)
	}
	return err
}
