// Package mongotest lets the MongoDB sink go through the sinks' conformance suite, on whatever server speaks the protocol.
package mongotest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/mongo"
	"github.com/windrow-io/windrow/pkg/sink/sinktest"
)

// Database is where the tests' collections are.
const Database = "sinktest"

var collections atomic.Int64

// Backend is the MongoDB sink on the server with this URL, each test in a collection of its own.
func Backend(url string) sinktest.Backend {
	return sinktest.Backend{Limit: mongo.MaxDocumentBytes, Repeats: true, Open: func(t *testing.T, output sink.Output) sinktest.Target {
		return Open(t, url, output)
	}}
}

// Target is a sink and its collections.
type Target struct {
	Out, Dead *driver.Collection
	sink      *mongo.Sink
	output    sink.Output
}

// Open makes a sink with an empty collection.
func Open(t *testing.T, url string, output sink.Output) *Target {
	t.Helper()
	return OpenWith(t, url, mongo.Options{Output: output})
}

// OpenWith makes a sink with such options and an empty collection.
func OpenWith(t *testing.T, url string, o mongo.Options) *Target {
	t.Helper()
	name := fmt.Sprintf("c%d", collections.Add(1))
	o.URL, o.Database, o.Collection = url, Database, name
	s, err := mongo.New(o)
	if err != nil {
		t.Fatal(err)
	}
	client, err := driver.Connect(options.Client().ApplyURI(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Disconnect(context.Background())
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	db := client.Database(Database)
	return &Target{Out: db.Collection(name), Dead: db.Collection(name + ".dead"), sink: s, output: o.Output}
}

// Sink is the sink under test.
func (x *Target) Sink() sink.Sink { return x.sink }

// Write delivers the group.
func (x *Target) Write(t *testing.T, g sink.Group) {
	t.Helper()
	if err := g.Deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Read reads both collections.
func (x *Target) Read(t *testing.T) (out []sinktest.Item, dead []map[string]any) {
	t.Helper()
	for _, d := range all(t, x.Out) {
		out = append(out, x.item(d))
	}
	for _, d := range all(t, x.Dead) {
		m := plain(d).(map[string]any)
		m["id"] = m["_id"]
		delete(m, "_id")
		dead = append(dead, m)
	}
	return out, dead
}

func all(t *testing.T, c *driver.Collection) (docs []bson.D) {
	t.Helper()
	cursor, err := c.Find(t.Context(), bson.D{})
	if err == nil {
		err = cursor.All(t.Context(), &docs)
	}
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func (x *Target) item(d bson.D) sinktest.Item {
	m := plain(d).(map[string]any)
	it := sinktest.Item{ID: m["_id"].(string), Value: m}
	delete(m, "_id")
	switch {
	case m["result"] != nil:
		it.Value = m["result"]
	case m["emitter"] != nil:
		m["id"] = it.ID
	case x.output == sink.OutputData && m["data"] != nil:
		it.Value = m["data"]
	case m["window"] != nil:
		it.Value, it.Key = m["value"], bytesOf(m["key"])
		for _, h := range m["headers"].([]any) {
			h := h.(map[string]any)
			it.Headers = append(it.Headers, record.Header{Key: h["key"].(string), Value: bytesOf(h["value"])})
		}
	}
	return it
}

// plain turns BSON back into what encoding/json would have made of the JSON it came from.
func plain(v any) any { return plainAt(v, 0) }

var names = strings.NewReplacer("＄", "$", "．", ".", "␀", "\x00")

func plainAt(v any, depth int) any {
	switch v := v.(type) {
	case bson.D:
		m := map[string]any{}
		for _, e := range v {
			m[names.Replace(e.Key)] = plainAt(e.Value, depth+1)
		}
		return m
	case bson.A:
		a := make([]any, len(v))
		for i := range v {
			a[i] = plainAt(v[i], depth+1)
		}
		return a
	case bson.DateTime:
		return json.Number(strconv.FormatInt(int64(v), 10))
	case int64:
		return json.Number(strconv.FormatInt(v, 10))
	case float64:
		return json.Number(strconv.FormatFloat(v, 'g', -1, 64))
	case bson.Binary:
		return map[string]any{"$base64": base64.StdEncoding.EncodeToString(v.Data)}
	case string:
		if depth > 80 { // what is nested too deep is text
			return sinktest.Decode([]byte(v))
		}
	}
	return v
}

func bytesOf(v any) []byte {
	switch v := v.(type) {
	case string:
		return []byte(v)
	case map[string]any:
		p, err := base64.StdEncoding.DecodeString(v["$base64"].(string))
		if err != nil {
			panic(err)
		}
		return p
	}
	return nil
}
