package mongo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/internal/envelope"
	"github.com/windrow-io/windrow/pkg/window"
)

// keepBytes is the memory that an empty group keeps.
const keepBytes = 4 << 20

// item is one document to be written; its bytes are in the group's memory, for that may move while it grows.
type item struct {
	id         string // of the window, the record or the dead letter
	from, to   int
	dead       bool    // into the collection of dead letters
	collection string  // else; empty: Options.Collection
	key        any     // the _id, if it is not id
	version    version // with a key
}

// group is a shard's windows as documents.
type group struct {
	sink  *Sink
	names envelope.Names
	docs  documents
	bytes []byte
	items []item
	done  int // items before it are acknowledged
	n     int

	// Of the window at hand, where the options ask for it.
	text       []byte // what a template made last: the key, if there is one
	collection string
	key        any
	revised    bool // the id is the key: a revision takes the place of the one before
	version    version
}

// Add adds a window.
func (g *group) Add(now int64, w *window.Window) {
	g.n++
	g.sink.meter.Windows.Inc()
	g.sink.meter.Records.Add(float64(w.Count()))
	if err := g.destination(w); err != nil {
		g.letter(envelope.BadName(w, err))
		return
	}
	id := w.ID(0)
	switch {
	case w.Result != nil:
		from := len(g.bytes)
		g.bytes = g.docs.result(g.bytes, w.Result)
		g.sign(from)
		if len(g.bytes)-from+max(len(id), len(g.text)) > g.sink.limit {
			g.bytes = g.bytes[:from]
			g.letter(envelope.OversizeWindow(w, g.sink.limit))
			return
		}
		g.add(id, from, false)
	case g.sink.o.Output == sink.OutputRecords:
		for i := range w.Records {
			g.record(id, i, &w.Records[i])
		}
	default:
		g.window(id, w)
	}
}

// destination finds out the collection and the key of a window.
func (g *group) destination(w *window.Window) error {
	o := &g.sink.o
	if o.Name != nil {
		g.text = o.Name.Append(g.text[:0], w)
		if string(g.text) != g.collection { // few and far between, as a rule
			g.collection = string(g.text)
		}
		if g.collection != "" {
			if err := checkCollection(g.collection, o.DeadCollection); err != nil {
				return err
			}
		}
	}
	if g.revised = o.Mode == ModeInsert && w.Updates; g.revised {
		g.version = versionOf(w)
	}
	if o.Mode == ModeInsert {
		return nil
	}
	if o.Key != nil {
		g.text = o.Key.Append(g.text[:0], w)
	} else {
		g.text = append(g.text[:0], w.Key...)
	}
	g.key, g.version = idOf(g.text), versionOf(w)
	return nil
}

// sign adds the version to the document from there on, if it may take the place of another.
func (g *group) sign(from int) {
	if g.key != nil || g.revised {
		g.bytes = end(g.version.append(g.bytes[:len(g.bytes)-1]), from)
	}
}

func (g *group) window(id string, w *window.Window) {
	spans, left := g.docs.plan(w, base(w, id)+len(g.text))
	if g.key != nil && len(spans)+len(left) > 1 { // a key has one document
		g.letter(envelope.OversizeWindow(w, g.sink.limit))
		return
	}
	for i := range spans {
		if i > 0 {
			id = w.ID(i)
		}
		from := len(g.bytes)
		doc, at := begin(g.bytes)
		g.bytes = end(g.docs.fields(doc, w, g.sink.o.Output, i), at)
		g.sign(from)
		g.add(id, from, false)
	}
	if len(spans) > 1 {
		g.sink.meter.Split.Add(float64(len(spans)))
	}
	if len(spans) == 0 && len(left) == 0 {
		g.letter(envelope.OversizeWindow(w, g.sink.limit))
		return
	}
	for _, i := range left {
		g.letter(envelope.OversizeRecord(&w.Records[i], g.sink.limit))
	}
}

func (g *group) record(windowID string, i int, r *record.Record) {
	from := len(g.bytes)
	g.bytes = g.docs.record(g.bytes, windowID, r)
	id := windowID + "/" + strconv.Itoa(i)
	if len(g.bytes)-from+len(id) > g.sink.limit {
		g.bytes = g.bytes[:from]
		g.letter(envelope.OversizeRecord(r, g.sink.limit))
		return
	}
	g.add(id, from, false)
}

// add makes an item of the bytes from there on.
func (g *group) add(id string, from int, dead bool) {
	it := item{id: id, from: from, to: len(g.bytes), dead: dead}
	if !dead {
		it.collection, it.key, it.version = g.collection, g.key, g.version
		if g.revised {
			it.key = id
		}
	}
	g.items = append(g.items, it)
	g.sink.meter.Bytes.Add(float64(len(g.bytes) - from))
}

// Dead adds a dead letter.
func (g *group) Dead(_ int64, d *sink.Dead) {
	g.n++
	g.letter(d)
}

func (g *group) letter(l *sink.Dead) {
	g.sink.meter.Dead(l.Reason)
	docs := documents{limit: g.sink.limit} // the group's own may be in use: the window's left records alias it
	docs.letters(g.names, l, func(id string, doc []byte) {
		from := len(g.bytes)
		g.bytes = append(g.bytes, doc...)
		g.add(id, from, true)
	})
}

// Len is the number of windows and dead letters added.
func (g *group) Len() int { return g.n }

// Size is their size in bytes, as BSON.
func (g *group) Size() int { return len(g.bytes) }

// Batches is for transactional sinks: none.
func (g *group) Batches() []wire.Batch { return nil }

// Deliver upserts the documents and returns when a majority has them. After an error it goes on with what was not
// acknowledged. A document that the server refuses for good is written as a dead letter instead; only if that is refused
// too, the error is permanent.
func (g *group) Deliver(ctx context.Context) error {
	if g.done == len(g.items) {
		return nil
	}
	start, m := time.Now(), g.sink.meter
	err := g.deliver(ctx)
	m.Seconds.Observe(time.Since(start).Seconds())
	switch {
	case err == nil:
		m.OK.Inc()
		return nil
	case errors.Is(err, sink.ErrPermanent):
		m.Refused.Inc()
	default:
		m.Retry.Inc()
	}
	return fmt.Errorf("mongo sink: %w", err)
}

// Reset makes g empty.
func (g *group) Reset() {
	if cap(g.bytes) > keepBytes {
		g.bytes = nil
	}
	g.docs.shrink()
	clear(g.items)
	g.bytes, g.items, g.done, g.n = g.bytes[:0], g.items[:0], 0, 0
}
