package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/describeconfigs"
	"github.com/segmentio/kafka-go/protocol/offsetcommit"
	"github.com/segmentio/kafka-go/protocol/offsetfetch"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// transport is a process's way to Kafka (wire.Config.Transport): each request is one call to the model. Requests that the
// product encodes itself are decoded here, by another implementation.
type transport struct{ p *proc }

// versions are those of every call that the cluster knows at most.
var versions = map[protocol.ApiKey]int16{
	protocol.Produce: 8, protocol.Fetch: 11, protocol.ListOffsets: 2, protocol.Metadata: 8, protocol.FindCoordinator: 1,
	protocol.InitProducerId: 1, protocol.AddPartitionsToTxn: 1, protocol.EndTxn: 1, protocol.CreateTopics: 4, protocol.ApiVersions: 0,
}

// exchanger is what internal/wire hands to a transport.
type exchanger interface {
	protocol.Message
	Required(map[protocol.ApiKey]int16) bool
	Broker(protocol.Cluster) (protocol.Broker, error)
	RawExchange(io.ReadWriter) (protocol.Message, error)
}

func (t transport) CloseIdleConnections() {}

// RoundTrip makes one request.
func (t transport) RoundTrip(ctx context.Context, _ net.Addr, req kafka.Request) (kafka.Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if e, ok := req.(exchanger); ok {
		e.Required(versions)
		b, err := e.Broker(protocol.Cluster{Controller: 1})
		if err != nil {
			return nil, err
		}
		return e.RawExchange(&line{ctx: ctx, p: t.p, broker: b.ID})
	}
	return t.typed(ctx, req)
}

// line is the connection of one exchange.
type line struct {
	ctx     context.Context
	p       *proc
	broker  int32
	in, out []byte
}

func (l *line) Write(b []byte) (int, error) {
	l.in = append(l.in, b...)
	return len(b), nil
}

func (l *line) Read(b []byte) (int, error) {
	if len(l.out) == 0 {
		if err := l.exchange(); err != nil {
			return 0, err
		}
	}
	n := copy(b, l.out)
	l.out = l.out[n:]
	return n, nil
}

func (l *line) exchange() error {
	if len(l.in) < 14 {
		return io.EOF
	}
	p := l.in[4:]
	req := kmsg.RequestForKey(int16(binary.BigEndian.Uint16(p)))
	req.SetVersion(int16(binary.BigEndian.Uint16(p[2:])))
	id := p[4:8]
	p = p[10+int(binary.BigEndian.Uint16(p[8:])):]
	if req.IsFlexible() {
		p = p[1:] // no tags
	}
	if err := req.ReadFrom(p); err != nil {
		panic(fmt.Sprintf("sim: request %d can't be read: %v", req.Key(), err))
	}
	l.in = nil
	var res kmsg.Response
	if r, ok := req.(*kmsg.ApiVersionsRequest); ok {
		res = r.ResponseKind()
		res.(*kmsg.ApiVersionsResponse).ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: int16(protocol.Metadata), MaxVersion: 10}}
	} else {
		r, err := l.p.ask(l.p.w.kafka.call(l.broker, req), l.ctx.Done(), nil)
		if err != nil {
			if l.ctx.Err() != nil {
				return l.ctx.Err()
			}
			return err
		}
		res = r.out.(kmsg.Response)
	}
	body := make([]byte, 4, 256)
	body = append(body, id...)
	if req.IsFlexible() && req.Key() != int16(protocol.ApiVersions) {
		body = append(body, 0)
	}
	body = res.AppendTo(body)
	binary.BigEndian.PutUint32(body, uint32(len(body)-4))
	l.out = body
	return nil
}

