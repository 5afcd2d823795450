package journal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
)

// writer writes under one epoch of a transactional id. It does not resend anything, and aborts nothing: a late request
// could land in the next transaction. What it leaves open the next epoch's InitProducerID aborts.
type writer struct {
	j         *Journal
	txn       *wire.Transaction
	partition int32 // of the journal
	producer  record.Producer
	sequences map[place]int32 // the next one of each partition

	// Used again from call to call.
	places  map[string][]int32
	leaders []leaderQueue
}

type place struct {
	topic     string
	partition int32
}

// leaderQueue is what one broker has to be sent, in order.
type leaderQueue struct {
	broker  int32
	batches []int // indexes
	sent    int
}

const (
	addBackoff    = 250 * time.Microsecond // the first pause after error 51, doubled each time
	addBackoffMax = 20 * time.Millisecond
	requestBytes  = 32 << 20 // of one produce request at most, if it holds more than one batch
)

// commit writes batches in one transaction and returns their offsets. Its error is one of the package's, or tells that
// the transaction was not committed and never will be.
func (w *writer) commit(ctx context.Context, batches []wire.Batch) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, w.j.o.Timeout)
	defer cancel()
	begin := time.Now()
	offsets, err := w.transact(ctx, batches)
	transactions.WithLabelValues(outcome(err)).Inc()
	if err == nil {
		transactionSeconds.Observe(time.Since(begin).Seconds())
	}
	return offsets, err
}

func (w *writer) transact(ctx context.Context, batches []wire.Batch) ([]int64, error) {
	if err := w.add(ctx, batches); err != nil {
		return nil, refusal(fmt.Errorf("add partitions to the transaction: %w", err))
	}
	offsets, err := w.produce(ctx, batches, true)
	if err != nil {
		return nil, refusal(err)
	}
	if err := w.repeat(ctx, kafka.ConcurrentTransactions, func() error { return w.txn.End(ctx, w.producer, true) }); err != nil {
		err = fmt.Errorf("commit the transaction: %w", err)
		if wire.Fenced(err) {
			return nil, fmt.Errorf("%w: %w", ErrFenced, err)
		}
		return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return offsets, nil
}

func (w *writer) add(ctx context.Context, batches []wire.Batch) error {
	if w.places == nil {
		w.places = map[string][]int32{}
	}
	for topic, ps := range w.places {
		w.places[topic] = ps[:0]
	}
next:
	for _, b := range batches {
		for _, p := range w.places[b.Topic] {
			if p == b.Partition {
				continue next
			}
		}
		w.places[b.Topic] = append(w.places[b.Topic], b.Partition)
	}
	for topic, ps := range w.places {
		if len(ps) == 0 {
			delete(w.places, topic)
		}
	}
	return w.repeat(ctx, kafka.ConcurrentTransactions, func() error { return w.txn.Add(ctx, w.producer, w.places) })
}

// repeat asks again as long as Kafka answers that the transaction before is still being completed (51, of a transaction's
// calls): that answer, and no other, tells that the request was not acted on and was the last of its kind.
func (w *writer) repeat(ctx context.Context, completing kafka.Error, ask func() error) error {
	for again := (pause.Backoff{Min: addBackoff, Max: addBackoffMax}); ; {
		err := ask()
		if !errors.Is(err, completing) {
			return err
		}
		repeated.Inc()
		if !again.Wait(ctx) {
			return err
		}
	}
}

// produce sends batches, each leader's in order and the leaders side by side: one request carries at most one batch a
// partition. It returns the batches' offsets.
func (w *writer) produce(ctx context.Context, batches []wire.Batch, transactional bool) ([]int64, error) {
	for i := range w.leaders {
		w.leaders[i].batches, w.leaders[i].sent = w.leaders[i].batches[:0], 0
	}
	raws := make([]wire.Raw, len(batches))
	for i, b := range batches {
		leader, err := w.j.cluster.Leader(ctx, b.Topic, b.Partition)
		if err != nil {
			return nil, err
		}
		at := place{b.Topic, b.Partition}
		sequence := w.sequences[at]
		p, err := b.Builder.Seal(w.producer, sequence, transactional, record.None)
		if err != nil {
			return nil, fmt.Errorf("seal a batch for topic %s: %w", b.Topic, err)
		}
		w.sequences[at] = following(sequence, b.Builder.Len())
		raws[i] = wire.Raw{Topic: b.Topic, Partition: b.Partition, Bytes: p}
		w.queue(leader, i)
		if b.Topic == w.j.o.Topic {
			journalBytes.Add(float64(len(p)))
		}
	}
	offsets := make([]int64, len(batches))
	if len(w.leaders) == 1 {
		return offsets, w.send(ctx, &w.leaders[0], raws, offsets, transactional)
	}
	g, ctx := errgroup.WithContext(ctx)
	for i := range w.leaders {
		if q := &w.leaders[i]; len(q.batches) > 0 {
			g.Go(func() error { return w.send(ctx, q, raws, offsets, transactional) })
		}
	}
	return offsets, g.Wait()
}

func (w *writer) queue(leader int32, batch int) {
	for i := range w.leaders {
		if w.leaders[i].broker == leader {
			w.leaders[i].batches = append(w.leaders[i].batches, batch)
			return
		}
	}
	w.leaders = append(w.leaders, leaderQueue{broker: leader, batches: []int{batch}})
}

// send sends one leader's batches, request by request.
func (w *writer) send(ctx context.Context, q *leaderQueue, raws []wire.Raw, offsets []int64, transactional bool) error {
	txn := ""
	if transactional {
		txn = w.txn.ID()
	}
	left := q.batches
	request := make([]wire.Raw, 0, len(left))
	which := make([]int, 0, len(left))
	for len(left) > 0 {
		request, which = request[:0], which[:0]
		bytes, later := 0, left[:0]
	fill:
		for n, i := range left {
			r := raws[i]
			if len(request) > 0 && bytes+len(r.Bytes) > requestBytes {
				later = append(later, left[n:]...) // nothing may overtake it
				break
			}
			for _, x := range request {
				if x.Partition == r.Partition && x.Topic == r.Topic {
					later = append(later, i)
					continue fill
				}
			}
			request, which = append(request, r), append(which, i)
			bytes += len(r.Bytes)
		}
		left = later
		res, err := w.j.cluster.Produce(ctx, q.broker, txn, request, w.j.o.Timeout)
		if err != nil {
			return err
		}
		for n, x := range res {
			if x.Err != nil {
				return fmt.Errorf("write %d bytes to topic %s partition %d: %w", len(request[n].Bytes), request[n].Topic, request[n].Partition, x.Err)
			}
			offsets[which[n]] = x.BaseOffset
		}
	}
	return nil
}

// following is the sequence number after n records: they wrap at 2^31.
func following(sequence int32, n int) int32 {
	return int32((int64(sequence) + int64(n)) & math.MaxInt32)
}

// refusal gives a broker's refusal the package's name for it.
func refusal(err error) error {
	switch {
	// 48: of the transaction that this epoch opened nothing is left, since a newer one has ended it.
	case wire.Fenced(err), errors.Is(err, kafka.InvalidTransactionState):
		return fmt.Errorf("%w: %w", ErrFenced, err)
	case errors.Is(err, kafka.MessageSizeTooLarge), errors.Is(err, kafka.RecordListTooLarge):
		return fmt.Errorf("%w: %w: raise the topic's max.message.bytes", ErrTooLarge, err)
	case errors.Is(err, kafka.InvalidTimestamp):
		return fmt.Errorf("%w: %w", ErrClock, err)
	}
	return err
}
