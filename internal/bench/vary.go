package bench

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Vary runs every job once for each value of one of its sizes, to show how costs grow.
type Vary struct {
	Size   string // empty: every job has its own sizes
	Values []int
}

// varied are the sizes that can be varied.
var varied = []string{"partitions", "keys", "window", "bytes", "workers"}

// ParseVary reads NAME=1,4,16.
func ParseVary(text string) (v Vary, err error) {
	name, list, _ := strings.Cut(text, "=")
	if new(Params).size(name) == nil {
		return v, fmt.Errorf("%q can't be varied, only %s", name, strings.Join(varied, ", "))
	}
	v.Size = name
	for part := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 {
			return v, fmt.Errorf("%q is not a number from 1 on: write %s=1,4,16", part, name)
		}
		v.Values = append(v.Values, n)
	}
	return v, nil
}

// size is the size of that name; nil: there is none.
func (p *Params) size(name string) *int {
	switch name {
	case "partitions":
		return &p.Partitions
	case "keys":
		return &p.Keys
	case "window":
		return &p.Window
	case "bytes":
		return &p.Bytes
	case "workers":
		return &p.Workers
	}
	return nil
}

// WriteCSV writes a line for each side of each series: what its typical round took.
func (r *Report) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	c.Write(append(append([]string{"job", "compression", "sink"}, varied...), "side", "records_per_second", "cpu_seconds_per_million",
		"core_percent", "p50_ms", "p99_ms", "peak_bytes", "bytes_per_key"))
	for _, s := range r.Series {
		for _, side := range s.Sides {
			line := []string{s.Job, s.Compression, s.Sink}
			for _, name := range varied {
				line = append(line, strconv.Itoa(*s.size(name)))
			}
			t := side.typical()
			line = append(line, side.Name)
			for _, x := range []float64{t.Rate, t.CPU, t.Core, t.Latency.get().P50, t.Latency.get().P99, float64(sumOf(t.Programs).Peak), t.PerKey} {
				line = append(line, strconv.FormatFloat(x, 'g', 6, 64))
			}
			c.Write(line)
		}
	}
	c.Flush()
	return c.Error()
}