// call makes a request to a broker a call to the model.
func (k *kafkaModel) call(broker int32, req kmsg.Request) *call {
	c := &call{}
	answer := func(label string, do func() kmsg.Response) {
		c.label = "kafka " + label
		c.step = func() bool { c.out = do(); return true }
	}
	switch r := req.(type) {
	case *kmsg.MetadataRequest:
		answer("Metadata "+metadataLabel(r), func() kmsg.Response { return k.metadata(r) })
	case *kmsg.FindCoordinatorRequest:
		answer("FindCoordinator "+r.CoordinatorKey, func() kmsg.Response {
			res := r.ResponseKind().(*kmsg.FindCoordinatorResponse)
			res.NodeID = k.coordinator(r.CoordinatorKey)
			return res
		})
	case *kmsg.InitProducerIDRequest:
		do := func() kmsg.Response {
			res := r.ResponseKind().(*kmsg.InitProducerIDResponse)
			if broker != k.coordinator(*r.TransactionalID) {
				res.ErrorCode = notCoordinator
				return res
			}
			res.ProducerID, res.ProducerEpoch, res.ErrorCode = k.initProducer(*r.TransactionalID, time.Duration(r.TransactionTimeoutMillis)*time.Millisecond)
			return res
		}
		answer("InitProducerID "+*r.TransactionalID, do)
		c.txn = *r.TransactionalID
		c.refuse = func() bool {
			res := r.ResponseKind().(*kmsg.InitProducerIDResponse)
			res.ErrorCode = k.w.oneOf(coordinatorLoading, notCoordinator, requestTimedOut)
			if res.ErrorCode == requestTimedOut {
				do() // in effect, or on its way
			}
			c.out = res
			return true
		}
	case *kmsg.AddPartitionsToTxnRequest:
		c.txn = r.TransactionalID
		answer("AddPartitionsToTxn "+r.TransactionalID, func() kmsg.Response {
			if broker != k.coordinator(r.TransactionalID) {
				return addAnswer(r, notCoordinator)
			}
			return addAnswer(r, k.addPartitions(r.TransactionalID, r.ProducerID, r.ProducerEpoch, partsOf(r)))
		})
		c.refuse = func() bool {
			c.out = addAnswer(r, k.w.oneOf(coordinatorLoading, notCoordinator))
			return true
		}
	case *kmsg.EndTxnRequest:
		c.txn = r.TransactionalID
		answer("EndTxn "+r.TransactionalID, func() kmsg.Response {
			res := r.ResponseKind().(*kmsg.EndTxnResponse)
			if res.ErrorCode = notCoordinator; broker == k.coordinator(r.TransactionalID) {
				res.ErrorCode = k.end(r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit)
			}
			return res
		})
		c.refuse = func() bool {
			res := r.ResponseKind().(*kmsg.EndTxnResponse)
			res.ErrorCode = k.w.oneOf(coordinatorLoading, notCoordinator, requestTimedOut)
			if res.ErrorCode == requestTimedOut {
				k.end(r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit)
			}
			c.out = res
			return true
		}
	case *kmsg.ProduceRequest:
		k.produceCall(c, broker, r)
	case *kmsg.FetchRequest:
		k.fetchCall(c, broker, r)
	case *kmsg.ListOffsetsRequest:
		answer(fmt.Sprintf("ListOffsets %s %d at %d", r.Topics[0].Topic, r.Topics[0].Partitions[0].Partition, r.Topics[0].Partitions[0].Timestamp),
			func() kmsg.Response { return k.listOffsets(broker, r) })
	case *kmsg.CreateTopicsRequest:
		answer("CreateTopics "+r.Topics[0].Topic, func() kmsg.Response { return k.createTopics(r) })
	default:
		panic(fmt.Sprintf("sim: Kafka has no model of request %d", req.Key()))
	}
	return c
}

func (w *world) oneOf(codes ...int16) int16 { return codes[w.rnd.IntN(len(codes))] }

func metadataLabel(r *kmsg.MetadataRequest) (s string) {
	for _, t := range r.Topics {
		s += *t.Topic + " "
	}
	return s
}

func partsOf(r *kmsg.AddPartitionsToTxnRequest) (parts []tp) {
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			parts = append(parts, tp{t.Topic, p})
		}
	}
	return parts
}

func addAnswer(r *kmsg.AddPartitionsToTxnRequest, code int16) kmsg.Response {
	res := r.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	for _, t := range r.Topics {
		x := kmsg.AddPartitionsToTxnResponseTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			x.Partitions = append(x.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: p, ErrorCode: code})
		}
		res.Topics = append(res.Topics, x)
	}
	return res
}

func (k *kafkaModel) metadata(r *kmsg.MetadataRequest) kmsg.Response {
	res := r.ResponseKind().(*kmsg.MetadataResponse)
	res.ControllerID = 1
	var names []string
	for _, t := range r.Topics {
		names = append(names, *t.Topic)
	}
	if r.Topics == nil {
		for n := range k.topics {
			names = append(names, n)
		}
		slices.Sort(names)
	}
	for _, n := range names {
		x := kmsg.MetadataResponseTopic{Topic: &n, ErrorCode: unknownTopic}
		if t := k.topics[n]; t != nil {
			x.ErrorCode, x.TopicID = 0, t.id
			for i := range t.partitions {
				x.Partitions = append(x.Partitions, kmsg.MetadataResponseTopicPartition{Partition: int32(i), Leader: t.partitions[i].leader})
			}
		}
		res.Topics = append(res.Topics, x)
	}
	return res
}

