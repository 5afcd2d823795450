// Package wire speaks to Kafka below kafka-go's Reader and Writer: raw record batches in, record batches of our own out,
// and the calls of a transaction, each one round trip over a connection that kafka-go's Transport opened, authenticated
// and routed (protocol.RawExchanger).
//
// Nothing here retries: a caller that sees an error must know that the request may or may not have taken effect. But
// nothing goes on behind the caller's back either: a call returns only when nothing more of it can be written to the
// network, and none of the caller's memory is in use any longer.
package wire

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
)

// Config says how to reach a cluster.
type Config struct {
	Brokers  []string       // host:port
	TLS      *tls.Config    // nil: plain text
	SASL     sasl.Mechanism // nil: none
	ClientID string

	Transport Transport // nil: kafka-go's, over the network, made of the rest
}

// Transport carries requests to brokers, and their answers back.
type Transport interface {
	kafka.RoundTripper
	CloseIdleConnections()
}

// Cluster is a Kafka cluster. Safe for concurrent use.
type Cluster struct {
	config    Config
	addr      net.Addr
	transport Transport
	client    *kafka.Client
	serial    atomic.Int32 // correlation ids

	leaders   leaders
	forgotten struct {
		sync.Mutex
		at time.Time
	}
}

// New makes a Cluster; it does not connect.
func New(c Config) *Cluster {
	w := &Cluster{config: c, addr: kafka.TCP(c.Brokers...), transport: c.Transport}
	if w.transport == nil {
		w.transport = &kafka.Transport{
			ClientID: c.ClientID,
			TLS:      c.TLS,
			SASL:     c.SASL,
			// The cached layout serves for the brokers' addresses alone; leaders come from Topics. Not nil: nil means all.
			MetadataTopics: []string{},
			IdleTimeout:    5 * time.Minute,
		}
	}
	w.client = &kafka.Client{Addr: w.addr, Transport: &admin{w}, Timeout: callTimeout}
	return w
}

// Client is kafka-go's client over the same connections: groups, offsets, administration. Its calls that are routed by a
// partition's leader (Produce, Fetch, ListOffsets) don't work: use Produce, Fetch and Offsets of the Cluster.
func (c *Cluster) Client() *kafka.Client { return c.client }

// Config is what the Cluster was made with.
func (c *Cluster) Config() Config { return c.config }

// Close closes the connections.
func (c *Cluster) Close() { c.transport.CloseIdleConnections() }

// Forget drops cached metadata and idle connections: the next request looks afresh.
func (c *Cluster) Forget() {
	c.leaders.forget()
	c.transport.CloseIdleConnections()
}

// forgetSoon is Forget, at most twice a second: requests to a broker that is gone fail in numbers.
func (c *Cluster) forgetSoon() {
	c.leaders.forget()
	c.forgotten.Lock()
	defer c.forgotten.Unlock()
	if now := time.Now(); now.Sub(c.forgotten.at) > 500*time.Millisecond {
		c.forgotten.at = now
		c.transport.CloseIdleConnections()
	}
}
