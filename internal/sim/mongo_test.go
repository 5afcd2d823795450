package sim

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/window"
)

// mongoModel is a MongoDB collection that windows are upserted into by their ids, setting something only when they insert.
type mongoModel struct {
	w    *world
	docs map[string]*output
	dead int
}

func newMongo(w *world) *mongoModel { return &mongoModel{w: w, docs: map[string]*output{}} }

// upsert writes documents; again ones change nothing, but must be the same.
func (m *mongoModel) upsert(docs []*output) {
	for _, d := range docs {
		old := m.docs[d.ID]
		if old == nil {
			m.docs[d.ID] = d
			continue
		}
		m.w.count("window delivered again")
		if brief(old) != brief(d) || !slices.Equal(old.Data, d.Data) {
			m.w.failf("the window %s was delivered with other content:\n%s %v\n%s %v", d.ID, brief(old), old.Data, brief(d), d.Data)
		}
	}
}

// mongoTimeout is that of one call.
const mongoTimeout = 10 * time.Second

// mongoSink is what pkg/sink/mongo is to a worker: unordered bulks outside the transaction.
type mongoSink struct {
	p *proc
	m *mongoModel
}

func (s *mongoSink) Transactional() bool         { return false }
func (s *mongoSink) Check(context.Context) error { return nil }
func (s *mongoSink) Close(context.Context) error { return nil }
func (s *mongoSink) Group(stream, pipeline, shard string) sink.Group {
	return &mongoGroup{s: s, shard: shard}
}

type mongoGroup struct {
	s     *mongoSink
	shard string
	docs  []*output
	size  int
	done  int
	dead  int
}

func (g *mongoGroup) Add(_ int64, w *window.Window) {
	d := &output{ID: w.ID(0), Shard: w.Shard, Seq: w.Seq, Reason: string(w.Reason), Start: w.Start, End: w.End, Count: w.Count(), Data: contentOf(w)}
	if w.Keyed {
		key := string(w.Key)
		d.Key = &key
	}
	for i := range w.Records {
		g.size += w.Records[i].Size()
	}
	g.docs = append(g.docs, d)
}

func (g *mongoGroup) Dead(int64, *sink.Dead) { g.dead++; g.s.m.dead++ }
func (g *mongoGroup) Len() int               { return len(g.docs) + g.dead }
func (g *mongoGroup) Size() int              { return g.size }
func (g *mongoGroup) Batches() []wire.Batch  { return nil }
func (g *mongoGroup) Reset()                 { *g = mongoGroup{s: g.s, shard: g.shard} }

// Deliver writes bulks of at most three documents, so that some of a group may be there and some not.
func (g *mongoGroup) Deliver(ctx context.Context) error {
	m := g.s.m
	for g.done < len(g.docs) {
		bulk := g.docs[g.done:min(g.done+3, len(g.docs))]
		c := &call{label: "mongo bulkWrite " + bulk[0].ID}
		c.step = func() bool { m.upsert(bulk); c.out = true; return true }
		c.refuse = func() bool { // part of it is written, in any order
			i := m.w.rnd.IntN(len(bulk))
			m.upsert(bulk[i : i+1])
			c.out = false
			return true
		}
		r, err := g.s.p.ask(c, ctx.Done(), time.After(mongoTimeout))
		if err != nil {
			return err
		}
		if ok, _ := r.out.(bool); !ok {
			return errors.New("sim: the bulk was written in part")
		}
		g.done += len(bulk)
	}
	return nil
}

// windows are the documents.
func (m *mongoModel) windows() (ws []*output) {
	for _, id := range slices.Sorted(maps.Keys(m.docs)) {
		ws = append(ws, m.docs[id])
	}
	return ws
}
