package sim

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// redisConn is a process's connection to Redis: commands in RESP go in, and what was written until the next read is one
// call to the model. Other calls may come between the commands of a pipeline.
type redisConn struct {
	p       *proc
	s       session
	in, out []byte
	dead    bool
	read    time.Time // deadline
}

// dial opens a process's connection (buffer.Options.Dial).
func (p *proc) dial(context.Context, string, string) (net.Conn, error) {
	w := p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.dead {
		return nil, errDead
	}
	c := &redisConn{p: p}
	p.conns = append(p.conns, c)
	w.redis.conns = append(w.redis.conns, c)
	return c, nil
}

func (c *redisConn) Write(b []byte) (int, error) {
	if c.dead {
		return 0, io.ErrClosedPipe
	}
	c.in = append(c.in, b...)
	return len(b), nil
}

func (c *redisConn) Read(b []byte) (int, error) {
	if len(c.out) == 0 {
		if err := c.exchange(); err != nil {
			return 0, err
		}
	}
	n := copy(b, c.out)
	c.out = c.out[n:]
	return n, nil
}

// exchange sends what was written as one call and waits for its answers.
func (c *redisConn) exchange() error {
	if c.dead {
		return io.EOF
	}
	cmds := parseCommands(c.in)
	c.in = nil
	if len(cmds) == 0 {
		return io.EOF
	}
	if shaking(cmds) {
		for range cmds {
			c.out = append(c.out, "-ERR unknown command\r\n"...)
		}
		return nil
	}
	var deadline <-chan time.Time
	if !c.read.IsZero() {
		t := time.NewTimer(time.Until(c.read))
		defer t.Stop()
		deadline = t.C
	}
	r, err := c.p.ask(c.call(cmds), nil, deadline)
	if err != nil {
		c.dead = true
		if err == context.DeadlineExceeded {
			return os.ErrDeadlineExceeded
		}
		return err
	}
	out, ok := r.out.([]byte)
	if !ok { // the server that it was sent to is gone
		c.dead = true
		return errCut
	}
	c.out = out
	return nil
}

// shaking reports whether the commands only open a connection.
func shaking(cmds [][][]byte) bool {
	for _, c := range cmds {
		if n := strings.ToUpper(string(c[0])); n != "HELLO" && n != "CLIENT" {
			return false
		}
	}
	return true
}

func (c *redisConn) call(cmds [][][]byte) *call {
	r := c.p.w.redis
	x := &call{label: "redis " + labelOf(cmds), cut: func() { c.dead = true }}
	next, server := 0, r.server
	var out []byte
	var b block
	x.step = func() bool {
		x.ready, x.until = nil, time.Time{}
		if r.server != server {
			return true
		}
		for next < len(cmds) {
			if !r.do(&c.s, cmds[next], &out, &b) {
				x.ready, x.until = b.ready, b.until
				return false
			}
			b = block{}
			next++
			if next < len(cmds) && !c.s.multi && r.w.chance(8) {
				return false // others come in between
			}
		}
		x.out = out
		return true
	}
	return x
}

// labelOf tells pipelines apart: their commands' names, and the first one's arguments but for payloads.
func labelOf(cmds [][][]byte) string {
	var b []byte
	for i, c := range cmds {
		if i > 0 {
			b = append(b, '+')
		}
		b = append(b, c[0]...)
		for _, a := range c[1:] {
			if len(a) < 100 && len(b) < 300 && !bytes.ContainsAny(a, "\n\x00") {
				b = append(append(b, ' '), a...)
			}
		}
		if string(c[0]) == "eval" || string(c[0]) == "EVAL" {
			b = append(append(b, ' '), scripts[strings.TrimPrefix(string(c[1]), allowOOM)]...)
		}
	}
	return string(b)
}

// parseCommands reads arrays of strings.
func parseCommands(p []byte) (cmds [][][]byte) {
	for len(p) > 0 {
		n := 0
		n, p = number(p, '*')
		args := make([][]byte, n)
		for i := range args {
			var l int
			l, p = number(p, '$')
			args[i] = slices.Clone(p[:l])
			p = p[l+2:]
		}
		cmds = append(cmds, args)
	}
	return cmds
}

func number(p []byte, kind byte) (int, []byte) {
	end := bytes.IndexByte(p, '\n')
	if p[0] != kind || end < 2 {
		panic("sim: not a command of Redis: " + strconv.Quote(string(p)))
	}
	n, err := strconv.Atoi(string(p[1 : end-1]))
	if err != nil {
		panic(err)
	}
	return n, p[end+1:]
}

func (c *redisConn) Close() error {
	c.dead = true
	return nil
}

func (c *redisConn) LocalAddr() net.Addr                { return &net.TCPAddr{} }
func (c *redisConn) RemoteAddr() net.Addr               { return &net.TCPAddr{} }
func (c *redisConn) SetDeadline(t time.Time) error      { c.read = t; return nil }
func (c *redisConn) SetReadDeadline(t time.Time) error  { c.read = t; return nil }
func (c *redisConn) SetWriteDeadline(_ time.Time) error { return nil }
