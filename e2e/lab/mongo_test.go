package lab

import (
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func TestMongoRepeatsOfAnUpsertChangeNothing(t *testing.T) {
	t.Parallel()
	m := Mongo(t)
	c := m.Collection(t, "d", "c")
	const documents, bulk = 2000, 100
	write := func(mark string) {
		begin := time.Now()
		for from := 0; from < documents; from += bulk {
			var models []mongo.WriteModel
			for i := from; i < from+bulk; i++ {
				id := fmt.Sprintf("p/%d", i)
				set := bson.D{{Key: "seq", Value: i}, {Key: "mark", Value: mark}, {Key: "data", Value: make([]byte, 20<<10)}}
				models = append(models, mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: id}}).
					SetUpdate(bson.D{{Key: "$setOnInsert", Value: set}}).SetUpsert(true))
			}
			if _, err := c.BulkWrite(t.Context(), models, options.BulkWrite().SetOrdered(false)); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%s: %d upserts of 20 KiB in %v", mark, documents, time.Since(begin))
	}
	write("first")
	write("second")
	found := Documents(t, c)
	if len(found) != documents {
		t.Fatalf("%d documents, want %d", len(found), documents)
	}
	changed, err := c.CountDocuments(t.Context(), bson.D{{Key: "mark", Value: bson.D{{Key: "$ne", Value: "first"}}}})
	if err != nil || changed != 0 {
		t.Fatalf("%d documents were changed by the repeat (%v)", changed, err)
	}
}
