package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// Whatever the bytes, what is appended is JSON of the announced size that gives them back.
func FuzzValue(f *testing.F) {
	for _, s := range []string{`{"a":1}`, "plain", "\x00\x1f\x7f\u2028\"\\\n\r\t\b", "\xff\xfe", "", " 1 ", "é😀"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		for _, form := range []Form{FormOf(v), textForm(v)} {
			out := AppendAs([]byte("x"), v, form)[1:]
			if n := sizeAs(v, form); n != len(out) {
				t.Errorf("%q: announced %d bytes, appended %d", v, n, len(out))
			}
			if !json.Valid(out) || !utf8.Valid(out) {
				t.Fatalf("%q became %q", v, out)
			}
			switch form {
			case JSON:
				if !bytes.Equal(out, v) {
					t.Errorf("%q became %q", v, out)
				}
			case Text:
				var back string
				if err := json.Unmarshal(out, &back); err != nil || back != string(v) {
					t.Errorf("%q became %q (%v)", v, out, err)
				}
			default:
				var back map[string]string
				if err := json.Unmarshal(out, &back); err != nil || back["$base64"] != base64.StdEncoding.EncodeToString(v) {
					t.Errorf("%q became %q (%v)", v, out, err)
				}
			}
		}
	})
}

func TestAbsentIsNull(t *testing.T) {
	for _, out := range [][]byte{AppendAs(nil, nil, FormOf(nil)), AppendText(nil, nil)} {
		if string(out) != "null" {
			t.Errorf("got %s", out)
		}
	}
	if out := AppendAs(nil, []byte{}, FormOf([]byte{})); string(out) != `""` {
		t.Errorf("an empty value became %s", out)
	}
}