func (k *kafkaModel) createTopics(r *kmsg.CreateTopicsRequest) kmsg.Response {
	res := r.ResponseKind().(*kmsg.CreateTopicsResponse)
	for _, t := range r.Topics {
		x := kmsg.CreateTopicsResponseTopic{Topic: t.Topic}
		if k.topics[t.Topic] != nil {
			x.ErrorCode = topicExists
		} else {
			n, compacted := int(t.NumPartitions), false
			if n < 0 {
				n = 2
			}
			for _, c := range t.Configs {
				compacted = compacted || c.Name == "cleanup.policy" && *c.Value == "compact"
			}
			k.createTopic(t.Topic, n, compacted)
		}
		res.Topics = append(res.Topics, x)
	}
	return res
}

func (k *kafkaModel) produceCall(c *call, broker int32, r *kmsg.ProduceRequest) {
	name := ""
	if r.TransactionID != nil {
		name = *r.TransactionID
	}
	c.label, c.txn = "kafka Produce "+name, name
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			c.label += fmt.Sprintf(" %s/%d:%d", t.Topic, p.Partition, len(p.Records))
		}
	}
	do := func(also int16) *kmsg.ProduceResponse {
		res := r.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range r.Topics {
			x := kmsg.ProduceResponseTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				y := kmsg.ProduceResponseTopicPartition{Partition: p.Partition, BaseOffset: -1, ErrorCode: unknownTopic}
				if at := k.partition(tp{t.Topic, p.Partition}); at != nil && at.leader != broker {
					y.ErrorCode = notLeader
				} else if at != nil && also != notLeader {
					y.BaseOffset, y.ErrorCode = k.append(at, p.Records, name)
				}
				if also != 0 && y.ErrorCode == 0 || also == notLeader {
					y.ErrorCode, y.BaseOffset = also, -1
				}
				x.Partitions = append(x.Partitions, y)
			}
			res.Topics = append(res.Topics, x)
		}
		return res
	}
	c.step = func() bool { c.out = do(0); return true }
	c.refuse = func() bool {
		c.out = do(k.w.oneOf(notLeader, requestTimedOut)) // the latter when it has been written
		return true
	}
}

func (k *kafkaModel) fetchCall(c *call, broker int32, r *kmsg.FetchRequest) {
	c.label = fmt.Sprintf("kafka Fetch %d", r.IsolationLevel)
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			c.label += fmt.Sprintf(" %s/%d@%d", t.Topic, p.Partition, p.FetchOffset)
		}
	}
	answer := func() (*kmsg.FetchResponse, bool) {
		res := r.ResponseKind().(*kmsg.FetchResponse)
		some := false
		left := int(r.MaxBytes)
		for _, t := range r.Topics {
			x := kmsg.FetchResponseTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				y := kmsg.FetchResponseTopicPartition{Partition: p.Partition, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, ErrorCode: unknownTopic}
				if at := k.partition(tp{t.Topic, p.Partition}); at != nil && at.leader != broker {
					y.ErrorCode = notLeader
				} else if at != nil {
					y.HighWatermark, y.LastStableOffset, y.LogStartOffset = at.next, at.stable(), at.start
					var aborted []abortedTxn
					y.RecordBatches, aborted, y.ErrorCode = at.fetch(p.FetchOffset, min(left, int(p.PartitionMaxBytes)), r.IsolationLevel == 1)
					for _, a := range aborted {
						y.AbortedTransactions = append(y.AbortedTransactions, kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: a.id, FirstOffset: a.first})
					}
				}
				left -= len(y.RecordBatches)
				some = some || len(y.RecordBatches) > 0 || y.ErrorCode != 0
				x.Partitions = append(x.Partitions, y)
			}
			res.Topics = append(res.Topics, x)
		}
		return res, some
	}
	until := time.Time{}
	c.step = func() bool {
		res, some := answer()
		if until.IsZero() {
			until = time.Now().Add(time.Duration(r.MaxWaitMillis) * time.Millisecond)
		}
		if !some && until.After(time.Now()) {
			c.until = until
			c.ready = func() bool {
				for _, t := range r.Topics {
					for _, p := range t.Partitions {
						at := k.partition(tp{t.Topic, p.Partition})
						if at == nil || at.leader != broker || p.FetchOffset > at.next || p.FetchOffset < at.start {
							return true
						}
						end := at.next
						if r.IsolationLevel == 1 {
							end = at.stable()
						}
						if end > p.FetchOffset {
							return true
						}
					}
				}
				return false
			}
			return false
		}
		c.out = res
		return true
	}
	c.refuse = func() bool {
		res, _ := answer()
		for i := range res.Topics {
			for j := range res.Topics[i].Partitions {
				p := &res.Topics[i].Partitions[j]
				p.ErrorCode, p.RecordBatches = notLeader, nil
			}
		}
		c.out = res
		return true
	}
}

