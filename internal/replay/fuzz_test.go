package replay

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/windrow-io/windrow/internal/fuzztest"
)

// FuzzLetterOf gives arbitrary bytes as a document of MongoDB: nothing panics, and what is taken for a letter has an id.
func FuzzLetterOf(f *testing.F) {
	for _, d := range []bson.D{
		{{Key: "_id", Value: "a"}, {Key: "reason", Value: "not-json"}, {Key: "origin", Value: bson.D{{Key: "topic", Value: "t"}, {Key: "offset", Value: int64(1)}}},
			{Key: "key", Value: bson.Binary{Data: []byte("k")}}, {Key: "form", Value: "text"}, {Key: "value", Value: "v"}, {Key: "stream", Value: "s"}, {Key: "pipeline", Value: "p"}},
		{{Key: "_id", Value: "b"}, {Key: "reason", Value: "handler"}, {Key: "window", Value: bson.D{{Key: "shard", Value: "t/0"}}}, {Key: "raw", Value: bson.Binary{Data: []byte(`{"id":"b"}`)}}},
		{{Key: "_id", Value: "c"}, {Key: "reason", Value: "refused"}, {Key: "document", Value: bson.D{{Key: "x", Value: 1.5}}}},
	} {
		p, err := bson.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		fuzztest.Bounded(t, 4<<20+500*len(p), func() {
			l, err := letterOf(p)
			if err != nil {
				return
			}
			if l.ID == "" || l.Reason == "" {
				t.Errorf("%x is taken for the letter %+v", p, l)
			}
			_, _ = l.Back()
		})
	})
}
