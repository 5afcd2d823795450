package field

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

// checkAlike holds a Checker that knows the shape of one value against encoding/json on another.
func checkAlike(t *testing.T, known, p []byte) {
	t.Helper()
	var c Checker
	c.Valid(known)
	if got, want := c.Valid(p), json.Valid(p) && utf8.Valid(p); got != want {
		t.Fatalf("after %q %q is valid: %t, want %t", known, p, got, want)
	}
}

func TestCheckerSamples(t *testing.T) {
	for _, known := range samples {
		for _, s := range samples {
			checkAlike(t, []byte(known), []byte(s))
			checkAlike(t, fmt.Appendf(nil, `{"a" : [%s, "x%[1]sy"]}`, known), fmt.Appendf(nil, `{"a" : [%s, "x%[1]sy"]}`, s))
		}
	}
}

// TestSpoiltShapes puts characters that mean something in the place of each byte of a value whose shape is known.
func TestSpoiltShapes(t *testing.T) {
	for _, value := range []string{
		string(sensorValues()[0]),
		` { "a" : [ 1 , -2.5e+10 , "\"\u00e9\\" , true , null , { } , [ ] ] , "é" : "ünïcode" } `,
		`{"n":[0,1,12345678,-0.5,1e5,1.5E-7],"t":["","1234567","12345678","123456789"]}`,
	} {
		for i := range value {
			checkAlike(t, []byte(value), []byte(value[:i]))
			checkAlike(t, []byte(value), []byte(value[:i]+value[i+1:]))
			for _, c := range []byte("\"\\{}[],:.-+eEu0a1tfn /\n\x00\x1f\x7f\x80\xc3\xff") {
				checkAlike(t, []byte(value), []byte(value[:i]+string([]byte{c})+value[i+1:]))
				checkAlike(t, []byte(value), []byte(value[:i]+string([]byte{c})+value[i:]))
			}
		}
	}
}

// TestShapeIsUsed: nothing of a value of a known shape is scanned.
func TestShapeIsUsed(t *testing.T) {
	for _, same := range [][2]string{
		{`{"a":1,"b":"x"}`, `{"a":-12.5e3,"b":"a text with \"escapes\" and ünïcode, longer than eight bytes"}`},
		{`{"a":true,"b":[]}`, `{"a":null,"b":[]}`},
		{`{"a":false,"b":[]}`, `{"a":true,"b":[]}`},
		{`12345678`, `1234567890.123456789`},
	} {
		var c Checker
		c.Valid([]byte(same[0]))
		if !c.fits([]byte(same[1]), nil) {
			t.Errorf("%s has not the shape of %s", same[1], same[0])
		}
	}
	for _, v := range sensorValues()[1:] {
		var c Checker
		c.Valid(sensorValues()[0])
		if !c.fits(v, nil) {
			t.Errorf("%s has not the shape of %s", v, sensorValues()[0])
		}
	}
}

// TestShapeIsLearned: a Checker finds the shape that most values have, and gives up on values without one.
func TestShapeIsLearned(t *testing.T) {
	var c Checker
	for i := range 20 {
		c.Valid(fmt.Appendf(nil, `{"other%d":1}`, i))
	}
	v := []byte(`{"the":"one","that":"comes"}`)
	for range 2 * maxWait {
		c.Valid(v)
	}
	if !c.fits(v, nil) || c.wait != 0 {
		t.Errorf("the shape is not learned: %+v", c)
	}
	for i := range 4 * maxWait {
		c.Valid(fmt.Appendf(nil, `{"other%d":1}`, i))
	}
	if c.wait != maxWait {
		t.Errorf("it learns after %d values, want %d", c.wait, maxWait)
	}
}

func TestLargeShape(t *testing.T) {
	for _, v := range []string{`["` + strings.Repeat(`x`, 1<<16) + `"]`, `[1` + strings.Repeat(`,1`, 1<<16) + `]`, `[` + strings.Repeat(` `, 1<<16) + `]`} {
		checkAlike(t, []byte(v), []byte(v))
		checkAlike(t, []byte(v), []byte(v[:len(v)-1]))
		var c Checker
		c.Valid([]byte(v))
		if len(c.shape) > maxSteps {
			t.Errorf("a shape of %d steps", len(c.shape))
		}
	}
}

func TestCheckerAllocations(t *testing.T) {
	vs := sensorValues()
	var c Checker
	c.Valid(vs[0])
	if n := testing.AllocsPerRun(100, func() {
		for _, v := range vs {
			c.Valid(v)
		}
	}); n != 0 {
		t.Errorf("%d values take %v allocations, want 0", len(vs), n)
	}
}

func FuzzChecker(f *testing.F) {
	for i, s := range samples {
		f.Add([]byte(s), []byte(samples[(i+1)%len(samples)]))
	}
	vs := sensorValues()
	f.Add(vs[0], vs[1])
	f.Add([]byte(`{"a":"12345678","b":-1.5e10,"c":[true,null]}`), []byte(`{"a":"é\n","b":0,"c":[false,true]}`))
	f.Fuzz(func(t *testing.T, known, p []byte) {
		checkAlike(t, known, p)
		checkAlike(t, fmt.Appendf(nil, `{"name":"value","n":[1,%s],"s":"1234567890"}`, known), fmt.Appendf(nil, `{"name":"other","n":[-2.5,%s],"s":""}`, p))
		checkAlike(t, fmt.Appendf(nil, `["%s",%s]`, known, known), fmt.Appendf(nil, `["%s",%s]`, p, p))
	})
}
