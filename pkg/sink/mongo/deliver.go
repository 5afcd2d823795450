package mongo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/fault"
	"github.com/windrow-io/windrow/pkg/sink"
)

// Bounds of one bulk write: far below the server's (48 MB, 100,000), so that its time-out is about a known amount of work.
const (
	bulkBytes = 16 << 20
	bulkItems = 1000
)

// Refused is the reason of dead letters for documents that the server refuses.
const Refused = "refused"

// duplicate is the server's code for a document whose id, or other unique value, is there already.
const duplicate = 11000

// permanent are the server's codes that speak of the document, not of the moment: writing it again gives them again.
var permanent = map[int]bool{
	2:     true, // BadValue
	9:     true, // FailedToParse
	14:    true, // TypeMismatch
	15:    true, // Overflow: nested too deep
	16:    true, // InvalidLength
	22:    true, // InvalidBSON
	28:    true, // PathNotViable
	40:    true, // ConflictingUpdateOperators
	52:    true, // DollarPrefixedFieldName
	53:    true, // InvalidIdField
	56:    true, // EmptyFieldName
	57:    true, // DottedFieldName
	66:    true, // ImmutableField: the shard key
	67:    true, // CannotCreateIndex
	121:   true, // DocumentValidationFailure
	171:   true, // CannotIndexParallelArrays
	10003: true, // a capped collection's document can't grow
	10334: true, // BSONObjectTooLarge
	16755: true, // a geo index can't read it
	16766: true, // a text index can't read it
	17261: true, // a text index can't read it
	17280: true, // the index key is too long
	17419: true, // the document after the update is too large
	17420: true, // the document after the update is too large
}

// deliver writes what is not done yet, bulk by bulk.
func (g *group) deliver(ctx context.Context) error {
	if g.sink.o.Name != nil && g.done == 0 { // windows of different collections don't wait for each other's order
		slices.SortStableFunc(g.items, func(a, b item) int { return strings.Compare(a.collection, b.collection) })
	}
	for g.done < len(g.items) {
		upTo := g.bulk(g.done)
		if err := g.sink.write(ctx, g.bytes, g.items[g.done:upTo]); err != nil {
			return err
		}
		g.done = upTo
	}
	return nil
}

// bulk returns where the bulk that begins at an item ends: at a bound, or before an item for another collection.
func (g *group) bulk(from int) int {
	to, size := from+1, g.items[from].to-g.items[from].from
	for ; to < len(g.items) && to-from < bulkItems; to++ {
		it, first := &g.items[to], &g.items[from]
		size += it.to - it.from
		if it.dead != first.dead || it.collection != first.collection || size > bulkBytes {
			break
		}
	}
	return to
}

// write upserts items of one collection. A nil error means that each of them is there, or its dead letter.
func (s *Sink) write(ctx context.Context, bytes []byte, items []item) error {
	c := s.out
	switch {
	case items[0].dead:
		c = s.dead
	case items[0].collection != "":
		c = s.collection(items[0].collection)
	}
	models := make([]mongo.WriteModel, len(items))
	for i := range items {
		models[i] = s.o.Mode.model(&items[i], bytes[items[i].from:items[i].to])
	}
	call, cancel := context.WithTimeout(ctx, s.o.Timeout)
	fault.Point("mongo.bulk.before")
	_, err := c.BulkWrite(call, models, options.BulkWrite().SetOrdered(false))
	fault.Point("mongo.bulk.after")
	cancel()
	if err == nil {
		return nil
	}
	var bulk mongo.BulkWriteException
	if errors.As(err, &bulk) && len(bulk.WriteErrors) > 0 {
		return s.sort(ctx, c, bytes, items, &bulk)
	}
	if code, ok := permanentCode(err); ok {
		if len(items) == 1 {
			return s.refuse(ctx, bytes, &items[0], code, err)
		}
		for i := range items { // the whole bulk was refused for one of them
			if err := s.write(ctx, bytes, items[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	return passing(c, err)
}

// sort tells the errors of single documents apart.
func (s *Sink) sort(ctx context.Context, c *mongo.Collection, bytes []byte, items []item, bulk *mongo.BulkWriteException) error {
	var again error
	if bulk.WriteConcernError != nil {
		again = passing(c, bulk.WriteConcernError)
	}
	for _, e := range bulk.WriteErrors {
		if e.Index < 0 || e.Index >= len(items) {
			return passing(c, e)
		}
		it := &items[e.Index]
		refuse := permanent[e.Code]
		if e.Code == duplicate {
			there, older, err := s.exists(ctx, c, it)
			switch {
			case err != nil:
				return err
			case older: // it came between, and is to be replaced
			case there:
				continue // somebody else was faster, or a newer window is there: done
			default:
				refuse = true // another unique index
			}
		}
		if !refuse {
			again = passing(c, e)
			continue
		}
		if err := s.refuse(ctx, bytes, it, e.Code, e); err != nil {
			return err
		}
	}
	return again
}

// exists reports whether the item's document is there, and whether it is one that the item replaces.
func (s *Sink) exists(ctx context.Context, c *mongo.Collection, it *item) (there, older bool, err error) {
	if it.key == nil {
		there, err = s.find(ctx, c, bson.D{{Key: "_id", Value: it.id}})
		return there, false, err
	}
	if older, err = s.find(ctx, c, it.filter()); err != nil || older {
		return older, older, err
	}
	there, err = s.find(ctx, c, bson.D{{Key: "_id", Value: it.key}})
	return there, false, err
}

func (s *Sink) find(ctx context.Context, c *mongo.Collection, filter bson.D) (bool, error) {
	call, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	err := c.FindOne(call, filter, options.FindOne().SetProjection(bson.D{{Key: "_id", Value: 1}})).Err()
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, mongo.ErrNoDocuments):
		return false, nil
	default:
		return false, passing(c, err)
	}
}

// refuse writes the dead letter of a document that the server refused for good.
func (s *Sink) refuse(ctx context.Context, bytes []byte, it *item, code int, why error) error {
	if it.dead {
		return fmt.Errorf("%w: collection %s refuses the dead letter %s with code %d: check its validator and its unique indexes: %w",
			sink.ErrPermanent, s.o.DeadCollection, it.id, code, why)
	}
	s.log.Warn("mongodb refuses a document for good: it becomes a dead letter",
		zap.String("collection", cmp.Or(it.collection, s.o.Collection)), zap.String("id", it.id), zap.Int("code", code), zap.Error(why))
	s.meter.Dead(Refused)
	doc := refused(nil, bytes[it.from:it.to], Refused, why, time.Now().UnixMilli())
	return s.write(ctx, doc, []item{{id: it.id, to: len(doc), dead: true}})
}

// permanentCode returns the code of a command's error that is permanent.
func permanentCode(err error) (int, bool) {
	var server mongo.ServerError
	if !errors.As(err, &server) {
		return 0, false
	}
	for code := range permanent {
		if server.HasErrorCode(code) {
			return code, true
		}
	}
	return 0, false
}

func passing(c *mongo.Collection, err error) error {
	return fmt.Errorf("write to %s.%s: %w", c.Database().Name(), c.Name(), err)
}
