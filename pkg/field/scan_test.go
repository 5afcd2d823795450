package field

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/windrow-io/windrow/pkg/record"
)

// samples are JSON and nearly JSON: each production of the grammar, right and wrong.
var samples = []string{
	``, ` `, `null`, `true`, `false`, `nul`, `nulll`, `truE`, `tru`, `fals`, `falsee`, `Null`,
	`0`, `-0`, `1`, `-1`, `12`, `01`, `-01`, `-`, `--1`, `+1`, `1.`, `.1`, `1.5`, `1.50`, `0.0`, `1e5`, `1E+5`, `1e-05`, `1e`, `1e+`, `1.e5`, `1.5e3.2`, `0x1`, `1_0`, `1 2`, `Infinity`, `NaN`,
	`12345678901234567890123456789`, `1234567`, `12345678`, `123456789`, `0.12345678`, `0.123456789e12345678`, `12345678.`, `1234567a`, `12345678a`, `12345678e`,
	`""`, `"`, `"a`, `"a"`, `"a"b`, `"a" "b"`, `'a'`, `"\""`, `"\\"`, `"\/\b\f\n\r\t"`, `"\x"`, `"\`, `"\"`, `"\u12"`, `"\u123"`, `"\u1234"`, `"\u12G4"`, `"\uabCD"`, `"\ud800"`, `"\ud800\udc00"`, `"\u`, `"\u1234`,
	"\"\n\"", "\"\x00\"", "\"\x1f\"", "\"\x7f\"", "\"1234567\t\"", "\"12345678\n\"", "\"é\"", "\"\xff\"", "\"12345678\xc3\"", "\"\xed\xa0\x80\"", "é", "\ufeff1",
	`"12345678"`, `"1234567"`, `"123456789012345"`, `"1234567890123456"`, `"12345678\"123456789"`, `"1234567\\"`, `"1234567\`,
	`[]`, `[ ]`, `[1]`, `[1,2]`, `[1,]`, `[,1]`, `[1 2]`, `[`, `]`, `[1`, `[1}`, `[[[]]]`, `[[[]]`, `[]]`, `[null,true,false,0,"",{},[]]`,
	`{}`, `{ }`, `{"a":1}`, `{"a":1,"b":2}`, `{"a":1,}`, `{,"a":1}`, `{"a"}`, `{"a":}`, `{"a" 1}`, `{a:1}`, `{1:1}`, `{"a":1 "b":2}`, `{"a"::1}`, `{"a":1]`, `{`, `}`, `{"a`, `{"a"`, `{"a":`, `{"a":1`, `{"a":{}}`, `{"a":[{"b":[{}]}]}`,
	" {\t\"a\" :\r\n1 , \"b\":[ 1 , 2 ] } ", "\v1", "\f1", "1\x00", "1,", ":1", "\u00a01",
	`{"a":1}{"a":1}`, `{"a":1},`, `//`, `/**/1`,
}

func TestValidJSON(t *testing.T) {
	for _, s := range samples {
		checkValid(t, []byte(s))
	}
}

// checkValid holds ValidJSON against encoding/json.
func checkValid(t *testing.T, p []byte) {
	t.Helper()
	if got, want := ValidJSON(p), json.Valid(p) && utf8.Valid(p); got != want {
		t.Fatalf("%q: valid is %t, want %t", p, got, want)
	}
}

// TestSpoiltValues puts characters that mean something in the place of each byte of a value, and cuts it off there.
func TestSpoiltValues(t *testing.T) {
	for _, value := range []string{
		string(sensorValues()[0]),
		` { "a" : [ 1 , -2.5e+10 , "\"\u00e9\\" , true , null , { } , [ ] ] , "é" : "ünïcode" } `,
	} {
		for i := range value {
			checkValid(t, []byte(value[:i]))
			checkValid(t, []byte(value[:i]+value[i+1:]))
			for _, c := range []byte("\"\\{}[],:.-+eEu0a1tfn /\n\x00\x1f\x7f\x80\xc3\xff") {
				checkValid(t, []byte(value[:i]+string([]byte{c})+value[i+1:]))
				checkValid(t, []byte(value[:i]+string([]byte{c})+value[i:]))
			}
		}
	}
}

func TestDepth(t *testing.T) {
	for _, n := range []int{1, 2, 63, 64, 65, 66, 127, 128, 129, 130, 1000, maxDepth - 1, maxDepth, maxDepth + 1, 20000} {
		for _, c := range []struct{ open, middle, close string }{{"[", "", "]"}, {`{"a":`, "1", "}"}, {`[{"a":`, "[1]", "}]"}, {`[[1,2],{"b":{},"a":`, "1", "}]"}} {
			p := []byte(strings.Repeat(c.open, n) + c.middle + strings.Repeat(c.close, n))
			checkValid(t, p)
			if len(p) > 3 && n < 200 {
				checkValid(t, p[:len(p)-1])
				checkValid(t, append(p, c.close...))
				for i := range p {
					if p[i] == '}' || p[i] == ']' {
						wrong := bytes.Clone(p)
						wrong[i] ^= '}' ^ ']'
						checkValid(t, wrong)
					}
				}
			}
		}
	}
}

func TestPathIntoDepth(t *testing.T) {
	const n = 200
	value := strings.Repeat(`{"x":[0],"a":`, n) + `"found"` + strings.Repeat(`,"b":{"a":1}}`, n)
	f, err := Parse(strings.TrimSuffix(strings.Repeat("a.", n), "."))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.Text(nil, &record.Record{Value: []byte(value)}); err != nil || string(got) != "found" {
		t.Fatalf("got %q, %v", got, err)
	}
}

// lookup is what a path means, by encoding/json's tokens: the raw value, nil if there is none.
func lookup(p []byte, path []segment) json.RawMessage {
	if len(path) == 0 {
		return bytes.TrimSpace(p)
	}
	d := json.NewDecoder(bytes.NewReader(p))
	open, err := d.Token()
	if err != nil {
		return nil
	}
	for i := 0; d.More(); i++ {
		var name any = strconv.Itoa(i)
		if open == json.Delim('{') {
			if name, err = d.Token(); err != nil {
				return nil
			}
		} else if open != json.Delim('[') {
			return nil
		}
		var v json.RawMessage
		if d.Decode(&v) != nil {
			return nil
		}
		if name == path[0].name {
			return lookup(v, path[1:])
		}
	}
	return nil
}

// checkText holds Ref.Text against encoding/json.
func checkText(t *testing.T, text string, p []byte) {
	t.Helper()
	f, err := Parse(text)
	if err != nil || f.kind != inValue {
		return
	}
	got, err := f.Text(nil, &record.Record{Value: p})
	if !json.Valid(p) || !utf8.Valid(p) {
		if !errors.Is(err, ErrNotJSON) || len(got) != 0 {
			t.Fatalf("%s in %q: got %q, %v, want %v", text, p, got, err, ErrNotJSON)
		}
		return
	}
	raw := lookup(p, f.path)
	if raw == nil || string(raw) == "null" {
		if !errors.Is(err, ErrMissing) || len(got) != 0 {
			t.Fatalf("%s in %q: got %q, %v, want %v", text, p, got, err, ErrMissing)
		}
		return
	}
	want := string(raw)
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
	}
	if err != nil || string(got) != want {
		t.Fatalf("%s in %q: got %q, %v, want %q", text, p, got, err, want)
	}
}

func FuzzValidJSON(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s))
	}
	for _, v := range sensorValues()[:3] {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		checkValid(t, p)
		// The same in another place, and in a longer value.
		checkValid(t, fmt.Appendf(nil, `{"name":"value","n":[1,%s],"s":"1234567890"}`, p))
		checkValid(t, append(append([]byte(`["12345`), p...), `"]`...))
	})
}

func FuzzText(f *testing.F) {
	for _, v := range sensorValues()[:2] {
		for _, path := range []string{"device.id", "tags.1", "message", "no.such"} {
			f.Add(path, v)
		}
	}
	f.Add("a.b", []byte(`{"a":1,"x":{"b":2}}`))
	f.Add("a.b", []byte(`{"a":{"c":{"b":3}},"b":{"b":2},"a":{"b":2}}`))
	f.Add("0.a", []byte(`[{"a":"\ud83d\ude00\udc00\"\u0000"},1]`))
	f.Add(`\u0061`, []byte(`{"\\u0061":1,"\u0061":2}`))
	f.Add("é", []byte(`{"é":"ü","\u00e9":1}`))
	f.Fuzz(func(t *testing.T, text string, p []byte) {
		checkText(t, text, p)
	})
}
