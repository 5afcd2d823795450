package expression_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/expression"
	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/record"
)

func value(text string) *record.Record {
	return &record.Record{Topic: "t", Partition: 3, Offset: 7, Timestamp: 1000, Key: []byte("k"), Value: []byte(text)}
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		filter, value string
		wanted        bool
		err           error
	}{
		{`value.v > 3`, `{"v":4}`, true, nil},
		{`value.v > 3`, `{"v":3}`, false, nil},
		{`value.v % 2 == 0`, `{"v":9007199254740993}`, false, nil}, // beyond what a float could hold
		{`value.v > 3`, `{"v":3.5}`, true, nil},
		{`value.v > 3`, `{}`, false, expression.ErrFailed},
		{`value.v > 3`, `{"v":"4"}`, false, expression.ErrFailed},
		{`value.v > 3`, `no json`, false, field.ErrNotJSON},
		{`value.v > 3`, `{"v":4} more`, false, field.ErrNotJSON},
		{`(value?.a?.b ?? 5) == 5`, `{}`, true, nil},
		{`value.v`, `{"v":true}`, true, nil},
		{`value.v`, `{"v":1}`, false, expression.ErrFailed},
		{`value == nil`, `null`, true, nil},
		{`key == "k" and topic == "t" and partition == 3 and offset == 7 and timestamp == 1000`, `1`, true, nil},
		{`headers["a"] == nil or headers.a == ""`, `1`, true, nil},
		{`any(value, # == 2) and value[0] == 1`, `[1,2]`, true, nil},
		{`value matches "^a+$"`, `"aaa"`, true, nil},
	} {
		f, err := expression.NewFilter(c.filter)
		if err != nil {
			t.Errorf("%s: %v", c.filter, err)
			continue
		}
		wanted, err := f.Wanted(value(c.value))
		if wanted != c.wanted || !errors.Is(err, c.err) || err != nil && (!errors.Is(err, expression.ErrFailed) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s of %s: %v %v, want %v %v", c.filter, c.value, wanted, err, c.wanted, c.err)
		}
	}
}

func TestMap(t *testing.T) {
	for _, c := range []struct{ mapping, value, want string }{
		{`{b: value.x, a: key, n: offset + 1}`, `{"x":[1,2.50,"<&>"]}`, `{"a":"k","b":[1,2.5,"<&>"],"n":8}`},
		{`value`, `9007199254740993`, `9007199254740993`},
		{`map(value, # * 2)`, `[1,2]`, `[2,4]`},
		{`nil`, `1`, `null`},
		{`value / 0`, `1`, ``},
		{`value.x.y`, `{}`, ``},
		{`repeat("x", 2000000)`, `1`, ``},
	} {
		m, err := expression.NewMap(c.mapping)
		if err != nil {
			t.Errorf("%s: %v", c.mapping, err)
			continue
		}
		got, err := m.AppendValue([]byte("before"), value(c.value))
		if c.want == "" {
			if !errors.Is(err, expression.ErrFailed) {
				t.Errorf("%s of %s: %s %v, want that it fails", c.mapping, c.value, got, err)
			}
			continue
		}
		if string(got) != "before"+c.want || err != nil {
			t.Errorf("%s of %s: %s %v, want %s", c.mapping, c.value, got, err, c.want)
		}
	}
}

// TestRefused: what is wrong is found at the start, with the column and a hint.
func TestRefused(t *testing.T) {
	filter := func(text string) error { _, err := expression.NewFilter(text); return err }
	query := func(text string) error { _, err := expression.NewStrategy(text, "true"); return err }
	ready := func(text string) error { _, err := expression.NewStrategy("records", text); return err }
	for _, c := range []struct {
		compile func(string) error
		text    string
		want    []string
	}{
		{filter, `value.v > `, []string{"column 10", "unexpected"}},
		{filter, `valeu.v > 3`, []string{"column 1", "unknown name valeu", "value"}},
		{filter, `value.v > 3 and kye == ""`, []string{"column 17", "unknown name kye", "key"}},
		{filter, `key + 1 == 3`, []string{"column 5", "string"}},
		{filter, `offset`, []string{"bool"}},
		{filter, `now() > now()`, []string{"column 1", "now"}},
		{filter, `len(keys(value)) > 1`, []string{"column 5", "keys", "order"}},
		{filter, `all(1..1000000, # > 0)`, []string{"column 6", "ranges"}},
		{filter, `value.v in 1..3`, []string{"column 13", "ranges"}},
		{filter, strings.Repeat("x", 5000), []string{"4096"}},
		{query, `filter(record, true)`, []string{"WINDOW_QUERY", "column 8", "unknown name record", "records"}},
		{query, `filter(records, .valeu == 1)`, []string{"WINDOW_QUERY", "column 18", "valeu"}},
		{query, `filter(records, any(records, any(records, #.offset == 1)))`, []string{"WINDOW_QUERY", "column 17", "3 deep"}},
		{ready, `len(window)`, []string{"WINDOW_READY", "bool"}},
		{ready, `len(windows) == 1`, []string{"WINDOW_READY", "column 5", "unknown name windows", "window"}},
	} {
		err := c.compile(c.text)
		if err == nil {
			t.Errorf("%.60s: it is accepted", c.text)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%.60s: %v, want %q in it", c.text, err, want)
			}
		}
	}
	if _, err := expression.NewStrategy("x", "y"); err == nil || !strings.Contains(err.Error(), "WINDOW_QUERY") || !strings.Contains(err.Error(), "WINDOW_READY") {
		t.Errorf("two faults: %v", err)
	}
}

