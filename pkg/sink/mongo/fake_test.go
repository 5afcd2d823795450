package mongo

import (
	"encoding/binary"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// fake speaks as much of MongoDB's protocol as the sink needs, so that faults can be put exactly where they hurt.
type fake struct {
	t  *testing.T
	l  net.Listener
	mu sync.Mutex
	// collections by name, documents in the order they came
	docs map[string][]bson.D
	faults
}

// faults are what a test does to the server; set by with.
type faults struct {
	// refuse is asked before an update: a code other than 0 is its write error
	refuse func(collection string, id string, doc bson.D) int
	// answer is asked before a command: a document it returns is the answer. drop closes the connection after the command
	answer func(name string) bson.D
	drop   func(name string) bool
}

// with changes the faults.
func (f *fake) with(change func(*faults)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.faults)
}

func newFake(t *testing.T) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, l: l, docs: map[string][]bson.D{}}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(c)
		}
	}()
	return f
}

func (f *fake) url() string { return "mongodb://" + f.l.Addr().String() + "/?directConnection=true" }

const (
	opReply = 1
	opQuery = 2004
	opMsg   = 2013
)

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	for {
		var head [16]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		body := make([]byte, binary.LittleEndian.Uint32(head[:])-16)
		if _, err := io.ReadFull(c, body); err != nil {
			return
		}
		var reply bson.D
		op := binary.LittleEndian.Uint32(head[12:])
		var drop bool
		switch op {
		case opQuery: // hello, of old
			reply = hello
		case opMsg:
			reply, drop = f.message(body[4:])
		}
		if drop {
			return
		}
		out, err := bson.Marshal(reply)
		if err != nil {
			f.t.Error(err)
			return
		}
		var prefix []byte
		if op == opQuery {
			prefix = make([]byte, 20) // flags, cursor, first
			prefix[16] = 1            // documents
			op = opReply
		} else {
			prefix = make([]byte, 5) // flags; a section of kind 0
		}
		msg := make([]byte, 16, 16+len(prefix)+len(out))
		binary.LittleEndian.PutUint32(msg, uint32(16+len(prefix)+len(out)))
		copy(msg[8:12], head[4:8])
		binary.LittleEndian.PutUint32(msg[12:], op)
		if _, err := c.Write(append(append(msg, prefix...), out...)); err != nil {
			return
		}
	}
}

var hello = bson.D{{Key: "ok", Value: 1.0}, {Key: "isWritablePrimary", Value: true}, {Key: "helloOk", Value: true},
	{Key: "maxBsonObjectSize", Value: 16 << 20}, {Key: "maxMessageSizeBytes", Value: 48000000}, {Key: "maxWriteBatchSize", Value: 100000},
	{Key: "minWireVersion", Value: 0}, {Key: "maxWireVersion", Value: 21}}

