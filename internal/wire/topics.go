package wire

import (
	"context"
	"fmt"
	"sync"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// maxMetadata bounds a metadata answer: some tens of bytes a partition.
const maxMetadata = 256 << 20

// Topic is what a broker says of a topic.
type Topic struct {
	Name       string
	ID         [16]byte // changes when a topic is deleted and made again; zero before Kafka 2.8
	Err        error    // kafka.Error; nil: none
	Internal   bool
	Partitions []Partition // by number
}

// Partition is what a broker says of a partition.
type Partition struct {
	ID          int32
	Leader      int32 // broker id; -1: none now
	LeaderEpoch int32
	Err         error
}

// Topics asks a broker, not a cache, for these topics, or for all of them if none is named. Topics are never created.
func (c *Cluster) Topics(ctx context.Context, names ...string) ([]Topic, error) {
	var topics []Topic
	err := c.do(ctx, callTimeout, &exchange{api: protocol.Metadata, broker: anyBroker, talk: func(l *line) (err error) {
		topics, err = l.topics(names)
		return err
	}})
	if err != nil {
		return nil, err
	}
	c.leaders.learn(topics)
	return topics, nil
}

// topics asks in version 10, the first with topic ids, which kafka-go does not know; older brokers in an older one.
func (l *line) topics(names []string) ([]Topic, error) {
	newest, err := l.newest(protocol.Metadata)
	if err != nil {
		return nil, err
	}
	if newest < 10 {
		return l.topicsOld(names, newest)
	}
	w, id := l.request(protocol.Metadata, 10, true)
	if len(names) == 0 {
		w.uvarint(0) // null: all
	} else {
		w.uvarint(uint64(len(names)) + 1)
		for _, n := range names {
			w.i64(0) // no topic id
			w.i64(0)
			w.cstr(n)
			w.tags()
		}
	}
	w.bool(false) // create missing ones
	w.bool(false) // authorized operations of the cluster …
	w.bool(false) // … and the topics
	w.tags()
	d, err := l.call(w, id, nil, maxMetadata, true)
	if err != nil {
		return nil, err
	}
	d.i32() // throttle
	for range d.ccount(11) {
		d.i32()
		d.cstr()
		d.i32()
		d.cstr()
		d.tags()
	}
	d.cstr() // cluster id
	d.i32()  // controller
	topics := make([]Topic, 0, d.ccount(26))
	for range cap(topics) {
		t := Topic{Err: code(d.i16()), Name: d.cstr()}
		copy(t.ID[:], d.take(16))
		t.Internal = d.bool()
		t.Partitions = make([]Partition, 0, d.ccount(18))
		for range cap(t.Partitions) {
			p := Partition{Err: code(d.i16()), ID: d.i32(), Leader: d.i32(), LeaderEpoch: d.i32()}
			for range 3 { // replicas, in sync, offline
				d.take(4 * d.ccount(4))
			}
			d.tags()
			t.Partitions = append(t.Partitions, p)
		}
		d.i32() // authorized operations
		d.tags()
		topics = append(topics, t)
	}
	return numbered(topics, d.err())
}

// topicsOld asks in a version from 4 to 7. kafka-go, which knows these, believes the lengths in an answer.
func (l *line) topicsOld(names []string, newest int16) ([]Topic, error) {
	if newest < 4 {
		return nil, errTooOld
	}
	v := min(newest, 7)
	w, id := l.request(protocol.Metadata, v, false)
	if len(names) == 0 {
		w.i32(-1) // null: all
	} else {
		w.i32(int32(len(names)))
		for _, n := range names {
			w.str(n)
		}
	}
	w.bool(false) // create missing ones
	d, err := l.call(w, id, nil, maxMetadata, false)
	if err != nil {
		return nil, err
	}
	d.i32() // throttle
	for range d.count(12) {
		d.i32()
		d.str()
		d.i32()
		d.str()
	}
	d.str() // cluster id
	d.i32() // controller
	topics := make([]Topic, 0, d.count(9))
	for range cap(topics) {
		t := Topic{Err: code(d.i16()), Name: d.str(), Internal: d.bool()}
		t.Partitions = make([]Partition, 0, d.count(18))
		for range cap(t.Partitions) {
			p := Partition{Err: code(d.i16()), ID: d.i32(), Leader: d.i32(), LeaderEpoch: -1}
			lists := 2 // replicas, in sync
			if v >= 7 {
				p.LeaderEpoch = d.i32()
			}
			if v >= 5 {
				lists++ // offline
			}
			for range lists {
				d.take(4 * d.count(4))
			}
			t.Partitions = append(t.Partitions, p)
		}
		topics = append(topics, t)
	}
	return numbered(topics, d.err())
}

// numbered brings every topic's partitions in the order of their numbers.
func numbered(topics []Topic, err error) ([]Topic, error) {
	if err != nil {
		return nil, err
	}
	for i := range topics {
		if !byNumber(&topics[i]) {
			return nil, fmt.Errorf("%w: the partitions of topic %s are not numbered from 0", errProtocol, topics[i].Name)
		}
	}
	return topics, nil
}

// byNumber puts partition i at index i and reports whether there is one for each.
func byNumber(t *Topic) bool {
	for i := 0; i < len(t.Partitions); i++ {
		for t.Partitions[i].ID != int32(i) {
			j := t.Partitions[i].ID
			if j < 0 || int(j) >= len(t.Partitions) || t.Partitions[j].ID == j {
				return false
			}
			t.Partitions[i], t.Partitions[j] = t.Partitions[j], t.Partitions[i]
		}
	}
	return true
}

// newest is the newest version of a call that the broker at the line's other end knows.
func (l *line) newest(api protocol.ApiKey) (int16, error) {
	w, id := l.request(protocol.ApiVersions, 0, false)
	d, err := l.call(w, id, nil, maxAnswer, false)
	if err != nil {
		return 0, err
	}
	if err := code(d.i16()); err != nil {
		return 0, err
	}
	newest := int16(-1)
	for range d.count(6) {
		key, _, to := d.i16(), d.i16(), d.i16()
		if protocol.ApiKey(key) == api {
			newest = to
		}
	}
	return newest, d.err()
}

// Leader returns the broker that leads a partition, from memory or, if it isn't known, by asking. What is remembered is
// dropped whenever a broker says that it is wrong, or falls silent, and by Forget.
func (c *Cluster) Leader(ctx context.Context, topic string, partition int32) (int32, error) {
	if id, ok := c.leaders.get(topic, partition); ok {
		return id, nil
	}
	topics, err := c.Topics(ctx, topic)
	if err != nil {
		return 0, err
	}
	if len(topics) != 1 || topics[0].Name != topic {
		return 0, fmt.Errorf("%w: asked for topic %s", errProtocol, topic)
	}
	t := topics[0]
	switch {
	case t.Err != nil:
		return 0, fmt.Errorf("topic %s: %w", topic, t.Err)
	case partition < 0 || int(partition) >= len(t.Partitions):
		return 0, ofPartition(kafka.UnknownTopicOrPartition, topic, partition)
	case t.Partitions[partition].Leader < 0:
		return 0, ofPartition(kafka.LeaderNotAvailable, topic, partition)
	}
	return t.Partitions[partition].Leader, nil
}

// leaders remembers who leads the partitions that were asked for by Leader or seen by Topics.
type leaders struct {
	mu     sync.RWMutex
	topics map[string][]Partition
}

func (c *leaders) get(topic string, partition int32) (int32, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	ps := c.topics[topic]
	if partition < 0 || int(partition) >= len(ps) || ps[partition].Leader < 0 {
		return 0, false
	}
	return ps[partition].Leader, true
}

func (c *leaders) learn(topics []Topic) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.topics == nil {
		c.topics = map[string][]Partition{}
	}
	for _, t := range topics {
		if t.Err != nil {
			delete(c.topics, t.Name)
			continue
		}
		c.topics[t.Name] = append([]Partition(nil), t.Partitions...)
	}
}

func (c *leaders) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.topics)
}

func (c *leaders) drop(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.topics, topic)
}

// Ping reports whether a broker answers.
func (c *Cluster) Ping(ctx context.Context) error {
	return c.do(ctx, callTimeout, &exchange{api: protocol.ApiVersions, broker: anyBroker, talk: func(l *line) error {
		_, err := l.newest(protocol.ApiVersions)
		return err
	}})
}
