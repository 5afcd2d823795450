package buffer

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Mark is how far a pipeline's committed checkpoint lies in a lane.
type Mark struct {
	Lane     string
	Position int64
	Ms, Seq  int64 // the last entry that lies wholly before Position; 0, 0: none is known
	Bytes    int64 // appended to the lane ever, up to the end of that entry: its End
	Journal  int64 // the journal offset of that checkpoint: a hint where to read from
	At       int64 // when it was published, by Redis's clock in Unix milliseconds; Publish sets it
}

// before orders marks of a lane by their entries.
func (m Mark) before(o Mark) bool { return m.Ms < o.Ms || m.Ms == o.Ms && m.Seq < o.Seq }

// The trim hash has a field "<pipeline> <lane>" for each mark, and "trimmed:<lane>" for the bytes before what is left of
// a lane. Names have neither blank nor colon.
func markField(pipeline, lane string) string { return pipeline + " " + lane }
func trimmedField(lane string) string        { return "trimmed:" + lane }

func (m Mark) encode() string {
	b := make([]byte, 0, 96)
	for _, n := range []int64{m.Position, m.Ms, m.Seq, m.Bytes, m.Journal, m.At} {
		b = append(strconv.AppendInt(b, n, 10), ' ')
	}
	return string(b[:len(b)-1])
}

func decodeMark(lane, s string) (Mark, bool) {
	f := strings.Fields(s)
	if len(f) != 6 {
		return Mark{}, false
	}
	var n [6]int64
	for i := range f {
		v, ok := number([]byte(f[i]))
		if !ok {
			return Mark{}, false
		}
		n[i] = v
	}
	return Mark{Lane: lane, Position: n[0], Ms: n[1], Seq: n[2], Bytes: n[3], Journal: n[4], At: n[5]}, true
}

// decodeMarks parses the trim hash: pipeline → lane → mark. A field that Windrow did not write is passed over.
func decodeMarks(h map[string]string) map[string]map[string]Mark {
	all := map[string]map[string]Mark{}
	for f, v := range h {
		pipeline, lane, ok := strings.Cut(f, " ")
		if !ok {
			continue
		}
		if m, ok := decodeMark(lane, v); ok {
			if all[pipeline] == nil {
				all[pipeline] = map[string]Mark{}
			}
			all[pipeline][lane] = m
		}
	}
	return all
}

// Marks returns what the pipelines have published: pipeline → lane → mark.
func (b *Buffer) Marks(ctx context.Context, shard string) (map[string]map[string]Mark, error) {
	h, err := b.rdb.HGetAll(ctx, b.trimKey(shard)).Result()
	if err != nil {
		return nil, fmt.Errorf("marks of shard %s: %w", shard, err)
	}
	return decodeMarks(h), nil
}

// id is an entry's ID as Redis writes it.
func id(ms, seq int64) string {
	return strconv.FormatInt(ms, 10) + "-" + strconv.FormatInt(seq, 10)
}
