package kafka

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/internal/envelope"
	"github.com/windrow-io/windrow/pkg/window"
)

// Headers of the records that windows become.
const (
	HeaderID    = "windrow-id"    // the window's id: the same however often it is written
	HeaderStart = "windrow-start" // Unix milliseconds, in decimal
	HeaderEnd   = "windrow-end"   // likewise
)

// group is a shard's windows as record batches.
type group struct {
	sink   *Sink
	names  envelope.Names
	enc    envelope.Encoder
	main   batches
	others map[string]*other // of topics that a template makes, by name
	out    *batches          // of the window at hand: main, or one of the others
	dead   batches
	home   uint32 // of what has no key
	n      int
	key    []byte // of the window at hand, if a template makes it
	name   []byte // likewise, of its topic
	text   []byte // of the headers of the record at hand
	header []record.Header
	more   []record.Header // what templates made of the window at hand
	made   []byte          // their text
	all    []wire.Batch
}

// other is a topic that a template makes, and what goes there.
type other struct {
	to *topic
	batches
}

// around bounds what a batch needs besides a record's key and value and a window's id, in bytes: its own header, lengths,
// and the other headers.
const around = record.HeaderLen + 192

// Add adds a window.
func (g *group) Add(now int64, w *window.Window) {
	g.n++
	g.sink.meter.Windows.Inc()
	g.sink.meter.Records.Add(float64(w.Count()))
	before := g.Size()
	if err := g.destination(w); err != nil {
		g.letter(now, envelope.BadName(w, err))
		g.sink.meter.Bytes.Add(float64(g.Size() - before))
		return
	}
	switch {
	case w.Result != nil:
		g.result(now, w)
	case g.sink.o.Output == sink.OutputRecords:
		for i := range w.Records {
			g.record(now, &w.Records[i])
		}
	default:
		g.window(now, w)
	}
	g.sink.meter.Bytes.Add(float64(g.Size() - before))
}

// destination finds the batches of the window's topic.
func (g *group) destination(w *window.Window) error {
	g.out = &g.main
	t := g.sink.out
	if g.sink.o.Name != nil {
		if g.name = g.sink.o.Name.Append(g.name[:0], w); len(g.name) > 0 && string(g.name) != t.name {
			o := g.others[string(g.name)]
			if o == nil {
				to, err := g.sink.need(string(g.name), w)
				if err != nil {
					return err
				}
				o = &other{to, batches{topic: to.name}}
				g.others[to.name] = o
			}
			g.sink.ready(o.to)
			t, g.out = o.to, &o.batches
		}
	}
	if !g.out.begun() {
		g.out.begin(t.limits(), g.home)
	}
	return nil
}

func (g *group) window(now int64, w *window.Window) {
	key := g.keyOf(w)
	id := w.ID(0)
	limit := g.out.maxBytes - around - len(key) - len(id) - g.headers(w)
	parts, left := g.enc.Plan(w, id, g.sink.o.Output, limit)
	for i := range parts {
		p := &parts[i]
		b := g.room(key, p.ID, p.Size, w)
		b.AddFunc(now, key, p.Size, func(dst []byte) []byte { return g.enc.Append(dst, p) }, g.header...)
	}
	if len(parts) > 1 {
		g.sink.meter.Split.Add(float64(len(parts)))
	}
	if len(parts) == 0 && len(left) == 0 {
		g.letter(now, envelope.OversizeWindow(w, limit))
	}
	for _, i := range left {
		g.letter(now, envelope.OversizeRecord(&w.Records[i], limit))
	}
}

// keyOf is the key of what is written of a window; nil: none.
func (g *group) keyOf(w *window.Window) []byte {
	key := w.Key
	if t := g.sink.o.Key; t != nil {
		g.key = t.Append(g.key[:0], w)
		key = g.key
	}
	switch {
	case len(key) > 0 && (w.Keyed || g.sink.o.Key != nil):
		return key
	case w.Keyed:
		return []byte{}
	}
	return nil
}