func TestStrategy(t *testing.T) {
	var records []record.Record
	for i, v := range []string{`4`, `1`, `"x"`, `2`, `3`} {
		records = append(records, record.Record{Offset: int64(i), Value: []byte(v)})
	}
	for _, c := range []struct {
		query, ready string
		want         string
	}{
		{`records`, `true`, "ready [0 1 2 3 4]"},
		{`records`, `len(window) > 5`, ""},
		{`records[1:3]`, `true`, "ready [1 2]"},
		{`records[3]`, `true`, "ready [3]"},
		{`concat(records[1:3], records[2:4])`, `true`, "ready [1 2 3]"},
		{`[]`, `true`, ""},
		{`nil`, `true`, ""},
		{`find(records, .value == 5)`, `true`, ""},
		{`sortBy(filter(records, .value is number), .value)`, `true`, "refused"},
		{`sortBy(filter(records, type(.value) == "int"), .value)`, `len(records) == 5 and now == 5000 and waited == 4000`, "ready [1 3 4 0]"},
		{`filter(records, .value > 1)`, `true`, "[2] fails"},
		{`records`, `sum(window, .value) > 0`, "[2] fails"},
		{`map(records, .value)`, `true`, "[0] fails"},
	} {
		s, err := expression.NewStrategy(c.query, c.ready)
		if err != nil {
			if c.want != "refused" {
				t.Errorf("%s: %v", c.query, err)
			}
			continue
		}
		for range 2 { // the second time values are known
			q := &emit.Queue{Records: records, Since: 1000}
			cut := s.Ask(q, 5000)
			got := ""
			switch {
			case cut.Err != nil:
				got = fmt.Sprint(cut.Picked, " fails")
			case cut.Reason != "":
				got = fmt.Sprint(cut.Reason, " ", cut.Picked)
			case q.Due != 6000:
				t.Errorf("%s: due %d", c.query, q.Due)
			}
			if got != c.want {
				t.Errorf("%s, %s: %q %v, want %q", c.query, c.ready, got, cut.Err, c.want)
			}
		}
	}
}

// TestValuesAreNotMixedUp: another value from the same place, as of a topic that was made again, is another value.
func TestValuesAreNotMixedUp(t *testing.T) {
	s, err := expression.NewStrategy(`filter(records, .value == 2)`, `true`)
	if err != nil {
		t.Fatal(err)
	}
	memory := []byte("1")
	for _, v := range "1222133" {
		memory[0] = byte(v)
		if cut := s.Ask(&emit.Queue{Records: []record.Record{{Value: memory}}}, 0); (cut.Reason != "") != (v == '2') {
			t.Errorf("%c: %+v", v, cut)
		}
	}
}

func BenchmarkFilter(b *testing.B) {
	f, err := expression.NewFilter(`value.temperature > 20 and value.ok`)
	if err != nil {
		b.Fatal(err)
	}
	r := value(`{"id":"device-17","temperature":21.5,"ok":true,"at":1700000000000}`)
	b.ReportAllocs()
	for b.Loop() {
		if wanted, err := f.Wanted(r); !wanted || err != nil {
			b.Fatal(err)
		}
	}
}

func TestResult(t *testing.T) {
	for _, c := range []struct {
		text      string
		aggregate bool
		want      any
		err       error
	}{
		{`{device: key, last: data[-1].v, n: count}`, false, []byte(`{"device":"attic","last":3,"n":2}`), nil},
		{`data`, false, []byte(`[{"s":"<&>","v":2.5},{"v":3}]`), nil},
		{`sum(data, .v)`, false, []byte(`5.5`), nil},
		{`map(records, .offset)`, false, []byte(`[7,7]`), nil},
		{`{"": [id, stream, pipeline, shard, emitter, reason, seq, start, end, revision, final]}`, false,
			[]byte(`{"":["i","s","p","t/3","count","timeout",4,1000,2000,1,true]}`), nil},
		{`"key=" + key`, false, "key=attic", nil},
		{`count > 2 ? data : nil`, false, nil, nil},
		{`data.n`, true, []byte(`2`), nil},
		{`len(records)`, true, []byte(`0`), nil},
		{`sum(data, .x)`, false, nil, expression.ErrFailed},
		{`1 / 0`, false, nil, expression.ErrFailed},
	} {
		x, err := expression.NewResult(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		records := []record.Record{*value(`{"v":2.5,"s":"<&>"}`), *value(`{"v":3}`)}
		if c.aggregate {
			records = []record.Record{{Value: []byte(`{"n":2}`)}}
		}
		got, err := x.Of(&expression.Window{ID: "i", Stream: "s", Pipeline: "p", Shard: "t/3", Emitter: "count", Reason: "timeout",
			Key: "attic", Seq: 4, Start: 1000, End: 2000, Count: 2, Revision: 1, Final: true}, records, c.aggregate)
		if !reflect.DeepEqual(got, c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: %s %v, want %s %v", c.text, got, err, c.want, c.err)
		}
	}
	for text, column := range map[string]string{`{n: cuont}`: "column 5: unknown name cuont; known are count, data", `now()`: "column 1: now can't be used"} {
		if _, err := expression.NewResult(text); err == nil || !strings.Contains(err.Error(), column) {
			t.Errorf("%s: %v, want %s", text, err, column)
		}
	}
}
