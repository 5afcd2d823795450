// Package template makes text of what a window is about: out.{{key}}, {{start.date}}/{{shard}}.
//
// A template has names in double braces and no logic. Everything it may name is listed in Names; what it makes follows
// from the window alone, so that it is the same after any replay.
package template

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/windrow-io/windrow/pkg/window"
)

// Template is a text with names in it. Safe for concurrent use.
type Template struct {
	parts []part
}

// part is text as it stands, or what is put in for a name.
type part struct {
	text string
	put  func(dst []byte, w *window.Window) []byte // nil: the text
}

// values are the names that are not of a time.
var values = map[string]func(dst []byte, w *window.Window) []byte{
	"key":      appendKey,
	"reason":   func(dst []byte, w *window.Window) []byte { return append(dst, w.Reason...) },
	"emitter":  func(dst []byte, w *window.Window) []byte { return append(dst, w.Emitter...) },
	"stream":   func(dst []byte, w *window.Window) []byte { return append(dst, w.Stream...) },
	"pipeline": func(dst []byte, w *window.Window) []byte { return append(dst, w.Pipeline...) },
	"shard":    func(dst []byte, w *window.Window) []byte { return append(dst, w.Shard...) },
	"seq":      func(dst []byte, w *window.Window) []byte { return strconv.AppendInt(dst, w.Seq, 10) },
	"start":    func(dst []byte, w *window.Window) []byte { return strconv.AppendInt(dst, w.Start, 10) },
	"end":      func(dst []byte, w *window.Window) []byte { return strconv.AppendInt(dst, w.End, 10) },
}

func appendKey(dst []byte, w *window.Window) []byte {
	if !w.Keyed {
		return dst
	}
	return append(dst, w.Key...)
}

// times are what may follow start. and end., as layouts.
var times = map[string]string{
	"time": time.RFC3339, "date": time.DateOnly, "year": "2006", "month": "01", "day": "02", "hour": "15", "minute": "04",
}

// Names is what a template may name, for messages.
const Names = "key, reason, emitter, stream, pipeline, shard, seq, start, end, and start.time, .date, .year, .month, .day, .hour, .minute, likewise of end"

// Parse reads a template; the parts of start and end are those of the zone. The error tells the column, from 1.
func Parse(text string, zone *time.Location) (*Template, error) { return parse(text, 1, zone) }

// parse reads a template that begins at the column.
func parse(text string, column int, zone *time.Location) (*Template, error) {
	t := new(Template)
	for text != "" {
		before, after, found := strings.Cut(text, "{{")
		if i := strings.Index(before, "}}"); i >= 0 {
			return nil, fmt.Errorf("column %d: }} without {{", column+letters(before[:i]))
		}
		if before != "" {
			t.parts = append(t.parts, part{text: before})
		}
		if !found {
			break
		}
		column += letters(before)
		inside, rest, closed := strings.Cut(after, "}}")
		if !closed {
			return nil, fmt.Errorf("column %d: {{ without }}", column)
		}
		put := lookup(strings.TrimSpace(inside), zone)
		if put == nil {
			return nil, fmt.Errorf("column %d: {{%s}} is none of %s", column, inside, Names)
		}
		t.parts = append(t.parts, part{put: put})
		column += len("{{}}") + letters(inside)
		text = rest
	}
	return t, nil
}

func letters(text string) int { return utf8.RuneCountInString(text) }

// lookup is what puts in the value of a name; nil if there is none.
func lookup(name string, zone *time.Location) func([]byte, *window.Window) []byte {
	if put := values[name]; put != nil {
		return put
	}
	of, name, _ := strings.Cut(name, ".")
	layout := times[name]
	switch {
	case layout == "":
		return nil
	case of == "start":
		return func(dst []byte, w *window.Window) []byte { return appendTime(dst, w.Start, layout, zone) }
	case of == "end":
		return func(dst []byte, w *window.Window) []byte { return appendTime(dst, w.End, layout, zone) }
	}
	return nil
}

func appendTime(dst []byte, ms int64, layout string, zone *time.Location) []byte {
	return time.UnixMilli(ms).In(zone).AppendFormat(dst, layout)
}

// Append appends what the template makes of w. A window without a key has an empty one.
func (t *Template) Append(dst []byte, w *window.Window) []byte {
	for i := range t.parts {
		if p := &t.parts[i]; p.put != nil {
			dst = p.put(dst, w)
		} else {
			dst = append(dst, p.text...)
		}
	}
	return dst
}

// Named is a template with a name.
type Named struct {
	Name  string
	Value *Template
}

// ParseList reads name=template, name=template: a comma ends a template, spaces around names and templates don't count.
// No name is empty or comes twice. The error tells the column, from 1.
func ParseList(text string, zone *time.Location) ([]Named, error) {
	var list []Named
	column := 1
	for item := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(item, "=")
		trimmed := strings.TrimLeft(value, " ")
		at := column + letters(name) + len("=") + len(value) - len(trimmed)
		name = strings.TrimSpace(name)
		switch {
		case !ok || name == "":
			return nil, fmt.Errorf("column %d: %q is not of the form name=template", column, item)
		case slices.ContainsFunc(list, func(n Named) bool { return n.Name == name }):
			return nil, fmt.Errorf("column %d: %s comes twice", column, name)
		}
		t, err := parse(strings.TrimRight(trimmed, " "), at, zone)
		if err != nil {
			return nil, err
		}
		list = append(list, Named{name, t})
		column += letters(item) + len(",")
	}
	return list, nil
}
