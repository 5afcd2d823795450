package buffer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/windrow-io/windrow/pkg/record"
)

// AppendOption sets a detail of a directly appended record.
type AppendOption func(*directRecord)

type directRecord struct {
	key []byte
	ts  time.Time
}

// WithKey sets the record's key.
func WithKey(key []byte) AppendOption { return func(r *directRecord) { r.key = key } }

// WithTimestamp sets the record's timestamp, in whole milliseconds; without it, it is the time of receipt.
func WithTimestamp(t time.Time) AppendOption { return func(r *directRecord) { r.ts = t } }

// Append appends a value to the stream's direct lane: a []byte or json.RawMessage as it is, anything else as JSON.
// opts may set key and timestamp.
//
// ErrDirectFull and ErrFull: it was not appended; wait, and try again. After any other error of Redis or the network it may
// have been; nothing here repeats it. What Redis loses of the direct lane is lost: there is no source to read it from again.
func (b *Buffer) Append(ctx context.Context, value any, opts ...AppendOption) error {
	var data []byte
	switch v := value.(type) {
	case []byte:
		data = v
	case json.RawMessage:
		data = v
	default:
		var err error
		if data, err = json.Marshal(v); err != nil {
			return fmt.Errorf("append to stream %s: %w", b.stream, err)
		}
	}
	var o directRecord
	for _, opt := range opts {
		opt(&o)
	}
	lane := b.laneKey(Direct, DirectLane)
	args := []any{"XADD", lane, "*", fieldData, data}
	if o.key != nil {
		args = append(args, fieldKey, o.key)
	}
	if !o.ts.IsZero() {
		args = append(args, fieldTS, o.ts.UnixMilli())
	}
	// Straight to the server: a Cluster's client would send it again after an error of the network.
	err := b.budget.take(ctx, int64(len(data)))
	if errors.Is(err, ErrDirectFull) {
		directRefused.Inc()
		return fmt.Errorf("append to stream %s: %w", b.stream, err)
	}
	if err == nil {
		var node *redis.Client
		if node, err = b.node(ctx, lane); err == nil {
			err = node.Do(ctx, args...).Err()
		}
	}
	if err != nil {
		b.moved(ctx)
		return fmt.Errorf("append to stream %s: %w", b.stream, full(err))
	}
	appendedEntries.Inc()
	appendedBytes.Add(float64(len(data)))
	return nil
}

// DirectEnd returns the position behind the last record of the direct lane; 0 if it holds none.
func (b *Buffer) DirectEnd(ctx context.Context) (int64, error) {
	last, err := b.rdb.XRevRangeN(ctx, b.laneKey(Direct, DirectLane), "+", "-", 1).Result()
	if err != nil {
		return 0, fmt.Errorf("the end of the stream %s's direct lane: %w", b.stream, err)
	}
	if len(last) == 0 {
		return 0, nil
	}
	var ms, seq int64
	if _, err := fmt.Sscanf(last[0].ID, "%d-%d", &ms, &seq); err != nil {
		return 0, fmt.Errorf("the end of the stream %s's direct lane: the ID %q: %w", b.stream, last[0].ID, err)
	}
	return Position(ms, seq) + 1, nil
}

// Position is an entry ID of the direct lane as a position: ms<<20 | seq. It orders the IDs that Redis makes; of IDs that a
// client makes up, those with a seq of 2^20 and more count as the last of their millisecond, and those after the year
// 2248 as of that year's.
func Position(ms, seq int64) int64 { return min(ms, 1<<43-2)<<20 | min(seq, 1<<20-1) }

// decodeDirect makes an Entry and a record of an entry of the direct lane. A field that is missing leaves its place
// empty: whatever a client wrote becomes a record.
func decodeDirect(r *answers, fields int, e *Entry, rec *record.Record) error {
	pos := Position(e.Ms, e.Seq)
	e.From, e.Next = pos, pos+1
	*rec = record.Record{Topic: Direct, Offset: pos, Timestamp: e.Ms}
	for range fields / 2 {
		name, err := r.text()
		if err != nil {
			return err
		}
		value, err := r.text()
		if err != nil {
			return err
		}
		switch string(name) {
		case fieldData:
			rec.Value = value
		case fieldKey:
			rec.Key = value
		case fieldTS:
			if ts, ok := number(value); ok {
				rec.Timestamp = ts
			}
		}
	}
	return nil
}
