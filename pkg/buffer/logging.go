package buffer

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// ClientLog sends what the Redis client library says of its connections to l, at level debug, instead of plain text to
// standard error. It holds for the whole program and is to be called before Open.
func ClientLog(l *zap.Logger) { redis.SetLogger(clientLog{l}) }

type clientLog struct{ l *zap.Logger }

// Printf implements go-redis's Logging.
func (c clientLog) Printf(_ context.Context, format string, v ...any) {
	c.l.Debug(fmt.Sprintf(format, v...))
}
