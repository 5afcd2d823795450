package field

import (
	"errors"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/pkg/record"
)

func TestText(t *testing.T) {
	const value = ` {"id":7,"device":{"id":"d1","tags":["x",{"n":1},["y","z"]],"deep":{"er":{"est":true}}},` +
		`"s":"a\"\\\/\b\f\n\r\t\u00e9\u20AC\ud83d\ude00\ud83d.","é":"ü","a.b":"dot","back\\slash":1,"@type":"at","":"empty",` +
		`"twice":{"x":1},"twice":{"y":2},"n":null,"f":-1.50e+3,"e":{},"l":[],"0":"zero","*":"star","a|b":"pipe","#":"hash",` +
		`"esc\u0061ped":"yes","o":{"x": 1 , "y" : [ 2 ] },"last" : "end" } `
	r := record.Record{Key: []byte("k\x00\xff"), Value: []byte(value), Topic: "events", Partition: 3, Offset: 1 << 40, Timestamp: -1}
	r.SetHeaders(record.Header{Key: "trace", Value: []byte("first")}, record.Header{Key: "trace", Value: []byte("last")},
		record.Header{Key: "null"}, record.Header{Key: "a.b", Value: []byte{}})
	for _, c := range []struct {
		ref, want string
		err       error
	}{
		{"id", "7", nil},
		{"device.id", "d1", nil},
		{"device", `{"id":"d1","tags":["x",{"n":1},["y","z"]],"deep":{"er":{"est":true}}}`, nil},
		{"device.tags", `["x",{"n":1},["y","z"]]`, nil},
		{"device.tags.0", "x", nil},
		{"device.tags.1", `{"n":1}`, nil},
		{"device.tags.1.n", "1", nil},
		{"device.tags.2.1", "z", nil},
		{"device.tags.3", "", ErrMissing},
		{"device.tags.-1", "", ErrMissing},
		{"device.tags.00", "", ErrMissing},
		{"device.tags.n", "", ErrMissing},
		{"device.tags.#", "", ErrMissing},
		{"device.tags.2.1.0", "", ErrMissing},
		{"device.deep.er.est", "true", nil},
		{"device.er", "", ErrMissing},
		{"device.id.x", "", ErrMissing},
		{"est", "", ErrMissing},
		{"n.y", "", ErrMissing},
		{"s", "a\"\\/\b\f\n\r\té€😀\uFFFD.", nil},
		{"é", "ü", nil},
		{`a\.b`, "dot", nil},
		{"a.b", "", ErrMissing},
		{`back\\slash`, "1", nil},
		{`\@type`, "at", nil},
		{"twice", `{"x":1}`, nil},
		{"twice.x", "1", nil},
		{"twice.y", "", ErrMissing},
		{"n", "", ErrMissing},
		{"f", "-1.50e+3", nil},
		{"e", "{}", nil},
		{"e.x", "", ErrMissing},
		{"l", "[]", nil},
		{"l.0", "", ErrMissing},
		{"0", "zero", nil},
		{"*", "star", nil},
		{"i?", "", ErrMissing},
		{"a|b", "pipe", nil},
		{"#", "hash", nil},
		{"device|id", "", ErrMissing},
		{"device.tags.#(n==1)", "", ErrMissing},
		{"device.@keys", "", ErrMissing},
		{"escaped", "yes", nil},
		{"o.x", "1", nil},
		{"o.y", "[ 2 ]", nil},
		{"o.y.0", "2", nil},
		{"last", "end", nil},
		{"LAST", "", ErrMissing},
		{"@key", "k\x00\xff", nil},
		{"@topic", "events", nil},
		{"@partition", "3", nil},
		{"@offset", "1099511627776", nil},
		{"@timestamp", "-1", nil},
		{"@header.trace", "last", nil},
		{"@header.a.b", "", nil},
		{"@header.null", "", ErrMissing},
		{"@header.none", "", ErrMissing},
	} {
		f, err := Parse(c.ref)
		if err != nil {
			t.Errorf("%s: %v", c.ref, err)
			continue
		}
		if f.String() != c.ref || f.IsZero() {
			t.Errorf("%s reads %q, zero %t", c.ref, f, f.IsZero())
		}
		got, err := f.Text([]byte("kept "), &r)
		if string(got) != "kept "+c.want || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: got %q, %v, want %q, %v", c.ref, got, err, c.want, c.err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), c.ref+": ") {
			t.Errorf("%s: the error does not name it: %v", c.ref, err)
		}
	}
}

