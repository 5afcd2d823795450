package buffer

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/internal/fuzztest"
)

func TestAnswers(t *testing.T) {
	a := answers{p: []byte("+OK\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n*2\r\n$1\r\nx\r\n:5\r\n-NOGROUP no\r\n$2\r\n12\r\n*2\r\n*1\r\n-ERR in\r\n$0\r\n\r\n-OOM command\r\n:1\r\n")}
	text := func(want string, null bool) {
		t.Helper()
		s := must1(a.text())(t)
		equal(t, []any{string(s), s == nil}, []any{want, null})
	}
	text("OK", false)
	n, ok, err := a.integer()
	noError(t, err)
	equal(t, []any{n, ok}, []any{int64(-7), true})
	text("a\r\n", false)
	_, ok, err = a.integer()
	noError(t, err)
	equal(t, ok, false)
	equal(t, must1(a.array())(t), -1)
	equal(t, must1(a.array())(t), 2)
	text("x", false)
	noError(t, a.skip())
	if _, err := a.array(); !lostGroup(err) {
		t.Fatal(err)
	}
	n, _, err = a.integer()
	noError(t, err)
	equal(t, n, 12)
	noError(t, a.skip()) // an error inside an answer is not the answer's
	if err := a.skip(); !fullMemory(err) {
		t.Fatal(err)
	}
	text("1", false)
	for range 2 {
		if _, err := a.text(); !errors.Is(err, errAnswer) {
			t.Fatal(err)
		}
	}

	for _, bad := range []string{"", "\n", "\r\n", "+", "+OK\n", "$5\r\nabc\r\n", "$3\r\nabcde", "$3\r\nabc", "$-2\r\n", "$x\r\n", "*9999999999\r\n", "*99999999999999999999\r\n", ":1\r\n", "*1\r\n"} {
		a := answers{p: []byte(bad)}
		if n, err := a.array(); err == nil && bad != "*1\r\n" {
			t.Errorf("%q is an array of %d", bad, n)
		}
		a = answers{p: []byte(bad)}
		if err := a.skip(); err == nil && bad != ":1\r\n" {
			t.Errorf("%q is skipped", bad)
		}
		a = answers{p: []byte(bad)}
		if s, err := a.text(); err == nil && bad != ":1\r\n" {
			t.Errorf("%q is the text %q", bad, s)
		}
	}
}

func TestNumber(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "-0": 0, "12": 12, "-12": -12, "9223372036854775807": 1<<63 - 1, "007": 7} {
		if n, ok := number([]byte(s)); !ok || n != want {
			t.Errorf("%q: %d %v", s, n, ok)
		}
	}
	for _, s := range []string{"", "-", "--1", "+1", "1.0", "9223372036854775808", "99999999999999999999", "1a", " 1"} {
		if n, ok := number([]byte(s)); ok {
			t.Errorf("%q: %d", s, n)
		}
	}
	for s, want := range map[string]bool{"1-2": true, "0-0": true, "1": false, "-1-2": false, "1-": false, "-": false, "1-2-3": false} {
		if _, _, ok := entryID([]byte(s)); ok != want {
			t.Errorf("%q: %v", s, ok)
		}
	}
}

// The sink keeps what it needs again and again, unless its memory is shared.
func TestSink(t *testing.T) {
	var s sink
	put := func(n int) {
		s.reset()
		_, _ = s.Write([]byte("head\r\n"))
		if _, err := io.CopyN(&s, bytes.NewReader(make([]byte, n)), int64(n)); err != nil {
			t.Fatal(err)
		}
		equal(t, len(s.p), 6+n)
	}
	put(100)
	equal(t, cap(s.p), leastSink)
	put(1 << 20)
	s.release()
	if cap(s.p) < 1<<20 {
		t.Errorf("given back: %d", cap(s.p))
	}
	s = sink{shared: true}
	for _, n := range []int{100, 1 << 20, 2 * mostLent} {
		put(n)
		s.release()
		equal(t, cap(s.p), 0)
		if p := answerMemory.Get().(*[]byte); cap(*p) > mostLent || len(*p) > 0 {
			t.Errorf("%d of %d bytes are kept for others", len(*p), cap(*p))
		}
	}
	if _, err := io.CopyN(&s, strings.NewReader("short"), 10); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if _, err := s.ReadFrom(strings.NewReader("x")); err == nil {
		t.Error("a reader without limit")
	}
}

// FuzzRead gives a Reader arbitrary bytes as Redis's answer.
func FuzzRead(f *testing.F) {
	good := "*2\r\n$1\r\n5\r\n$1\r\n6\r\n*3\r\n$2\r\n20\r\n$2\r\n15\r\n$2\r\n30\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*8\r\n$1\r\nf\r\n$1\r\n5\r\n$1\r\nn\r\n$2\r\n15\r\n$1\r\na\r\n$1\r\n0\r\n$1\r\nb\r\n$3\r\nxyz\r\n" +
		"*3\r\n$-1\r\n$-1\r\n$-1\r\n*1\r\n*2\r\n$27\r\nwindrow:{s/t/0}:lane:u/0:x\r\n*0\r\n"
	f.Add([]byte(good), false)
	f.Add([]byte(strings.Replace(good, "$27\r\nwindrow:{s/t/0}:lane:u/0:x", "$24\r\nwindrow:{s/t/0}:lane:u/0", 1)), false)
	f.Add([]byte("*2\r\n$1\r\n5\r\n$1\r\n6\r\n*1\r\n*2\r\n$3\r\n9-9\r\n*4\r\n$4\r\ndata\r\n$1\r\n{\r\n$2\r\nts\r\n$1\r\nx\r\n"), true)
	f.Add([]byte("*2\r\n$1\r\n5\r\n$1\r\n6\r\n-NOGROUP\r\n"), true)
	for range 5 { // cut and flipped
		b := []byte(good)
		b[rand.IntN(len(b))] ^= byte(1 << rand.IntN(8))
		f.Add(b[:rand.IntN(len(b))], false)
	}
	b, err := Open(Options{URL: "redis://127.0.0.1:1", Stream: "s"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, p []byte, direct bool) {
		var r *Reader
		if direct {
			r = b.Reader("p", "w", Direct, []string{DirectLane})
		} else {
			r = b.Reader("p", "w", "t/0", []string{"t/0", "u/0"})
			r.lanes[1].scan = false
		}
		m := &r.mem
		m.out.p = bytes.Clone(p)
		var err error
		fuzztest.Bounded(t, 1<<20+200*len(p), func() { err = r.take(m, 10) })
		if err != nil {
			return
		}
		n := 0
		for _, l := range m.turn.Lanes {
			for _, e := range l.Entries {
				n++
				if e.Next <= e.From || e.From < 0 && !direct {
					t.Errorf("[%d, %d)", e.From, e.Next)
				}
				if (e.Record != nil) != direct {
					t.Error("a record where batches are, or the other way round")
				}
			}
		}
		if n > len(p) {
			t.Errorf("%d entries from %d bytes", n, len(p))
		}
		_ = executed(&answers{p: p}, 2)
		if (&answers{p: p}).skip() == nil && len(p) == 0 {
			t.Error("nothing is skipped")
		}
	})
}
