package lab

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// Window is a window in the default form of output.
type Window struct {
	ID       string            `json:"id"`
	Stream   string            `json:"stream"`
	Pipeline string            `json:"pipeline"`
	Shard    string            `json:"shard"`
	Seq      int64             `json:"seq"`
	Key      json.RawMessage   `json:"key"`
	Emitter  string            `json:"emitter"`
	Reason   string            `json:"reason"`
	Start    Millis            `json:"start"`
	End      Millis            `json:"end"`
	Revision int64             `json:"revision"`
	Final    bool              `json:"final"`
	Part     int               `json:"part"`
	Parts    int               `json:"parts"`
	Count    int               `json:"count"`
	Data     []json.RawMessage `json:"data"`

	Aggregate bool `json:"-"` // Data is one object, of Count records
}

// UnmarshalJSON reads a window whose data is an array, or the object that AGGREGATE makes of it.
func (w *Window) UnmarshalJSON(p []byte) error {
	type plain Window
	v := struct {
		*plain
		Data json.RawMessage `json:"data"`
	}{plain: (*plain)(w)}
	if err := json.Unmarshal(p, &v); err != nil || len(v.Data) == 0 {
		return err
	}
	if w.Aggregate = v.Data[0] == '{'; w.Aggregate {
		w.Data = []json.RawMessage{v.Data}
		return nil
	}
	return json.Unmarshal(v.Data, &w.Data)
}

// Millis is a time in Unix milliseconds: a number, or MongoDB's date in relaxed extended JSON.
type Millis int64

// UnmarshalJSON reads either form.
func (m *Millis) UnmarshalJSON(p []byte) error {
	var date struct {
		Text string `json:"$date"`
	}
	if len(p) == 0 || p[0] != '{' {
		return json.Unmarshal(p, (*int64)(m))
	}
	if err := json.Unmarshal(p, &date); err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339Nano, date.Text)
	if err != nil {
		return err
	}
	*m = Millis(at.UnixMilli())
	return nil
}

// Windows decodes output records as windows, in their order.
func Windows(t testing.TB, records []*kgo.Record) []Window {
	t.Helper()
	windows := make([]Window, len(records))
	for i, r := range records {
		if err := json.Unmarshal(r.Value, &windows[i]); err != nil {
			t.Fatalf("output %s/%d at %d is no window: %v\n%.500s", r.Topic, r.Partition, r.Offset, err, r.Value)
		}
	}
	return windows
}

// MongoWindows decodes all documents of a collection as windows, in no particular order.
func MongoWindows(t testing.TB, c *mongo.Collection, how ...options.Lister[options.FindOptions]) []Window {
	t.Helper()
	documents := Documents(t, c, how...)
	windows := make([]Window, len(documents))
	for i, d := range documents {
		var id struct {
			ID string `json:"_id"`
		}
		err := json.Unmarshal(d, &windows[i])
		if err == nil {
			err = json.Unmarshal(d, &id)
		}
		if err != nil {
			t.Fatalf("a document of %s is no window: %v\n%.500s", c.Name(), err, d)
		}
		windows[i].ID = id.ID
	}
	return windows
}

// String names a window in messages.
func (w Window) String() string {
	return fmt.Sprintf("window %d of %s (%s, %d records)", w.Seq, w.Shard, w.Reason, w.Count)
}
