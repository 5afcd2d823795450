package mongo

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// doc converts {"v":value} and has the driver read it back.
func doc(t *testing.T, value string) bson.D {
	t.Helper()
	var c converter
	b, at := begin(nil)
	b = end(c.valueField(b, "v", []byte(value)), at)
	if err := bson.Raw(b).Validate(); err != nil {
		t.Fatalf("%.200q: %v", value, err)
	}
	var d bson.D
	if err := bson.Unmarshal(b, &d); err != nil {
		t.Fatalf("%.200q: %v", value, err)
	}
	return d
}

func TestConvert(t *testing.T) {
	for in, want := range map[string]any{
		"1": int64(1), "-7": int64(-7), "9223372036854775807": int64(1<<63 - 1), "9223372036854775808": 9223372036854775808.0,
		"1.0": 1.0, "-0.5e2": -50.0, "1e999": "1e999", "true": true, "false": false, "null": nil,
		`"a\n\u00e9\ud83d\ude00"`: "a\né😀", `"\ud800"`: "\uFFFD", `"nul\u0000l"`: "nul\x00l", `""`: "",
		"not json": "not json", "": "", "\xff": bson.Binary{Data: []byte{0xff}},
		`[]`: bson.A{}, `{}`: bson.D{}, " [ 1 , [ ] , { } ] ": bson.A{int64(1), bson.A{}, bson.D{}},
		`{"a":1,"b":{"c":[true]}}`:                     bson.D{{Key: "a", Value: int64(1)}, {Key: "b", Value: bson.D{{Key: "c", Value: bson.A{true}}}}},
		`{"$a":1,"b.c.d":2,"e\u0000":3,"":4,"f$":5}`:   bson.D{{Key: "＄a", Value: int64(1)}, {Key: "b．c．d", Value: int64(2)}, {Key: "e␀", Value: int64(3)}, {Key: "", Value: int64(4)}, {Key: "f$", Value: int64(5)}},
		`{"a":1,"b":2,"a":{"x":1,"x":2},"c":3,"b":4}`:  bson.D{{Key: "a", Value: bson.D{{Key: "x", Value: int64(2)}}}, {Key: "c", Value: int64(3)}, {Key: "b", Value: int64(4)}},
		`{"a":[{"b":1,"b":[2]}],"\u0061":"by escape"}`: bson.D{{Key: "a", Value: "by escape"}},
	} {
		if got := doc(t, in)[0].Value; fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
			t.Errorf("%s\n got %#v\nwant %#v", in, got, want)
		}
	}
}

// Objects with many members take another way to the same end.
func TestConvertManyMembers(t *testing.T) {
	var members []string
	for i := range 300 {
		members = append(members, fmt.Sprintf(`"m%d":%d`, i%100, i))
	}
	got := doc(t, "{"+strings.Join(members, ",")+"}")[0].Value.(bson.D)
	if len(got) != 100 {
		t.Fatalf("%d members, want 100", len(got))
	}
	for i, e := range got {
		if e.Key != fmt.Sprintf("m%d", i) || e.Value != int64(200+i) {
			t.Errorf("member %d is %v", i, e)
		}
	}
}

func TestConvertDeep(t *testing.T) {
	const depth = 4000
	in := strings.Repeat(`{"a":[`, depth) + `"]}"` + strings.Repeat("]}", depth)
	v := doc(t, in)[0].Value
	at := 0
	for ; ; at++ {
		if s, ok := v.(string); ok {
			if want := in[len(`{"a":[`)*at/2 : len(in)-len(`]}`)*at/2]; s != want {
				t.Errorf("the text at depth %d has %d bytes, want %d", at, len(s), len(want))
			}
			break
		}
		switch x := v.(type) {
		case bson.D:
			v = x[0].Value
		case bson.A:
			v = x[0]
		}
	}
	if at != maxDepth {
		t.Errorf("nested %d deep, want %d", at, maxDepth)
	}
}

// Whatever is valid JSON becomes valid BSON that says the same as encoding/json does.
func FuzzConvert(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,{"b":null}],"a":2}`, ` [ "\u0000" , {} ] `, `"\\\""`, `{"$":{".":[]}}`, `-0`, `1E+2`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		d := doc(t, string(p))
		if !json.Valid(p) {
			return
		}
		var want any
		if err := json.Unmarshal(p, &want); err != nil {
			return // a number beyond float64
		}
		switch got := d[0].Value.(type) {
		case bson.D:
			m := want.(map[string]any)
			names := map[string]bool{}
			for k := range m {
				names[string(fieldName([]byte(k)))] = true
			}
			if len(got) != len(names) {
				t.Errorf("%d members, want %d", len(got), len(names))
			}
		case bson.A:
			if len(got) != len(want.([]any)) {
				t.Errorf("%d elements, want %d", len(got), len(want.([]any)))
			}
		case string:
			if w, ok := want.(string); ok && got != w {
				t.Errorf("got %q, want %q", got, w)
			}
		}
	})
}
