package wire

import (
	"context"
	"net"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

// admin is the RoundTripper of Client. kafka-go answers metadata requests from its cache, and after CreateTopics waits for
// the cache to show the topics; the cache holds no topics here, so both go past it.
type admin struct{ c *Cluster }

func (a *admin) RoundTrip(ctx context.Context, addr net.Addr, req kafka.Request) (kafka.Response, error) {
	to := int32(anyBroker)
	switch req.(type) {
	case *metadata.Request:
	case *createtopics.Request:
		to = controller
	default:
		return a.c.transport.RoundTrip(ctx, addr, req)
	}
	var res protocol.Message
	err := a.c.do(ctx, callTimeout, &exchange{api: req.ApiKey(), broker: to, talk: func(l *line) (err error) {
		res, err = l.exchange(req)
		return err
	}})
	return res, err
}

// exchange sends a request that kafka-go can encode.
func (l *line) exchange(req protocol.Message) (protocol.Message, error) {
	return protocol.RoundTrip(l.rw, l.e.versions[req.ApiKey()], l.e.cluster.serial.Add(1), l.e.cluster.config.ClientID, req)
}
