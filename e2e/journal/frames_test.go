package journal

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// Kafka's numbers of calls.
const (
	apiProduce = 0
	apiInit    = 22
	apiAdd     = 24
	apiEnd     = 26
)

// fate is what becomes of a request.
type fate int

const (
	pass       fate = iota
	neverComes      // the connection ends, the request is not delivered
	replyLost       // the request is delivered, the connection ends when the reply comes
)

// frames is a proxy that knows where requests begin, and asks rule what is to become of each.
type frames struct {
	addr     string
	target   string
	listener net.Listener

	mu   sync.Mutex
	rule func(api int) fate
}

func newFrames(t testing.TB) *frames {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &frames{addr: l.Addr().String(), listener: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

// set makes rule decide from now on; nil lets everything pass.
func (p *frames) set(rule func(api int) fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = rule
}

func (p *frames) fate(api int) fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rule == nil {
		return pass
	}
	return p.rule(api)
}

func (p *frames) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	// Replies come in the order of the requests; one that is to be lost ends the connection.
	lost := make(chan bool, 1024)
	go func() {
		defer client.Close()
		defer server.Close()
		for {
			f, err := frame(server)
			if err != nil {
				return
			}
			if <-lost {
				return
			}
			if _, err := client.Write(f); err != nil {
				return
			}
		}
	}()
	for {
		f, err := frame(client)
		if err != nil {
			return
		}
		what := pass
		if clientID(f) == testClient { // the broker asks itself, too
			what = p.fate(int(binary.BigEndian.Uint16(f[4:])))
		}
		if what == neverComes {
			return
		}
		lost <- what == replyLost
		if _, err := server.Write(f); err != nil {
			return
		}
	}
}

// clientID is who sends a request: its header is api, version, correlation id, client id.
func clientID(f []byte) string {
	const at = 4 + 2 + 2 + 4
	if len(f) < at+2 {
		return ""
	}
	n := int(int16(binary.BigEndian.Uint16(f[at:])))
	if n < 0 || len(f) < at+2+n {
		return ""
	}
	return string(f[at+2 : at+2+n])
}

// frame reads a request or a reply with its size.
func frame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	f := make([]byte, 4+binary.BigEndian.Uint32(size[:]))
	copy(f, size[:])
	_, err := io.ReadFull(r, f[4:])
	return f, err
}
