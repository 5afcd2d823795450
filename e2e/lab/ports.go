package lab

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// Ports are taken from below the range from which the kernel gives out local ports (32768 up), so that a server that was
// killed finds its port free when it comes back.
const firstPort, lastPort = 12000, 29000

var ports struct {
	sync.Mutex
	given map[int]bool
}

// Port returns a loopback port on which nothing listens, never the same twice.
func Port(t testing.TB) int {
	t.Helper()
	p, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func freePort() (int, error) {
	ports.Lock()
	defer ports.Unlock()
	if ports.given == nil {
		ports.given = map[int]bool{}
	}
	for range 1000 {
		p := firstPort + rand.IntN(lastPort-firstPort)
		if ports.given[p] {
			continue
		}
		l, err := net.Listen("tcp", address(p))
		if err != nil {
			continue
		}
		l.Close()
		ports.given[p] = true
		return p, nil
	}
	return 0, fmt.Errorf("no free loopback port between %d and %d", firstPort, lastPort)
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func listening(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
