package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

func TestDemo(t *testing.T) {
	var out, errs bytes.Buffer
	if code := demo([]string{"--for", "3s", "--rate", "400"}, &out, &errs); code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", code, errs.String(), out.String())
	}
	text := out.String()
	for _, want := range []string{
		`window sensors/\d +#0 +50 records, closed by count`,
		`(?m)^ +\ds  in +\d+/s  out +\d+/s`,
		`\d{3,} records in, \d+ windows with \d{3,} records out .*missing 0, twice 0: every record exactly once`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no line like %q in\n%s", want, text)
		}
	}
}

func TestDemoRefusesWhatItCannotDo(t *testing.T) {
	for _, args := range [][]string{{"--rate", "0"}, {"--for", "-1s"}, {"now"}, {"--nothing"}} {
		var out, errs bytes.Buffer
		if code := demo(args, &out, &errs); code != 2 || errs.Len() == 0 {
			t.Errorf("%s: exit code %d, %q; want 2 and a reason", strings.Join(args, " "), code, errs.String())
		}
	}
}

func TestRunNamesAllThatIsMissing(t *testing.T) {
	for _, name := range []string{"STREAM", "REDIS_URL", "KAFKA_BROKERS", "KAFKA_TOPICS", "EMITTER", "SINK"} {
		t.Setenv(name, "")
	}
	var errs bytes.Buffer
	if code := run(nil, &errs); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	for _, name := range []string{"STREAM", "REDIS_URL", "KAFKA_BROKERS", "KAFKA_TOPICS", "EMITTER", "SINK"} {
		if !strings.Contains(errs.String(), name) {
			t.Errorf("%s is not named in %q", name, errs.String())
		}
	}
}

func TestTally(t *testing.T) {
	x := tally{ahead: map[int]bool{}}
	for _, n := range []int{1, 3, 4, 2} {
		if !x.add(n) {
			t.Errorf("%d is not new", n)
		}
	}
	if x.upTo != 4 || len(x.ahead) != 0 {
		t.Errorf("up to %d, %d ahead; want 4, 0", x.upTo, len(x.ahead))
	}
	if x.add(2) || x.add(4) {
		t.Error("a repeat counts as new")
	}
}

func TestBenchNamesAllThatIsWrong(t *testing.T) {
	for _, name := range []string{"REDIS_URL", "KAFKA_BROKERS", "MONGO_URL"} {
		t.Setenv(name, "")
	}
	var out, errs bytes.Buffer
	if code := benchmark([]string{"--jobs", "sums", "--rounds", "0", "--compare", "nothing.json", "--tolerance", "-1", "now"}, &out, &errs); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	for _, want := range []string{`"sums"`, "--rounds 0", "no further arguments", "nothing.json", "--tolerance -1", "KAFKA_BROKERS is required"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("%s is not named in %q", want, errs.String())
		}
	}
}
