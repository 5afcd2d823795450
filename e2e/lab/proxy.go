package lab

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is a TCP proxy in front of a server, which can lose what passes through it, or slow it down.
type Proxy struct {
	Addr string // host:port to connect to

	listener net.Listener

	mu          sync.Mutex
	connections map[net.Conn]bool // both sides of each
	refuse      bool
	dropReplies bool
	target      string
	rate        int // bytes a second and connection, each way; 0: as fast as it goes
}

// NewProxy returns a proxy in front of the server at target; it ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p, err := newProxy(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

func newProxy(target string) (*Proxy, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address(port))
	if err != nil {
		return nil, err
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, listener: l, connections: map[net.Conn]bool{}}
	go p.accept()
	return p, nil
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.serve(client)
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.destination())
	if err != nil {
		return
	}
	defer server.Close()
	if !p.enter(client, server) {
		return
	}
	defer p.leave(client, server)
	go func() {
		io.Copy(slowly{server, p}, client)
		client.Close()
		server.Close()
	}()
	p.copyReplies(client, server)
}

// copyReplies hands the server's bytes on, or swallows them and ends the connection: the request took effect, and nobody
// was told.
func (p *Proxy) copyReplies(client, server net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if n > 0 {
			if p.dropping() {
				return
			}
			if _, err := (slowly{client, p}).Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) enter(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse {
		return false
	}
	for _, c := range conns {
		p.connections[c] = true
	}
	return true
}

func (p *Proxy) leave(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.connections, c)
	}
}

// slowly writes at the proxy's rate.
type slowly struct {
	net.Conn
	p *Proxy
}

func (s slowly) Write(b []byte) (n int, err error) {
	for n < len(b) {
		rate := s.p.bytesPerSecond()
		if rate == 0 {
			m, err := s.Conn.Write(b[n:])
			return n + m, err
		}
		const steps = 20 // a second
		m, err := s.Conn.Write(b[n:min(len(b), n+max(1, rate/steps))])
		if n += m; err != nil {
			return n, err
		}
		time.Sleep(time.Second / steps)
	}
	return n, nil
}

func (p *Proxy) bytesPerSecond() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rate
}

func (p *Proxy) destination() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.target
}

// Throttle lets so many bytes a second through each connection, each way; 0: as many as come.
func (p *Proxy) Throttle(bytesPerSecond int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = bytesPerSecond
}

// Retarget leads new connections to another server, and ends the old ones.
func (p *Proxy) Retarget(target string) {
	p.mu.Lock()
	p.target = target
	p.mu.Unlock()
	p.Cut()
}

func (p *Proxy) dropping() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dropReplies
}

// Cut ends every connection; new ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.connections {
		c.Close()
	}
}

// Refuse ends every connection and refuses new ones until Accept.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	p.refuse = true
	p.mu.Unlock()
	p.Cut()
}

// DropReplies lets requests through and ends their connection when the reply comes, until Accept.
func (p *Proxy) DropReplies() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropReplies = true
}

// Accept ends what Refuse and DropReplies began.
func (p *Proxy) Accept() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse, p.dropReplies = false, false
}

func (p *Proxy) close() {
	p.listener.Close()
	p.Refuse()
}
