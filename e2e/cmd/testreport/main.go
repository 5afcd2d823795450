// Command testreport reads the events of `go test -json` and prints what a person wants to see: every package as it ends,
// every test that takes long, and the output of those that failed. It writes "<passed> <failed>" to the file named by its
// argument: how many tests there were, without their subtests. It exits 1 if anything failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go test -json … | testreport FILE")
		os.Exit(2)
	}
	r := report{out: os.Stdout, output: map[key][]string{}, failedBelow: map[string]bool{}}
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], fmt.Appendf(nil, "%d %d\n", r.passed, r.failed), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(2)
	}
	if r.failed > 0 {
		os.Exit(1)
	}
}

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64 // seconds
	Output  string
}

type key struct{ pkg, test string }

type report struct {
	out            io.Writer
	output         map[key][]string // of what has not ended yet
	failedBelow    map[string]bool  // packages with a test that failed
	passed, failed int
}

// long is how many seconds a test takes at least to be worth a line when it passes.
const long = 2

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		fmt.Fprintf(r.out, "%s", line) // not an event: the go command's own words
		return
	}
	k := key{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "output":
		r.output[k] = append(r.output[k], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(e)
		}
		delete(r.output, k)
	}
}

func (r *report) endTest(e event) {
	failed := e.Action == "fail"
	if failed {
		r.failedBelow[e.Package] = true
		fmt.Fprintf(r.out, "---- FAILED %s %s (%.1f s)\n%s", e.Package, e.Test, e.Elapsed, strings.Join(r.output[key{e.Package, e.Test}], ""))
	} else if e.Elapsed >= long {
		fmt.Fprintf(r.out, "     %-6s %s (%.1f s)\n", e.Action, e.Test, e.Elapsed)
	}
	if strings.Contains(e.Test, "/") {
		return
	}
	if failed {
		r.failed++
	} else if e.Action == "pass" {
		r.passed++
	}
}

func (r *report) endPackage(e event) {
	output := r.output[key{e.Package, ""}]
	switch {
	case e.Action != "fail":
		if e.Action == "pass" {
			fmt.Fprintf(r.out, "ok   %s (%.1f s)\n", e.Package, e.Elapsed)
		}
		return
	case !r.failedBelow[e.Package]: // it did not build, panicked outside a test, or ran out of time
		r.failed++
	}
	for k, lines := range r.output { // tests that were running when the binary died
		if k.pkg == e.Package && k.test != "" {
			fmt.Fprintf(r.out, "---- unfinished %s %s\n%s", k.pkg, k.test, strings.Join(lines, ""))
		}
	}
	fmt.Fprintf(r.out, "FAIL %s (%.1f s)\n", e.Package, e.Elapsed)
	for _, line := range output {
		if !strings.HasPrefix(line, "FAIL") { // which was just said
			fmt.Fprint(r.out, line)
		}
	}
}
