package field_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/record"
)

// TestScannerFindsTheSame: whatever values come, and whatever came before them, references that share a scanner read what
// they do alone.
func TestScannerFindsTheSame(t *testing.T) {
	paths := []string{"a", "b.c", "b.d", "list.1", "list.0.x", "none", "b", "@key", "text", "word"}
	var s field.Scanner
	var alone, bound []field.Ref
	for _, p := range paths {
		ref, err := field.Parse(p)
		if err != nil {
			t.Fatal(err)
		}
		alone, bound = append(alone, ref), append(bound, s.Bind(ref))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	texts := []string{"", "x", "device-17", `with \"quotes\" and \u00e9`, "über", "\xff", "a text that is longer than eight bytes"}
	words := []string{"true", "false", "null"}
	forms := []func() string{
		func() string {
			return fmt.Sprintf(`{"a":%d,"b":{"c":"%s","d":%g},"word":%s}`, rng.IntN(100000), texts[rng.IntN(len(texts))], rng.NormFloat64(), words[rng.IntN(3)])
		},
		func() string {
			return fmt.Sprintf(`{"list":[{"x":%d}, %d],"text":"%s" , "a":%s}`, rng.IntN(10), rng.IntN(1000)-500, texts[rng.IntN(len(texts))], words[rng.IntN(3)])
		},
		func() string { return fmt.Sprintf(`{"a":%d,"a":"twice","b":[%d]}`, rng.IntN(5), rng.IntN(5)) },
		func() string { return fmt.Sprintf(`{"b":null,"text":%d`, rng.IntN(5)) },
		func() string { return fmt.Sprint(rng.IntN(1e9)) },
		func() string { return "" },
	}
	form, memory := 0, make([]byte, 0, 1000)
	fields := 0
	for range 5_000 {
		if rng.IntN(30) == 0 {
			form = rng.IntN(len(forms))
		}
		memory = append(memory[:0], forms[form]()...) // the same memory for all
		if len(memory) > 0 && rng.IntN(20) == 0 {
			memory[rng.IntN(len(memory))] = byte(rng.IntN(256))
		}
		r := &record.Record{Key: []byte("k"), Value: memory}
		s.Next(memory)
		for i := range paths {
			want, wantErr := alone[i].JSON(nil, r)
			got, err := bound[i].JSON(nil, r)
			if !bytes.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("%s of %q is %q %v, want %q %v", paths[i], memory, got, err, want, wantErr)
			}
			want, wantErr = alone[i].Text(nil, r)
			if got, err = bound[i].Text(nil, r); !bytes.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("%s of %q is %q %v, want %q %v", paths[i], memory, got, err, want, wantErr)
			}
			if err == nil {
				fields++
			}
		}
	}
	if fields < 8_000 {
		t.Errorf("%d fields were found: too few to compare", fields)
	}
}

// TestScannerForgets: once told so, it does not take another value for the one that was in the same memory.
func TestScannerForgets(t *testing.T) {
	ref, err := field.Parse("a")
	if err != nil {
		t.Fatal(err)
	}
	var s field.Scanner
	ref = s.Bind(ref)
	memory := []byte(`{"a":12345,"b":1}`)
	for range 3 {
		s.Next(memory)
	}
	s.Next(nil)
	copy(memory, `{"b":1,"a":67890}`)
	if got, err := ref.Text(nil, &record.Record{Value: memory}); string(got) != "67890" || err != nil {
		t.Errorf("%s %v", got, err)
	}
}
