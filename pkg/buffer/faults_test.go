package buffer

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// flaky passes connections on to a server and cuts them at random: before a request has arrived, in its middle, or after
// it was executed and before its answer is back.
type flaky struct {
	addr  string
	every atomic.Int64 // a connection lives for up to this many bytes each way; 0: for ever

	mu    sync.Mutex
	conns map[net.Conn]bool
}

func newFlaky(t testing.TB, server string) *flaky {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &flaky{addr: l.Addr().String(), conns: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", server)
			if err != nil {
				_ = in.Close()
				continue
			}
			f.mu.Lock()
			f.conns[in], f.conns[out] = true, true
			f.mu.Unlock()
			for _, d := range [][2]net.Conn{{in, out}, {out, in}} {
				wg.Go(func() {
					if n := f.every.Load(); n > 0 {
						_, _ = io.CopyN(d[1], d[0], 1+rand.Int64N(n))
					} else {
						_, _ = io.Copy(d[1], d[0])
					}
					f.end(in, out)
				})
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.cut()
		wg.Wait()
	})
	return f
}

func (f *flaky) end(cs ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range cs {
		_ = c.Close()
		delete(f.conns, c)
	}
}

// cut ends every connection.
func (f *flaky) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		_ = c.Close()
	}
}
