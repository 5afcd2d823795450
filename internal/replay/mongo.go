package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/windrow-io/windrow/pkg/letter"
)

// Collection are the letters in a collection of MongoDB.
type Collection struct {
	client    *mongo.Client
	dead, out *mongo.Collection
}

// InCollection returns the letters in a collection; documents that were refused once belong to the collection out.
func InCollection(url, database, dead, out string) (*Collection, error) {
	client, err := mongo.Connect(options.Client().ApplyURI(url).SetAppName("windrow").SetServerSelectionTimeout(10 * time.Second))
	if err != nil {
		return nil, fmt.Errorf("MONGO_URL: %w", err)
	}
	majority := options.Collection().SetWriteConcern(writeconcern.Majority()).SetReadPreference(readpref.Primary())
	db := client.Database(database)
	return &Collection{client: client, dead: db.Collection(dead, majority), out: db.Collection(out, majority)}, nil
}

// Close closes the connections.
func (c *Collection) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = c.client.Disconnect(ctx)
}

const readAtOnce = 100 // documents, of up to 16 MiB: the driver reads them one after the other

// Each reads the letters that there are now, in the order of their last attempt.
func (c *Collection) Each(ctx context.Context, visit func(*letter.Letter) error) (others int, err error) {
	ids, err := c.ids(ctx)
	if err != nil {
		return 0, err
	}
	for len(ids) > 0 {
		n := min(readAtOnce, len(ids))
		cursor, err := c.dead.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids[:n]}}}},
			options.Find().SetSort(bson.D{{Key: "last", Value: 1}, {Key: "_id", Value: 1}}))
		if err != nil {
			return others, c.wrap(err)
		}
		for cursor.Next(ctx) {
			l, err := letterOf(cursor.Current)
			if err != nil {
				others++
				continue
			}
			if err := visit(l); err != nil {
				_ = cursor.Close(ctx)
				return others, err
			}
		}
		if err := cursor.Err(); err != nil {
			return others, c.wrap(err)
		}
		ids = ids[n:]
	}
	return others, nil
}

func (c *Collection) wrap(err error) error {
	return fmt.Errorf("collection %s: %w", c.dead.Name(), err)
}

// ids are those of all letters: what comes while they are put back is for the next time.
func (c *Collection) ids(ctx context.Context) (ids []any, err error) {
	cursor, err := c.dead.Find(ctx, bson.D{}, options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}).
		SetSort(bson.D{{Key: "last", Value: 1}, {Key: "_id", Value: 1}}))
	if err != nil {
		return nil, c.wrap(err)
	}
	defer cursor.Close(ctx)
	for cursor.Next(ctx) {
		ids = append(ids, cursor.Current.Lookup("_id"))
	}
	if err := cursor.Err(); err != nil {
		return nil, c.wrap(err)
	}
	return ids, nil
}

// PutBack writes a document that was refused, unless its id is there. *CantError: it is refused again.
func (c *Collection) PutBack(ctx context.Context, l *letter.Letter) error {
	var doc bson.Raw
	one := c.dead.FindOne(ctx, bson.D{{Key: "_id", Value: l.ID}})
	raw, err := one.Raw()
	if err != nil {
		return c.wrap(err)
	}
	var ok bool
	if doc, ok = raw.Lookup("document").DocumentOK(); !ok {
		return &CantError{errors.New("it holds no document any more")}
	}
	_, err = c.out.UpdateOne(ctx, bson.D{{Key: "_id", Value: l.ID}}, bson.D{{Key: "$setOnInsert", Value: doc}}, options.UpdateOne().SetUpsert(true))
	var server mongo.ServerError
	switch {
	case err == nil:
		return c.Note(ctx, l)
	case errors.As(err, &server) && !mongo.IsTimeout(err) && !mongo.IsNetworkError(err):
		return &CantError{fmt.Errorf("collection %s refuses it again: %w", c.out.Name(), err)}
	}
	return fmt.Errorf("collection %s: %w", c.out.Name(), err)
}

// Note writes into the letter's document when it was put back: for people, nothing rests on it but for documents that were
// refused.
func (c *Collection) Note(ctx context.Context, l *letter.Letter) error {
	_, err := c.dead.UpdateOne(ctx, bson.D{{Key: "_id", Value: l.ID}}, bson.D{{Key: "$set", Value: bson.D{{Key: "replayed", Value: time.Now().UTC()}}}})
	if err != nil {
		return c.wrap(err)
	}
	return nil
}

// document is a letter as the MongoDB sink writes it.
type document struct {
	ID       string `bson:"_id"`
	Reason   string
	Error    string
	Attempts int64
	First    bson.DateTime
	Last     bson.DateTime
	Stream   string
	Pipeline string
	Shard    string
	Origin   *struct {
		Topic     string
		Partition int32
		Offset    int64
		Timestamp bson.DateTime
	}
	Key     bson.RawValue
	Headers []struct{ Key, Value bson.RawValue }
	Form    string
	Value   bson.RawValue
	Raw     *bson.Binary
	Omitted []string
	Window  *struct {
		Stream, Pipeline, Shard string
	}
	Document bson.Raw
	Replayed *time.Time
}

func letterOf(raw bson.Raw) (*letter.Letter, error) {
	var d document
	if err := bson.Unmarshal(raw, &d); err != nil {
		return nil, err
	}
	l := &letter.Letter{
		ID: d.ID, Reason: d.Reason, Error: d.Error, Attempts: int(d.Attempts), First: int64(d.First), Last: int64(d.Last),
		Stream: d.Stream, Pipeline: d.Pipeline, Shard: d.Shard, Omitted: d.Omitted, Form: d.Form, Size: len(raw), Written: d.Last.Time(),
	}
	switch {
	case d.ID == "" || d.Reason == "":
		return nil, errors.New("no letter")
	case d.Origin != nil:
		l.Origin = &letter.Origin{Topic: d.Origin.Topic, Partition: d.Origin.Partition, Offset: d.Origin.Offset, Timestamp: int64(d.Origin.Timestamp)}
		l.Key = textOf(d.Key)
		for _, h := range d.Headers {
			l.Headers = append(l.Headers, letter.Header{Key: textOf(h.Key), Value: textOf(h.Value)})
		}
		switch {
		case d.Form == "null":
			l.SetValue(nil)
		case d.Raw != nil:
			l.SetValue(d.Raw.Data)
		case d.Form == "text" || d.Form == "binary":
			if t := textOf(d.Value); t != nil {
				l.SetValue(*t)
			}
		}
	case d.Window != nil:
		l.Stream, l.Pipeline, l.Shard = d.Window.Stream, d.Window.Pipeline, d.Window.Shard
		if d.Raw == nil {
			l.Omitted, l.Window = append(l.Omitted, "raw"), letter.Raw("{}")
		} else {
			l.Window = d.Raw.Data
		}
	case d.Document != nil:
		if d.Replayed != nil {
			l.Replayed = *d.Replayed
		}
	default:
		return nil, errors.New("no letter")
	}
	// For showing: as MongoDB has it.
	if text, err := bson.MarshalExtJSON(raw, false, false); err == nil {
		l.Shown = text
	}
	return l, nil
}

// textOf is the bytes of a string or of binary data, nil for null.
func textOf(v bson.RawValue) *letter.Text {
	if s, ok := v.StringValueOK(); ok {
		t := letter.Text(s)
		return &t
	}
	if _, b, ok := v.BinaryOK(); ok {
		t := letter.Text(append([]byte{}, b...))
		return &t
	}
	return nil
}
