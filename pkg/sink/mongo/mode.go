package mongo

import (
	"bytes"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/windrow-io/windrow/pkg/window"
)

// Mode is what a window does to the document that its key has already.
type Mode string

// The modes. In those but the first a document's _id is the key, and its field `_windrow` says which window it is from:
// end, shard, seq and revision, compared in this order, tell which of two windows is newer. What is older changes nothing, so
// that a write that is repeated or late does no harm. Windows that are emitted more than once have that field in all modes:
// a revision takes the place of older ones.
const (
	ModeInsert  Mode = "insert"  // a document per window, with the window's id
	ModeReplace Mode = "replace" // a document per key, of its newest window
	ModeMerge   Mode = "merge"   // likewise; fields that only the document before had stay
)

// versionField is of the document of a key.
const versionField = "_windrow"

// version tells the windows of a key apart, and which is newer.
type version struct {
	end   int64
	shard string
	seq   int64
	// revision of a window that is emitted more than once; -1: it is not.
	revision int64
}

func versionOf(w *window.Window) version {
	v := version{end: w.End, shard: w.Shard, seq: w.Seq, revision: -1}
	if w.Updates {
		v.revision = w.Revision
	}
	return v
}

// append appends the field.
func (v version) append(dst []byte) []byte {
	dst, at := begin(open(dst, bson.TypeEmbeddedDocument, versionField))
	dst = dateField(dst, "end", v.end)
	dst = stringField(dst, "shard", v.shard)
	dst = intField(dst, "seq", v.seq)
	if v.revision >= 0 {
		dst = intField(dst, "revision", v.revision)
	}
	return end(dst, at)
}

// older is true of documents that a window of this version changes: older ones, and those that Windrow did not write.
func (v version) older() bson.D {
	const end, shard, seq = versionField + ".end", versionField + ".shard", versionField + ".seq"
	date := bson.DateTime(v.end)
	older := bson.A{
		bson.D{{Key: end, Value: nil}},
		bson.D{{Key: end, Value: bson.D{{Key: "$lt", Value: date}}}},
		bson.D{{Key: end, Value: date}, {Key: shard, Value: bson.D{{Key: "$lt", Value: v.shard}}}},
		bson.D{{Key: end, Value: date}, {Key: shard, Value: v.shard}, {Key: seq, Value: bson.D{{Key: "$lt", Value: v.seq}}}},
	}
	if v.revision > 0 {
		older = append(older, bson.D{
			{Key: end, Value: date}, {Key: shard, Value: v.shard}, {Key: seq, Value: v.seq},
			{Key: versionField + ".revision", Value: bson.D{{Key: "$lt", Value: v.revision}}},
		})
	}
	return bson.D{{Key: "$or", Value: older}}
}

// idOf is a key as an _id.
func idOf(key []byte) any {
	if utf8.Valid(key) {
		return string(key)
	}
	return bson.Binary{Data: bytes.Clone(key)}
}

// filter is what the item replaces or merges into.
func (it *item) filter() bson.D {
	return append(bson.D{{Key: "_id", Value: it.key}}, it.version.older()...)
}

// model is the write of an item.
func (m Mode) model(it *item, doc bson.Raw) mongo.WriteModel {
	switch {
	case it.key == nil: // a dead letter, too
		return mongo.NewUpdateOneModel().SetUpsert(true).
			SetFilter(bson.D{{Key: "_id", Value: it.id}}).
			SetUpdate(bson.D{{Key: "$setOnInsert", Value: doc}})
	case m == ModeMerge:
		return mongo.NewUpdateOneModel().SetUpsert(true).SetFilter(it.filter()).SetUpdate(bson.D{{Key: "$set", Value: doc}})
	default:
		return mongo.NewReplaceOneModel().SetUpsert(true).SetFilter(it.filter()).SetReplacement(doc)
	}
}
