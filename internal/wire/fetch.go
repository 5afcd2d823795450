package wire

import (
	"context"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// fetchSlack is how much longer than MaxWait a broker may take to answer a fetch, and fetchExcess how many bytes more
// than MaxBytes it may send: it returns the first batch of a partition whatever its size.
const (
	fetchSlack  = 10 * time.Second
	fetchExcess = 256 << 20
)

// FetchPartition is one partition of a fetch.
type FetchPartition struct {
	Topic     string
	Partition int32
	Offset    int64 // fetch from here
	MaxBytes  int32
}

// FetchRequest asks one broker for partitions it leads.
type FetchRequest struct {
	Broker        int32
	Partitions    []FetchPartition
	MinBytes      int32
	MaxBytes      int32
	MaxWait       time.Duration
	ReadCommitted bool
	Buf           []byte // memory for the answer; it grows if need be
}

// Fetched is one partition's answer. Records aliases FetchResponse.Buf: raw batches, the last one perhaps cut short; the
// first may begin before the offset asked for; control batches and aborted ones are among them (see Aborted).
type Fetched struct {
	Topic            string
	Partition        int32
	Err              error // kafka.Error; nil: none
	HighWatermark    int64
	LastStableOffset int64
	LogStart         int64
	Aborted          []Aborted // transactions that were aborted: drop these producers' batches from FirstOffset to their marker
	Records          []byte
}

// Aborted is an aborted transaction in a fetch's range.
type Aborted struct{ ProducerID, FirstOffset int64 }

// FetchResponse is a broker's answer. Buf may be given to the next request once nothing of the answer is in use.
type FetchResponse struct {
	Partitions []Fetched
	Buf        []byte
}

// Fetch does one fetch. After an error the request's Buf is the caller's again, whatever it holds.
func (c *Cluster) Fetch(ctx context.Context, r FetchRequest) (*FetchResponse, error) {
	var res *FetchResponse
	err := c.do(ctx, r.MaxWait+fetchSlack, &exchange{api: protocol.Fetch, broker: r.Broker, talk: func(l *line) (err error) {
		res, err = l.fetch(&r)
		return err
	}})
	if err != nil {
		return nil, err
	}
	for i := range res.Partitions {
		if p := &res.Partitions[i]; movedLeader(p.Err) {
			c.leaders.drop(p.Topic)
		}
	}
	return res, nil
}

func (l *line) fetch(r *FetchRequest) (*FetchResponse, error) {
	v, err := l.e.version(4, 11)
	if err != nil {
		return nil, err
	}
	w, id := l.request(protocol.Fetch, v, false)
	w.i32(-1) // not a replica
	w.i32(int32(r.MaxWait.Milliseconds()))
	w.i32(r.MinBytes)
	w.i32(r.MaxBytes)
	if r.ReadCommitted {
		w.i8(1)
	} else {
		w.i8(0)
	}
	if v >= 7 { // no fetch session
		w.i32(0)
		w.i32(-1)
	}
	w.topics(len(r.Partitions), func(i int) string { return r.Partitions[i].Topic }, func(i int) {
		p := &r.Partitions[i]
		w.i32(p.Partition)
		if v >= 9 {
			w.i32(-1) // leader epoch unknown
		}
		w.i64(p.Offset)
		if v >= 5 {
			w.i64(-1) // log start: a replica's
		}
		w.i32(p.MaxBytes)
	})
	if v >= 7 {
		w.i32(0) // topics to forget
	}
	if v >= 11 {
		w.str("") // rack
	}
	d, err := l.call(w, id, r.Buf, int(r.MaxBytes)+fetchExcess, false)
	if err != nil {
		return nil, err
	}
	res := &FetchResponse{Buf: d.whole, Partitions: make([]Fetched, 0, len(r.Partitions))}
	d.i32() // throttle
	if v >= 7 {
		if err := code(d.i16()); err != nil {
			return nil, err
		}
		d.i32() // session
	}
	for range d.count(6) {
		topic := l.sameTopic(d, r)
		for range d.count(30) {
			p := Fetched{Topic: topic, Partition: d.i32(), Err: code(d.i16()), HighWatermark: d.i64(), LastStableOffset: d.i64(), LogStart: -1}
			if v >= 5 {
				p.LogStart = d.i64()
			}
			if n := d.count(16); n > 0 {
				p.Aborted = make([]Aborted, n)
				for i := range p.Aborted {
					p.Aborted[i] = Aborted{ProducerID: d.i64(), FirstOffset: d.i64()}
				}
			}
			if v >= 11 {
				d.i32() // preferred replica
			}
			p.Records = d.bytes()
			res.Partitions = append(res.Partitions, p)
		}
	}
	return res, d.err()
}

// sameTopic reads a topic's name without making a new string of it if it is one of the request's.
func (l *line) sameTopic(d *decoder, r *FetchRequest) string {
	p := d.take(int(d.i16()))
	for i := range r.Partitions {
		if t := r.Partitions[i].Topic; t == string(p) {
			return t
		}
	}
	return string(p)
}

// topics writes an array of topics, each with an array of partitions: n partitions, in any order, are gathered by topic,
// a topic that is interrupted by another one appearing twice.
func (w *encoder) topics(n int, topic func(int) string, partition func(int)) {
	runs := 0
	for i := range n {
		if i == 0 || topic(i) != topic(i-1) {
			runs++
		}
	}
	w.i32(int32(runs))
	for i := 0; i < n; {
		j := i + 1
		for j < n && topic(j) == topic(i) {
			j++
		}
		w.str(topic(i))
		w.i32(int32(j - i))
		for ; i < j; i++ {
			partition(i)
		}
	}
}
