package buffer

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// node returns the client of the server that owns the key.
func (b *Buffer) node(ctx context.Context, key string) (*redis.Client, error) {
	switch c := b.rdb.(type) {
	case *redis.ClusterClient:
		return c.MasterForKey(ctx, key)
	case *redis.Client:
		return c, nil
	}
	return nil, errors.New("a client of unknown kind")
}

// moved is to be called after an error that may mean that a key has another owner by now.
func (b *Buffer) moved(ctx context.Context) {
	if c, ok := b.rdb.(*redis.ClusterClient); ok {
		c.ReloadState(ctx)
	}
}

// conn is a connection of its own to the server that owns key. It is opened when needed and dropped after every error
// that leaves its state unknown; it is never given back to a pool, since it may hold a WATCH.
type conn struct {
	b      *Buffer
	key    string
	c      *redis.Conn
	closed bool
}

// do sends the commands in one round trip and collects the raw answers in out. An error means that what was executed is
// unknown; the connection is dropped.
func (c *conn) do(ctx context.Context, out *sink, cmds ...[]any) error {
	if c.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.c == nil {
		node, err := c.b.node(ctx, c.key)
		if err != nil {
			c.b.moved(ctx)
			return err
		}
		c.c = node.EphemeralConn()
	}
	p := c.c.Pipeline()
	for _, args := range cmds {
		_ = p.Process(ctx, redis.NewRawWriteToCmd(ctx, out, args...)) // only queues
	}
	if _, err := p.Exec(ctx); err != nil {
		c.drop(ctx)
		return err
	}
	return nil
}

// drop closes the connection; the next command opens another, to the key's owner as it is then.
func (c *conn) drop(ctx context.Context) {
	if c.c != nil {
		_ = c.c.Close()
		c.c = nil
		c.b.moved(ctx)
	}
}

func (c *conn) close() {
	if c.c != nil {
		_ = c.c.Close()
		c.c = nil
	}
	c.closed = true
}
