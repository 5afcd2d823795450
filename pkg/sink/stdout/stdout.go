// Package stdout writes windows as lines of JSON, for people and for pipes: one line a window (or its data, or a record),
// {"dead":{…}} a dead letter.
//
// It promises less than its siblings: after a takeover lines come again, with the same ids.
package stdout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/internal/envelope"
	"github.com/windrow-io/windrow/pkg/sink/internal/meter"
	"github.com/windrow-io/windrow/pkg/window"
)

// keepBytes is the memory that an empty group keeps.
const keepBytes = 1 << 20

// Sink writes to an io.Writer. Safe for concurrent use: groups don't mix.
type Sink struct {
	mu     sync.Mutex // one group at a time
	w      io.Writer
	output sink.Output
	meter  *meter.Meter
}

var _ sink.Sink = (*Sink)(nil)

// New makes a Sink that writes to w, os.Stdout as a rule. An empty output is OutputWindow.
func New(w io.Writer, output sink.Output) *Sink {
	if output == "" {
		output = sink.OutputWindow
	}
	return &Sink{w: w, output: output, meter: meter.New("stdout")}
}

// Transactional is false: groups are delivered.
func (s *Sink) Transactional() bool { return false }

// Group returns an empty group for a shard's windows.
func (s *Sink) Group(stream, pipeline, shard string) sink.Group {
	return &group{sink: s, names: envelope.Names{Stream: stream, Pipeline: pipeline, Shard: shard}}
}

// Check has nothing to ask.
func (s *Sink) Check(context.Context) error { return nil }

// Close leaves the writer open: it is the caller's.
func (s *Sink) Close(context.Context) error { return nil }

// group is a shard's windows as lines.
type group struct {
	sink    *Sink
	names   envelope.Names
	enc     envelope.Encoder
	lines   []byte
	written int // of lines
	n       int
}

// Add adds a window.
func (g *group) Add(_ int64, w *window.Window) {
	g.n++
	g.sink.meter.Windows.Inc()
	g.sink.meter.Records.Add(float64(w.Count()))
	switch {
	case w.Result != nil:
		g.line(func(d []byte) []byte { return envelope.AppendAs(d, w.Result, envelope.FormOf(w.Result)) })
	case g.sink.output == sink.OutputRecords:
		for i := range w.Records {
			g.line(func(d []byte) []byte { return appendRecord(d, &w.Records[i]) })
		}
	default:
		parts, _ := g.enc.Plan(w, w.ID(0), g.sink.output, math.MaxInt)
		g.line(func(d []byte) []byte { return g.enc.Append(d, &parts[0]) })
	}
}

// appendRecord appends a record as an object, without loss.
func appendRecord(d []byte, r *record.Record) []byte {
	d = envelope.AppendOrigin(append(d, '{'), r)
	d = envelope.AppendText(append(d, `,"key":`...), r.Key)
	d = envelope.AppendAs(append(d, `,"value":`...), r.Value, envelope.FormOf(r.Value))
	d = envelope.AppendHeaders(append(d, `,"headers":`...), r)
	return append(d, '}')
}

// line adds one line. JSON has no line breaks but between tokens, where a space does as well.
func (g *group) line(appendTo func([]byte) []byte) {
	from := len(g.lines)
	g.lines = appendTo(g.lines)
	for i, c := range g.lines[from:] {
		if c == '\n' || c == '\r' {
			g.lines[from+i] = ' '
		}
	}
	g.lines = append(g.lines, '\n')
	g.sink.meter.Bytes.Add(float64(len(g.lines) - from))
}

// Dead adds a dead letter.
func (g *group) Dead(_ int64, d *sink.Dead) {
	g.n++
	g.sink.meter.Dead(d.Reason)
	g.enc.Letters(g.names, d, math.MaxInt, func(l *envelope.Letter) {
		g.line(func(b []byte) []byte { return append(append(append(b, `{"dead":`...), l.Value...), '}') })
	})
}

// Len is the number of windows and dead letters added.
func (g *group) Len() int { return g.n }

// Size is their size in bytes.
func (g *group) Size() int { return len(g.lines) }

// Batches is for transactional sinks: none.
func (g *group) Batches() []wire.Batch { return nil }

// Deliver writes the lines in one piece. After an error it goes on behind what was written. A closed pipe is permanent.
func (g *group) Deliver(context.Context) error {
	if g.written == len(g.lines) {
		return nil
	}
	g.sink.mu.Lock()
	defer g.sink.mu.Unlock()
	start := time.Now()
	n, err := g.sink.w.Write(g.lines[g.written:])
	g.written += n
	g.sink.meter.Seconds.Observe(time.Since(start).Seconds())
	switch {
	case err == nil:
		g.sink.meter.OK.Inc()
		return nil
	case errors.Is(err, syscall.EPIPE), errors.Is(err, os.ErrClosed), errors.Is(err, io.ErrClosedPipe):
		g.sink.meter.Refused.Inc()
		return fmt.Errorf("stdout sink: %w: nobody reads the output any more: %w", sink.ErrPermanent, err)
	default:
		g.sink.meter.Retry.Inc()
		return fmt.Errorf("stdout sink: %w", err)
	}
}

// Reset makes g empty.
func (g *group) Reset() {
	if cap(g.lines) > keepBytes {
		g.lines = nil
	}
	g.lines, g.written, g.n = g.lines[:0], 0, 0
}
