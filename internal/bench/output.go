package bench

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

// output is where the windows of a round go.
type output interface {
	// create makes it, empty.
	create(ctx context.Context) error
	// some is at most as much as the windows in it, and what else takes room there; cheap to ask.
	some(ctx context.Context) (int, error)
	// settled waits until nothing in it is undecided.
	settled(ctx context.Context) error
	// count is how many windows are in it.
	count(ctx context.Context) (int, error)
	// read visits every window, as JSON.
	read(ctx context.Context, visit func(value []byte) error) error
	// drop deletes it.
	drop(ctx context.Context) error
	// settings are those of a worker that writes to it.
	settings() []string
	// loop has a loop write to it.
	loop(l *Loop)
}

// Sinks are the kinds of output.
const (
	sinkKafka = "kafka"
	sinkMongo = "mongo"
)

func (b *bench) output(s *Series, name string) output {
	if s.Sink == sinkMongo {
		return &collection{b.mongo.Collection(name, options.Collection().SetWriteConcern(writeconcern.Majority()))}
	}
	return &topic{b.kafka, name, s.maxMessage()}
}

// topic is an output in Kafka.
type topic struct {
	kafka      *cluster
	name       string
	maxMessage int
}

const outPartitions = 4

func (t *topic) create(ctx context.Context) error {
	if err := t.kafka.createTopic(ctx, t.name+positionsSuffix, 1, 0); err != nil {
		return err
	}
	return t.kafka.createTopic(ctx, t.name, outPartitions, t.maxMessage)
}

func (t *topic) some(ctx context.Context) (int, error) { return t.kafka.end(ctx, t.name) }

func (t *topic) settled(ctx context.Context) error { return t.kafka.settled(ctx, t.name) }

func (t *topic) count(ctx context.Context) (n int, _ error) {
	return n, t.read(ctx, func([]byte) error {
		n++
		return nil
	})
}

func (t *topic) read(ctx context.Context, visit func([]byte) error) error {
	return t.kafka.read(ctx, t.name, visit)
}

func (t *topic) drop(ctx context.Context) error {
	return t.kafka.deleteTopics(ctx, t.name, t.name+positionsSuffix)
}

func (t *topic) settings() []string { return []string{"SINK=kafka", "KAFKA_OUTPUT_TOPIC=" + t.name} }

func (t *topic) loop(l *Loop) { l.Out = t.name }

// collection is an output in MongoDB.
type collection struct{ *mongo.Collection }

func (c *collection) create(context.Context) error { return nil } // the first document makes it

func (c *collection) some(ctx context.Context) (int, error) {
	n, err := c.EstimatedDocumentCount(ctx)
	return int(n), err
}

func (c *collection) settled(context.Context) error { return nil }

func (c *collection) count(ctx context.Context) (int, error) {
	n, err := c.CountDocuments(ctx, bson.D{})
	return int(n), err
}

func (c *collection) read(ctx context.Context, visit func([]byte) error) error {
	cursor, err := c.Find(ctx, bson.D{})
	if err != nil {
		return err
	}
	defer cursor.Close(ctx)
	for cursor.Next(ctx) {
		value, err := bson.MarshalExtJSON(cursor.Current, false, false)
		if err == nil {
			err = visit(value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name(), err)
		}
	}
	return cursor.Err()
}

func (c *collection) drop(ctx context.Context) error {
	return errors.Join(c.Drop(ctx), c.Database().Collection(c.Name()+".dead").Drop(ctx))
}

func (c *collection) settings() []string {
	return []string{"SINK=mongo", "MONGO_DATABASE=" + c.Database().Name(), "MONGO_COLLECTION=" + c.Name()}
}

func (c *collection) loop(l *Loop) { l.Database, l.Out = c.Database().Name(), c.Name() }

func openMongo(ctx context.Context, url string) (*mongo.Client, error) {
	client, err := mongo.Connect(options.Client().ApplyURI(url).SetAppName("windrow-bench"))
	if err == nil {
		err = client.Ping(ctx, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("MONGO_URL: %w", err)
	}
	return client, nil
}