// message answers one OP_MSG; sections are those behind its flags.
func (f *fake) message(sections []byte) (reply bson.D, drop bool) {
	var cmd bson.D
	var items []bson.D // updates or documents
	for len(sections) > 0 {
		kind := sections[0]
		sections = sections[1:]
		n := binary.LittleEndian.Uint32(sections)
		switch part := sections[:n]; kind {
		case 0:
			f.must(bson.Unmarshal(part, &cmd))
		case 1:
			part = part[4:]
			for part[0] != 0 { // the sequence's name
				part = part[1:]
			}
			for part = part[1:]; len(part) > 0; {
				n := binary.LittleEndian.Uint32(part)
				var d bson.D
				f.must(bson.Unmarshal(part[:n], &d))
				items = append(items, d)
				part = part[n:]
			}
		}
		sections = sections[n:]
	}
	if a, ok := get(cmd, "updates").(bson.A); ok {
		for _, d := range a {
			items = append(items, d.(bson.D))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	name := cmd[0].Key
	if f.answer != nil {
		if a := f.answer(name); a != nil {
			return a, false
		}
	}
	switch name {
	case "hello", "isMaster", "ismaster":
		reply = hello
	case "update":
		reply = f.update(cmd[0].Value.(string), items)
	case "insert":
		f.docs[cmd[0].Value.(string)] = append(f.docs[cmd[0].Value.(string)], items...)
		reply = bson.D{{Key: "ok", Value: 1.0}, {Key: "n", Value: int32(len(items))}}
	case "find":
		reply = f.find(cmd[0].Value.(string), get(cmd, "filter").(bson.D))
	default:
		reply = bson.D{{Key: "ok", Value: 1.0}}
	}
	return reply, f.drop != nil && f.drop(name)
}

func (f *fake) must(err error) {
	if err != nil {
		f.t.Error(err)
	}
}

func get(d bson.D, key string) any {
	for _, e := range d {
		if e.Key == key {
			return e.Value
		}
	}
	return nil
}

func (f *fake) update(collection string, updates []bson.D) bson.D {
	var failed bson.A
	n := 0
	fail := func(i, code int) {
		failed = append(failed, bson.D{{Key: "index", Value: int32(i)}, {Key: "code", Value: int32(code)}, {Key: "errmsg", Value: "refused by the test"}})
	}
	for i, u := range updates {
		filter, change := get(u, "q").(bson.D), get(u, "u").(bson.D)
		id := get(filter, "_id")
		if upsert, _ := get(u, "upsert").(bool); !upsert {
			continue
		}
		if f.refuse != nil {
			name, _ := id.(string)
			set, _ := get(change, "$setOnInsert").(bson.D)
			if code := f.refuse(collection, name, set); code != 0 {
				fail(i, code)
				continue
			}
		}
		docs := f.docs[collection]
		at := f.index(collection, id)
		if at >= 0 && !matches(docs[at], filter) {
			fail(i, duplicate)
			continue
		}
		n++
		if at < 0 {
			f.docs[collection] = append(docs, changed(bson.D{{Key: "_id", Value: id}}, change, true))
		} else {
			docs[at] = changed(docs[at], change, false)
		}
	}
	reply := bson.D{{Key: "ok", Value: 1.0}, {Key: "n", Value: int32(n)}, {Key: "nModified", Value: int32(0)}}
	if len(failed) > 0 {
		reply = append(reply, bson.E{Key: "writeErrors", Value: failed})
	}
	return reply
}

// changed is a document after an update, or a replacement.
func changed(doc, change bson.D, isNew bool) bson.D {
	switch change[0].Key {
	case "$setOnInsert":
		if isNew {
			return append(doc, change[0].Value.(bson.D)...)
		}
		return doc
	case "$set":
		for _, e := range change[0].Value.(bson.D) {
			doc = slices.DeleteFunc(slices.Clone(doc), func(o bson.E) bool { return o.Key == e.Key })
			doc = append(doc, e)
		}
		return doc
	}
	return append(doc[:1:1], change...)
}

// matches knows equality, null, $lt of one's own kind, and $or.
func matches(doc, filter bson.D) bool {
	for _, e := range filter {
		if e.Key == "$or" {
			if !slices.ContainsFunc(e.Value.(bson.A), func(f any) bool { return matches(doc, f.(bson.D)) }) {
				return false
			}
			continue
		}
		var v any = doc
		for name := range strings.SplitSeq(e.Key, ".") {
			d, _ := v.(bson.D)
			v = get(d, name)
		}
		bound, less := e.Value.(bson.D)
		switch {
		case !less && !reflect.DeepEqual(v, e.Value), less && !lessThan(v, bound[0].Value):
			return false
		}
	}
	return true
}

func lessThan(a, b any) bool {
	switch a := a.(type) {
	case string:
		return a < b.(string)
	case int64:
		return a < b.(int64)
	case bson.DateTime:
		return a < b.(bson.DateTime)
	}
	return false
}

// index is that of the document with the id, -1 if there is none.
func (f *fake) index(collection string, id any) int {
	if id, ok := id.(string); ok {
		return slices.IndexFunc(f.docs[collection], func(d bson.D) bool { return d[0].Value == id })
	}
	return slices.IndexFunc(f.docs[collection], func(d bson.D) bool { return reflect.DeepEqual(d[0].Value, id) })
}

func (f *fake) has(collection string, id any) bool { return f.index(collection, id) >= 0 }

func (f *fake) find(collection string, filter bson.D) bson.D {
	batch := bson.A{}
	for _, d := range f.docs[collection] {
		if matches(d, filter) {
			batch = append(batch, d)
		}
	}
	return bson.D{{Key: "ok", Value: 1.0}, {Key: "cursor", Value: bson.D{{Key: "id", Value: int64(0)},
		{Key: "ns", Value: "db." + collection}, {Key: "firstBatch", Value: batch}}}}
}

// ids are those in a collection.
func (f *fake) ids(collection string) (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.docs[collection] {
		ids = append(ids, d[0].Value.(string))
	}
	return ids
}
