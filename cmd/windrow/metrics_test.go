package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	_ "github.com/windrow-io/windrow/pkg/sink/mongo"
	_ "github.com/windrow-io/windrow/pkg/sink/stdout"
)

var update = flag.Bool("update", false, "write the table of metrics in docs/OPERATIONS.md anew")

var description = regexp.MustCompile(`^Desc\{fqName: "(windrow_[^"]*)", help: "((?:[^"\\]|\\.)*)", (?:unit: "[^"]*", )?constLabels: \{.*\}, variableLabels: \{(.*)\}\}$`)

// registered are the rows of all metrics of the programs.
func registered(t *testing.T) []string {
	t.Helper()
	descs := make(chan *prometheus.Desc)
	go func() {
		prometheus.DefaultRegisterer.(*prometheus.Registry).Describe(descs)
		close(descs)
	}()
	var rows []string
	for d := range descs {
		m := description.FindStringSubmatch(d.String())
		if m == nil {
			if strings.Contains(d.String(), "windrow_") {
				t.Errorf("can't be read: %s", d)
			}
			continue
		}
		kind := "gauge"
		switch {
		case strings.HasSuffix(m[1], "_total"):
			kind = "counter"
		case strings.HasSuffix(m[1], "_seconds") && !strings.HasSuffix(m[1], "_lag_seconds"):
			kind = "histogram"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |", m[1], kind, strings.ReplaceAll(m[3], ",", " "), strings.ReplaceAll(m[2], `\"`, `"`)))
	}
	slices.Sort(rows)
	return rows
}

// The table of metrics in docs/OPERATIONS.md is that of the metrics there are; -update writes it.
func TestMetricsAreDocumented(t *testing.T) {
	const file, begin, end = "../../docs/OPERATIONS.md", "| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n", "\n\n<!-- end of the metrics -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	table, tail, also := strings.Cut(rest, end)
	if !ok || !also {
		t.Fatalf("%s has no table of metrics", file)
	}
	rows := registered(t)
	if len(rows) < 50 {
		t.Errorf("only %d metrics are registered", len(rows))
	}
	if want := strings.Join(rows, "\n"); table != want {
		if *update {
			if err := os.WriteFile(file, []byte(head+begin+want+end+tail), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		documented := strings.Split(table, "\n")
		for _, r := range rows {
			if !slices.Contains(documented, r) {
				t.Errorf("not documented as it is: %s", r)
			}
		}
		for _, r := range documented {
			if !slices.Contains(rows, r) {
				t.Errorf("documented, and not there: %s", r)
			}
		}
		t.Error("go test ./cmd/windrow -run TestMetricsAreDocumented -update writes the table anew")
	}
}
