package source

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/windrow-io/windrow/internal/wire"
)

// Start says where reading begins in a topic that was never read before.
type Start struct {
	at   int64 // wire.Earliest, wire.Latest, or Unix milliseconds
	text string
}

// ParseStart parses KAFKA_START: earliest (also the empty text), latest, a time as RFC 3339 (2026-01-31T12:00:00Z), a
// date (2026-01-31, at midnight UTC), or Unix milliseconds.
func ParseStart(s string) (Start, error) {
	switch s {
	case "", "earliest":
		return Start{wire.Earliest, "earliest"}, nil
	case "latest":
		return Start{wire.Latest, s}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil && t.UnixMilli() >= 0 {
			return Start{t.UnixMilli(), s}, nil
		}
	}
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && ms >= 1e11 { // 1973; below that it is no millisecond time
		return Start{ms, s}, nil
	}
	return Start{}, fmt.Errorf("%q is neither earliest, latest, nor a time like 2026-01-31T12:00:00Z", s)
}

func (s Start) String() string { return s.text }

// Earliest is the Start at the oldest record.
var Earliest = Start{wire.Earliest, "earliest"}

// Offsets returns where the partitions of a topic begin: with a time the first record at or after it, or the end if
// there is none.
func (s Start) Offsets(ctx context.Context, c *wire.Cluster, topic string, partitions []int32, readCommitted bool) (map[int32]int64, error) {
	at := s.at
	if at == 0 && s.text == "" {
		at = wire.Earliest
	}
	return c.Offsets(ctx, topic, partitions, at, readCommitted)
}
