package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

const (
	callTimeout = 10 * time.Second // of a call that the broker answers at once
	maxAnswer   = 16 << 20         // bytes, of every answer but a fetch's and the metadata's
	coalesce    = 16 << 10         // shorter pieces of a request are gathered into one write
)

// Where an exchange goes, if not to a broker by its id.
const (
	anyBroker  = -1 // one of the bootstrap list
	controller = -2
)

// The states of an exchange. The caller may give up before its turn comes on a connection; from then on it is waited for.
const (
	waiting int32 = iota
	running
	abandoned
)

// exchange is one request and its answer, as a message that kafka-go's Transport routes to a broker and to which it then
// lends the connection. An error closes the connection: what is left of an answer never meets the next request.
type exchange struct {
	api     protocol.ApiKey
	broker  int32 // its id, or anyBroker, or controller
	cluster *Cluster
	ctx     context.Context

	// talk has the connection to itself. versions holds, for each call, the newest that kafka-go and the broker know.
	talk func(l *line) error

	versions map[protocol.ApiKey]int16
	state    atomic.Int32
	done     chan struct{}
	err      error
}

// ApiKey, Broker, Required and RawExchange make it a protocol.Message, BrokerMessage and RawExchanger.
func (e *exchange) ApiKey() protocol.ApiKey { return e.api }

func (e *exchange) Broker(layout protocol.Cluster) (protocol.Broker, error) {
	if e.broker == controller {
		return protocol.Broker{ID: layout.Controller}, nil
	}
	return protocol.Broker{ID: e.broker}, nil
}

func (e *exchange) Required(versions map[protocol.ApiKey]int16) bool {
	e.versions = versions
	return true
}

func (e *exchange) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	if !e.state.CompareAndSwap(waiting, running) {
		return nil, context.Canceled
	}
	defer close(e.done)
	// kafka-go sets the context's deadline on the socket, but a cancellation reaches only whoever waits for the answer.
	if conn, ok := rw.(net.Conn); ok {
		cut := make(chan struct{})
		stop := context.AfterFunc(e.ctx, func() {
			defer close(cut)
			_ = conn.SetDeadline(time.Unix(1, 0))
		})
		defer func() {
			if !stop() {
				<-cut
				if e.err == nil {
					_ = conn.SetDeadline(time.Time{})
				}
			}
		}()
	}
	if _, ok := e.versions[e.api]; !ok {
		e.err = errTooOld
		return nil, e.err
	}
	e.err = e.talk(&line{rw: rw, e: e})
	return e, e.err
}

// do sends e and waits until it is over: when do returns, nothing of it is still under way.
func (c *Cluster) do(ctx context.Context, limit time.Duration, e *exchange) error {
	start := time.Now()
	err := c.roundTrip(ctx, limit, e)
	name := e.api.String()
	requestSeconds.WithLabelValues(name).Observe(time.Since(start).Seconds())
	if err != nil {
		requestErrors.WithLabelValues(name).Inc()
		if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w (%w)", ctx.Err(), err)
		}
		return fmt.Errorf("kafka %s: %w", name, err)
	}
	return nil
}

func (c *Cluster) roundTrip(ctx context.Context, limit time.Duration, e *exchange) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	e.cluster, e.ctx, e.done = c, ctx, make(chan struct{})
	_, err := c.transport.RoundTrip(ctx, c.addr, e)
	if err == nil {
		return nil
	}
	if e.state.CompareAndSwap(waiting, abandoned) {
		if ctx.Err() == nil && e.broker != anyBroker { // no way to it: it may have gone, or moved to another address
			c.forgetSoon()
		}
		return err
	}
	<-e.done // the deadline or the cancellation has reached the socket too
	if e.err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		c.leaders.forget() // a broker that fell silent leads nothing for long
	}
	return e.err
}

// version is the call's version to use: newest, or what the broker knows if that is older; below oldest it is no use.
func (e *exchange) version(oldest, newest int16) (int16, error) {
	v := min(e.versions[e.api], newest)
	if v < oldest {
		return 0, errTooOld
	}
	return v, nil
}

// line is the connection, lent for one exchange.
type line struct {
	rw io.ReadWriter
	e  *exchange
}

var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// request starts a request in memory of the pool: room for its size, and the header (version 1, or 2 if flexible).
func (l *line) request(api protocol.ApiKey, version int16, flexible bool) (*encoder, int32) {
	buf := scratch.Get().(*[]byte)
	w := &encoder{pool: buf, b: (*buf)[:0]}
	id := l.e.cluster.serial.Add(1)
	w.i32(0)
	w.i16(int16(api))
	w.i16(version)
	w.i32(id)
	w.str(l.e.cluster.config.ClientID)
	if flexible {
		w.tags()
	}
	return w, id
}

// call sends w and reads the answer into buf, which grows if need be, up to limit bytes.
func (l *line) call(w *encoder, id int32, buf []byte, limit int, flexible bool) (*decoder, error) {
	err := w.send(l.rw)
	w.free()
	if err != nil {
		return nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(l.rw, head[:]); err != nil {
		return nil, unexpected(err)
	}
	n := int(int32(binary.BigEndian.Uint32(head[:]))) - 4
	if n < 0 || n > limit {
		return nil, fmt.Errorf("%w: %d bytes long, at most %d were expected", errProtocol, n, limit)
	}
	if got := int32(binary.BigEndian.Uint32(head[4:])); got != id {
		return nil, fmt.Errorf("%w: it answers request %d, not %d", errProtocol, got, id)
	}
	if cap(buf) < n {
		buf = make([]byte, n+n/8)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(l.rw, buf); err != nil {
		return nil, unexpected(err)
	}
	d := &decoder{p: buf, whole: buf}
	if flexible {
		d.tags()
	}
	return d, nil
}

// unexpected: between a request and the end of its answer the end of the stream is never a proper one.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
