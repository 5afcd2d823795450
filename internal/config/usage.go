package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/windrow-io/windrow/pkg/template"
)

// Usage writes the help of a program: every variable with type, default and meaning.
func Usage(w io.Writer, p Program) {
	fmt.Fprintf(w, "%s is configured by environment variables.\n\n", p)
	tabs := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tabs, "VARIABLE\tTYPE\tDEFAULT\tMEANING")
	for _, v := range Variables(p) {
		def := v.Default
		if v.Required {
			def = "(required)"
		}
		// Long meanings go on in further rows, so that the table fits a terminal.
		for i, line := range wrap(v.Meaning, 76) {
			if i == 0 {
				fmt.Fprintf(tabs, "%s\t%s\t%s\t%s\n", v.Name, v.Type, def, line)
			} else {
				fmt.Fprintf(tabs, "\t\t\t%s\n", line)
			}
		}
	}
	tabs.Flush()
	fmt.Fprintf(w, "\n%s\n", strings.Join(wrap(notation, 120), "\n"))
}

const notation = "Durations are written 500ms, 30s, 5m, 1h30m; sizes 67108864, 64MiB, 64MB. A field is a path into the record's JSON value " +
	"(device.id), or @key, @topic, @partition, @offset, @timestamp, @header.<name>. A template is text " +
	"with names in double braces, of " + template.Names + "; dates are those of WINDOW_TIMEZONE. A variable set to nothing counts as not set."

// wrap breaks text into lines of at most width bytes, at spaces.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// typeName is a field's type in words.
func typeName(f reflect.StructField) string {
	switch {
	case f.Tag.Get("ref") != "":
		return "field"
	case f.Type == reflect.TypeFor[time.Duration](), f.Type == reflect.TypeFor[*time.Duration]():
		return "duration"
	case f.Type == reflect.TypeFor[Size]():
		return "size"
	case f.Type == reflect.TypeFor[Slide]():
		return "duration or number"
	case f.Type == reflect.TypeFor[List](), f.Type == reflect.TypeFor[Topics](), f.Type == reflect.TypeFor[Sinks]():
		return "list"
	case f.Type == reflect.TypeFor[URL]():
		return "URL"
	case f.Type == reflect.TypeFor[Start]():
		return "time"
	case f.Type.Kind() == reflect.Bool:
		return "bool"
	case f.Type.Kind() == reflect.Int, f.Type == reflect.TypeFor[*int]():
		return "number"
	}
	return "text"
}

// limits is what a variable's tags say of its values, in words.
func limits(tag reflect.StructTag) string {
	least, most := tag.Get("min"), tag.Get("max")
	switch {
	case choices(tag) != nil:
		return " (" + strings.Join(choices(tag), ", ") + ")"
	case tag.Get("name") != "":
		return " (1 to 64 of A-Z a-z 0-9 . _ -)"
	case least != "" && most != "":
		return fmt.Sprintf(" (%s to %s)", least, most)
	case least != "":
		return fmt.Sprintf(" (at least %s)", least)
	}
	return ""
}

// Markdown writes docs/CONFIGURATION.md.
func Markdown(w io.Writer) {
	fmt.Fprint(w, `# Configuration

Windrow's programs are configured by environment variables and nothing else. A program checks all of them when it starts,
reports everything that is wrong at once, and ends with exit code 2. It does not ignore what it does not know: a misspelt
variable is an error. Programs may share one environment: each takes its own variables and tolerates the others'. `+"`-h`"+` prints the tables below.

`+notation+`

`)
	for _, section := range []struct {
		title, text string
		programs    Program
	}{
		{"Both programs", "", ProgramBoth},
		{"ingest", "Copies Kafka topics into the stream's buffer.", ProgramIngest},
		{"process", "Makes windows of the stream and writes them to the sink.", ProgramProcess},
	} {
		fmt.Fprintf(w, "## %s\n\n", section.title)
		if section.text != "" {
			fmt.Fprintf(w, "%s\n\n", section.text)
		}
		fmt.Fprintln(w, "| variable | type | default | meaning |\n| --- | --- | --- | --- |")
		for _, v := range Variables(ProgramBoth) {
			if v.Programs != section.programs {
				continue
			}
			def := v.Default
			switch {
			case v.Required:
				def = "**required**"
			case v.field.Tag.Get("default") != "":
				def = "`" + def + "`"
			}
			fmt.Fprintf(w, "| `%s` | %s | %s | %s |\n", v.Name, v.Type, escape(def), escape(v.Meaning))
		}
		fmt.Fprintln(w)
	}
}

// escape keeps text from being taken for Markdown's own signs.
func escape(text string) string {
	return strings.NewReplacer("|", `\|`, "<", `\<`).Replace(text)
}
