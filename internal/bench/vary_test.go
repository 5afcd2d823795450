package bench

import (
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestParseVary(t *testing.T) {
	v, err := ParseVary("partitions=1,4, 16")
	if err != nil || v.Size != "partitions" || !slices.Equal(v.Values, []int{1, 4, 16}) {
		t.Errorf("%+v, %v", v, err)
	}
	for _, text := range []string{"speed=1", "keys", "keys=", "keys=0", "keys=1,x"} {
		if v, err := ParseVary(text); err == nil {
			t.Errorf("%s is %+v", text, v)
		}
	}
}

func TestVariedSizesAreKept(t *testing.T) {
	for _, j := range jobs {
		for _, size := range []string{"partitions", "workers", "bytes"} {
			p := j.sized(Options{Vary: Vary{Size: size}}, 256)
			if *p.size(size) != 256 {
				t.Errorf("%s: %s is %d, want 256", j.name, size, *p.size(size))
			}
		}
	}
}

// growth is a report of the same job with 1, 4 and 16 partitions.
func growth() *Report {
	r := &Report{}
	for _, n := range []int{1, 4, 16} {
		s := sample()
		s.Vary, s.Partitions = "partitions", n
		r.Series = append(r.Series, s)
	}
	return r
}

func TestCSV(t *testing.T) {
	var b strings.Builder
	if err := growth().WriteCSV(&b); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if err != nil || len(lines) != 1+3*2 {
		t.Fatalf("%d lines, %v, want a head and one for each side:\n%s", len(lines), err, &b)
	}
	want := []string{"count", "lz4", "kafka", "16", "12", "100", "200", "2", "windrow", "500000", "4", "0", "0", "0", "3.98459e+07", "0"}
	if last := lines[len(lines)-1]; !slices.Equal(last, want) {
		t.Errorf("the last line is %q, want %q", last, want)
	}
}

func TestPlot(t *testing.T) {
	var b strings.Builder
	if err := growth().Plot(&b, "partitions"); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("it is no XML: %v\n%s", err, &b)
		}
		if e, ok := token.(xml.StartElement); ok {
			count[e.Name.Local]++
		}
	}
	// Two charts, a line for each side in each, three points on each line.
	if count["polyline"] != 2*2 || count["circle"] != 2*2*3 {
		t.Errorf("%v", count)
	}
	if strings.Contains(b.String(), "NaN") {
		t.Error("a point is nowhere")
	}
}