func (k *kafkaModel) listOffsets(broker int32, r *kmsg.ListOffsetsRequest) kmsg.Response {
	res := r.ResponseKind().(*kmsg.ListOffsetsResponse)
	for _, t := range r.Topics {
		x := kmsg.ListOffsetsResponseTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			y := kmsg.ListOffsetsResponseTopicPartition{Partition: p.Partition, Timestamp: -1, Offset: -1, ErrorCode: unknownTopic}
			if at := k.partition(tp{t.Topic, p.Partition}); at != nil && at.leader != broker {
				y.ErrorCode = notLeader
			} else if at != nil {
				y.ErrorCode = 0
				switch {
				case p.Timestamp == -2:
					y.Offset = at.start
				case r.IsolationLevel == 1:
					y.Offset = at.stable()
				default:
					y.Offset = at.next
				}
			}
			x.Partitions = append(x.Partitions, y)
		}
		res.Topics = append(res.Topics, x)
	}
	return res
}

// typed are the requests that kafka-go's client makes.
func (t transport) typed(ctx context.Context, req kafka.Request) (kafka.Response, error) {
	k := t.p.w.kafka
	c := &call{}
	switch r := req.(type) {
	case *describeconfigs.Request:
		c.label = "kafka DescribeConfigs " + r.Resources[0].ResourceName
		c.step = func() bool {
			res := &describeconfigs.Response{}
			for _, x := range r.Resources {
				policy := "delete"
				if at := k.topics[x.ResourceName]; at != nil && at.compacted {
					policy = "compact"
				}
				res.Resources = append(res.Resources, describeconfigs.ResponseResource{ResourceType: x.ResourceType, ResourceName: x.ResourceName,
					ConfigEntries: []describeconfigs.ResponseConfigEntry{
						{ConfigName: "cleanup.policy", ConfigValue: policy}, {ConfigName: "max.message.bytes", ConfigValue: "1048588"}}})
			}
			c.out = res
			return true
		}
	case *offsetfetch.Request:
		for _, x := range r.Topics {
			slices.Sort(x.PartitionIndexes) // they come in a map's order
		}
		c.label = "kafka OffsetFetch " + r.GroupID + fmt.Sprint(r.Topics)
		c.step = func() bool {
			res := &offsetfetch.Response{}
			for _, x := range r.Topics {
				y := offsetfetch.ResponseTopic{Name: x.Name}
				for _, i := range x.PartitionIndexes {
					o, ok := k.group(r.GroupID).offsets[tp{x.Name, i}]
					if !ok {
						o.offset = -1
					}
					y.Partitions = append(y.Partitions, offsetfetch.ResponsePartition{PartitionIndex: i, CommittedOffset: o.offset, Metadata: o.metadata})
				}
				res.Topics = append(res.Topics, y)
			}
			c.out = res
			return true
		}
	case *offsetcommit.Request:
		c.label = "kafka OffsetCommit " + r.GroupID
		c.step = func() bool {
			res := &offsetcommit.Response{}
			for _, x := range r.Topics {
				y := offsetcommit.ResponseTopic{Name: x.Name}
				for _, p := range x.Partitions {
					code := k.commit(r.GroupID, r.MemberID, r.GenerationID, tp{x.Name, p.PartitionIndex}, committed{p.CommittedOffset, p.CommittedMetadata})
					y.Partitions = append(y.Partitions, offsetcommit.ResponsePartition{PartitionIndex: p.PartitionIndex, ErrorCode: code})
				}
				res.Topics = append(res.Topics, y)
			}
			c.out = res
			return true
		}
	default:
		return nil, errors.ErrUnsupported
	}
	a, err := t.p.ask(c, ctx.Done(), nil)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	return a.out.(kafka.Response), nil
}
