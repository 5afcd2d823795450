package template_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/template"
	"github.com/windrow-io/windrow/pkg/window"
)

var (
	start = time.Date(2026, 1, 31, 23, 30, 0, 0, time.UTC)
	keyed = window.Window{Stream: "s", Pipeline: "p", Shard: "events/3", Emitter: "tumbling", Reason: "time",
		Keyed: true, Key: []byte("a\x00\xff{{seq}}"), Seq: 7, Start: start.UnixMilli(), End: start.Add(time.Hour).UnixMilli()}
)

func zone(t *testing.T, name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestAppend(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for _, c := range []struct {
		text string
		zone *time.Location
		want string
	}{
		{"", time.UTC, ""},
		{"plain { } text ü", time.UTC, "plain { } text ü"},
		{"{{key}}", time.UTC, "a\x00\xff{{seq}}"}, // what is put in is not read again
		{"{{stream}}.{{ pipeline }}.{{shard}}.{{emitter}}.{{reason}}.{{seq}}", time.UTC, "s.p.events/3.tumbling.time.7"},
		{"{{start}}-{{end}}", time.UTC, "1769902200000-1769905800000"},
		{"{{start.date}} {{end.date}}", time.UTC, "2026-01-31 2026-02-01"},
		{"{{start.date}} {{start.time}}", berlin, "2026-02-01 2026-02-01T00:30:00+01:00"},
		{"{{start.year}}/{{start.month}}/{{start.day}}/{{start.hour}}/{{start.minute}}", time.UTC, "2026/01/31/23/30"},
	} {
		x, err := template.Parse(c.text, c.zone)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := string(x.Append([]byte("> "), &keyed)); got != "> "+c.want {
			t.Errorf("%s: got %q, want %q", c.text, got, c.want)
		}
	}
}

// Times that no calendar has make some text, and the same each time.
func TestAppendAbsurdTimes(t *testing.T) {
	x, err := template.Parse("{{start.date}}{{end.time}}", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	w := window.Window{Start: math.MinInt64, End: math.MaxInt64}
	if a, b := string(x.Append(nil, &w)), string(x.Append(nil, &w)); a == "" || a != b {
		t.Errorf("got %q, then %q", a, b)
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"out.{{kye}}":               "column 5: {{kye}} is none of key, reason",
		"ü{{key}}{{ key.x }}":       "column 9: {{ key.x }} is none of",
		"{{start.week}}":            "column 1: {{start.week}} is none of",
		"{{now.date}}":              "column 1",
		"{{}}":                      "column 1",
		"{{if key}}x{{end}}":        "column 1: {{if key}}",
		"a{{key":                    "column 2: {{ without }}",
		"{{key}} }}":                "column 9: }} without {{",
		"a}}{{key}}":                "column 2: }} without {{",
		"{{start.}}":                "column 1",
		"{{.date}}":                 "column 1",
		"{{ start . date }}{{end}}": "column 1",
	} {
		if _, err := template.Parse(text, time.UTC); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func TestParseList(t *testing.T) {
	list, err := template.ParseList("site = {{key}} x , day={{start.date}},empty=,eq=a=b", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	w := window.Window{Keyed: true, Key: []byte("north"), Start: start.UnixMilli()}
	var got []string
	for _, n := range list {
		got = append(got, n.Name+":"+string(n.Value.Append(nil, &w)))
	}
	if s := strings.Join(got, "|"); s != "site:north x|day:2026-01-31|empty:|eq:a=b" {
		t.Errorf("got %s", s)
	}
	for text, want := range map[string]string{
		"":                 "column 1: \"\" is not of the form name=template",
		"a=1,":             "column 5",
		"a=1, b":           "column 5: \" b\" is not of the form",
		"a=1,=2":           "column 5",
		"a=1,a=2":          "column 5: a comes twice",
		"a=ü, b =  {{ky}}": "column 11: {{ky}} is none of",
	} {
		if _, err := template.ParseList(text, time.UTC); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