func TestTextOfOtherValues(t *testing.T) {
	for _, c := range []struct {
		value, ref string
		want, err  string
	}{
		{`[["a"],["b","c"]]`, "1.1", "c", ""},
		{`[1]`, "x", "", "x: no such field"},
		{`"id"`, "id", "", "id: no such field"},
		{`7`, "id", "", "id: no such field"},
		{`null`, "id", "", "id: no such field"},
		{``, "id", "", "id: the value is not JSON: it is empty"},
		{`{"id":1`, "id", "", "id: the value is not JSON: it ends too early, after 7 bytes"},
		{`{"id":1}}`, "id", "", `id: the value is not JSON: byte 8, '}', can't stand there`},
		{"{\"id\":1,\"x\":\"\xff\"}", "id", "", "id: the value is not JSON: byte 13 is not UTF-8"},
		{"\x00\x01", "id", "", `id: the value is not JSON: byte 0, '\x00', can't stand there`},
	} {
		f, err := Parse(c.ref)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Text(nil, &record.Record{Value: []byte(c.value)})
		if string(got) != c.want || (err != nil || c.err != "") && (err == nil || err.Error() != c.err) {
			t.Errorf("%s in %s: got %q, %v, want %q, %s", c.ref, c.value, got, err, c.want, c.err)
		}
	}
	f, err := Parse("id")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Text(nil, &record.Record{}); !errors.Is(err, ErrNotJSON) || err.Error() != "id: the value is not JSON: there is none" {
		t.Errorf("a tombstone: %v", err)
	}
	if f, err = Parse("@key"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Text(nil, &record.Record{}); !errors.Is(err, ErrMissing) {
		t.Errorf("no key: %v", err)
	}
	if got, err := f.Text(nil, &record.Record{Key: []byte{}}); err != nil || len(got) != 0 {
		t.Errorf("an empty key: %q, %v", got, err)
	}
	if _, err := new(Ref).Text(nil, &record.Record{}); !errors.Is(err, ErrMissing) || !(Ref{}).IsZero() {
		t.Errorf("no reference: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":             `field "": a name is empty`,
		".":            `field ".": a name is empty`,
		"a..b":         `field "a..b": a name is empty`,
		".a":           `field ".a": a name is empty`,
		"a.":           `field "a.": a name is empty`,
		"@":            `field "@" is not known`,
		"@Key":         `field "@Key" is not known`,
		"@keys":        `field "@keys" is not known`,
		"@header":      `field "@header" is not known`,
		"@header.":     `field "@header." lacks the header's name`,
		`a\n`:          `field "a\\n": the backslash at 1 stands before none of`,
		`a\`:           `field "a\\": the backslash at 1 stands before none of`,
		`a\@`:          `field "a\\@": the backslash at 1 stands before none of`,
		"a\xff":        `field "a\xff" is not UTF-8`,
		"@header.\xff": `field "@header.\xff" is not UTF-8`,
	} {
		if f, err := Parse(text); err == nil || !strings.HasPrefix(err.Error(), want) || !f.IsZero() {
			t.Errorf("%q: got %+v, %v, want %s", text, f, err, want)
		}
	}
}

func TestTextAllocatesNothing(t *testing.T) {
	r := record.Record{Value: []byte(`{"a":{"es\u0063aped":"some \"text\""},"n":1}`)}
	buf := make([]byte, 0, 100)
	for _, ref := range []string{"a.escaped", "a", "n", "missing", "a.missing", "@offset", "@key"} {
		f, err := Parse(ref)
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() { buf, _ = f.Text(buf[:0], &r) }); n != 0 {
			t.Errorf("%s: %v allocations", ref, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() { ValidJSON(r.Value) }); n != 0 {
		t.Errorf("%v allocations to validate", n)
	}
}
