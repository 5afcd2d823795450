// Package mongo writes windows to a MongoDB collection, at least once and without a trace of the repeats: upserts by the
// window's id that set something only when they insert, or by its key where only what is older is changed (Mode).
//
// A window is one document, its _id the window's id, its other fields those of the envelope (see DESIGN.md): start and end
// are dates, data the records' JSON as BSON. Integers that fit are int64, other numbers doubles; of members with the same
// name the last one holds; a $ at the beginning of a name, a dot and a null character become ＄ ． ␀, for servers
// give them another meaning or refuse them; what is nested deeper than 90 levels stays JSON text; a value that is no JSON is a
// string, or binary data if it is not valid UTF-8. With the output `data` a document has only that field; with `records`
// each record is a document, `<window's id>/<index>`, with window, topic, partition, offset, timestamp, key, value and
// headers. The result of a handler, if it is a JSON object, gives the fields itself, else the field result.
//
// Windows over 16 MiB become several documents. A document that the server refuses for good (a validator, a unique
// index) goes to the collection of dead letters.
package mongo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.uber.org/zap"

	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/internal/envelope"
	"github.com/windrow-io/windrow/pkg/sink/internal/meter"
	"github.com/windrow-io/windrow/pkg/template"
)

const (
	defaultTimeout   = 30 * time.Second
	selectionTimeout = 5 * time.Second
	unauthorized     = 13
	maxName          = 190 // bytes of a collection's name: MongoDB allows 255 with the database's, which has up to 63
)

// Options of a MongoDB sink.
type Options struct {
	URL            string // mongodb:// or mongodb+srv://; its write concern is overruled: majority
	Database       string
	Collection     string
	DeadCollection string        // for dead letters; empty: Collection + ".dead"
	Output         sink.Output   // empty: OutputWindow
	Timeout        time.Duration // of one call; 0: 30 s
	Logger         *zap.Logger   // nil: none

	Name *template.Template // of the window's collection; nil, or where it makes nothing: Collection
	Mode Mode               // empty: ModeInsert. The others are not for OutputRecords
	Key  *template.Template // of the _id in the other modes; nil: the window's key
}

// Sink is a MongoDB collection. Safe for concurrent use.
type Sink struct {
	o         Options
	log       *zap.Logger
	meter     *meter.Meter
	limit     int // of a document, in bytes
	client    *mongo.Client
	out, dead *mongo.Collection
}

var _ sink.Sink = (*Sink)(nil)

// New makes a Sink; it connects in the background. The error says what is wrong with the options.
func New(o Options) (*Sink, error) {
	if o.Database == "" || o.Collection == "" {
		return nil, errors.New("mongo sink: the database or the collection has no name: set MONGO_DATABASE and MONGO_COLLECTION")
	}
	if o.DeadCollection == "" {
		o.DeadCollection = o.Collection + ".dead"
	}
	if o.Output == "" {
		o.Output = sink.OutputWindow
	}
	if o.Mode == "" {
		o.Mode = ModeInsert
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	client, err := mongo.Connect(options.Client().ApplyURI(o.URL).SetAppName("windrow").
		SetServerSelectionTimeout(selectionTimeout))
	if err != nil {
		return nil, fmt.Errorf("mongo sink: MONGO_URL: %w", err)
	}
	s := &Sink{o: o, log: o.Logger, meter: meter.New("mongo"), limit: MaxDocumentBytes, client: client}
	s.out, s.dead = s.collection(o.Collection), s.collection(o.DeadCollection)
	return s, nil
}

func (s *Sink) collection(name string) *mongo.Collection {
	return s.client.Database(s.o.Database).Collection(name,
		options.Collection().SetWriteConcern(writeconcern.Majority()).SetReadPreference(readpref.Primary()))
}

// checkCollection reports what is wrong with the name that a template made.
func checkCollection(name, dead string) error {
	switch {
	case name == dead:
		return fmt.Errorf("collection %s is that of dead letters", name)
	case strings.ContainsAny(name, "$\x00") || strings.HasPrefix(name, "system.") || strings.HasPrefix(name, ".") || !utf8.ValidString(name):
		return fmt.Errorf("%q can't be a collection's name: it has to be UTF-8 without $, with neither a dot nor system. at its beginning", name)
	case len(name) > maxName:
		return fmt.Errorf("%.100q… can't be a collection's name: it has %d bytes, at most %d are allowed", name, len(name), maxName)
	}
	return nil
}

// Transactional is false: groups are delivered, after their decisions are committed.
func (s *Sink) Transactional() bool { return false }

// Group returns an empty group for a shard's windows.
func (s *Sink) Group(stream, pipeline, shard string) sink.Group {
	return &group{sink: s, docs: documents{limit: s.limit}, names: envelope.Names{Stream: stream, Pipeline: pipeline, Shard: shard}}
}

// Check reaches the primary and asks for an update of each collection that changes nothing: it needs the right to write.
func (s *Sink) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	if err := s.client.Ping(ctx, readpref.Primary()); err != nil {
		return fmt.Errorf("mongo sink: no primary answers: check MONGO_URL: %w", err)
	}
	for _, c := range []*mongo.Collection{s.out, s.dead} {
		_, err := c.UpdateOne(ctx, bson.D{{Key: "_id", Value: "windrow-check"}},
			bson.D{{Key: "$setOnInsert", Value: bson.D{{Key: "check", Value: true}}}})
		var server mongo.ServerError
		switch {
		case errors.As(err, &server) && server.HasErrorCode(unauthorized):
			return fmt.Errorf("mongo sink: collection %s.%s: grant this user the role readWrite on the database: %w", s.o.Database, c.Name(), err)
		case err != nil:
			return fmt.Errorf("mongo sink: collection %s.%s can't be written to: %w", s.o.Database, c.Name(), err)
		}
	}
	return nil
}

// Close closes the connections.
func (s *Sink) Close(ctx context.Context) error {
	if err := s.client.Disconnect(ctx); err != nil {
		return fmt.Errorf("mongo sink: close: %w", err)
	}
	return nil
}