// headers makes the headers that templates make of a window, g.more, and returns their size in bytes.
func (g *group) headers(w *window.Window) int {
	templates := g.sink.o.Headers
	if len(templates) == 0 {
		return 0
	}
	g.made, g.more = g.made[:0], g.more[:0]
	for _, t := range templates {
		from := len(g.made)
		g.made = t.Value.Append(g.made, w)
		// An array that grows leaves what was made before in the old one, unchanged.
		g.more = append(g.more, record.Header{Key: t.Name, Value: g.made[from:len(g.made):len(g.made)]})
	}
	return record.HeadersSize(g.more...)
}

// room is the builder for a record of a window, with g.header its headers.
func (g *group) room(key []byte, id string, size int, w *window.Window) *record.Builder {
	d := append(g.text[:0], id...)
	a := len(d)
	d = strconv.AppendInt(d, w.Start, 10)
	b := len(d)
	d = strconv.AppendInt(d, w.End, 10)
	g.text = d
	g.header = append(g.header[:0], record.Header{Key: HeaderID, Value: d[:a]}, record.Header{Key: HeaderStart, Value: d[a:b]},
		record.Header{Key: HeaderEnd, Value: d[b:]})
	g.header = append(g.header, g.more...)
	headers := record.HeadersSize(g.header...)
	g.out.size += len(key) + size + headers
	return g.out.room(key, size, headers)
}

// result adds what the handler made of a window.
func (g *group) result(now int64, w *window.Window) {
	key := g.keyOf(w)
	id := w.ID(0)
	if limit := g.out.maxBytes - around - len(key) - len(id) - g.headers(w); len(w.Result) > limit {
		g.letter(now, envelope.OversizeWindow(w, limit))
		return
	}
	g.room(key, id, len(w.Result), w).Add(now, key, w.Result, g.header...)
}

// record adds a record as it came.
func (g *group) record(now int64, r *record.Record) {
	if limit := g.out.maxBytes - around; r.Size() > limit {
		g.letter(now, envelope.OversizeRecord(r, limit))
		return
	}
	headers := r.Size() - len(r.Key) - len(r.Value)
	g.out.room(r.Key, len(r.Value), headers).AddRecord(now, r)
	g.out.size += r.Size()
}

// Dead adds a dead letter.
func (g *group) Dead(now int64, d *sink.Dead) {
	g.n++
	before := g.Size()
	g.letter(now, d)
	g.sink.meter.Bytes.Add(float64(g.Size() - before))
}

func (g *group) letter(now int64, d *sink.Dead) {
	g.sink.ready(g.sink.dead)
	if !g.dead.begun() {
		g.dead.begin(g.sink.dead.limits(), g.home)
	}
	g.sink.meter.Dead(d.Reason)
	// Letters keep off the encoder that is in use: a window's left records alias what it planned.
	var enc envelope.Encoder
	enc.Letters(g.names, d, g.dead.maxBytes-around, func(l *envelope.Letter) {
		id := record.Header{Key: HeaderID, Value: []byte(l.ID)}
		headers := record.HeadersSize(id)
		g.dead.room(l.Key, len(l.Value), headers).Add(now, l.Key, l.Value, id)
		g.dead.size += len(l.Key) + len(l.Value) + headers
	})
}

// Len is the number of windows and dead letters added.
func (g *group) Len() int { return g.n }

// Size is their size in bytes, as written.
func (g *group) Size() int {
	n := g.main.size + g.dead.size
	for _, b := range g.others {
		n += b.size
	}
	return n
}

// Batches is what belongs into the transaction; valid until Reset.
func (g *group) Batches() []wire.Batch {
	g.all = append(g.all[:0], g.main.list...)
	for _, name := range slices.Sorted(maps.Keys(g.others)) {
		g.all = append(g.all, g.others[name].list...)
	}
	g.all = append(g.all, g.dead.list...)
	return g.all
}

// Deliver is not for a transactional sink.
func (g *group) Deliver(context.Context) error {
	return errors.New("kafka sink: its groups are committed with their transaction, not delivered")
}

// Reset makes g empty.
func (g *group) Reset() {
	g.main.reset()
	for name, b := range g.others {
		if b.begun() {
			b.reset()
		} else { // not even once since the last time
			delete(g.others, name)
		}
	}
	g.dead.reset()
	clear(g.all)
	g.all, g.n = g.all[:0], 0
}
