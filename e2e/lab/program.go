package lab

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Program is one of Windrow's programs, running as a process of its own.
type Program struct {
	Name string // for messages
	URL  string // of its HTTP server; empty for a command

	log     *logBuffer
	command *command
}

// Start starts a program (see Build) with these settings, NAME=value each, and an HTTP_ADDR of its own. It does not wait
// for it to be ready. The program is killed with the test; its log is printed if the test fails.
func Start(t testing.TB, program string, env ...string) *Program {
	t.Helper()
	return StartWith(t, program, nil, env...)
}

// StartWith is Start with arguments for the program.
func StartWith(t testing.TB, program string, args []string, env ...string) *Program {
	t.Helper()
	addr := address(Port(t))
	p := StartCommand(t, program, append([]string{Build(t, program)}, args...), append([]string{"HTTP_ADDR=" + addr}, env...)...)
	p.URL = "http://" + addr
	return p
}

// StartCommand starts a command that is no program of Windrow's: one that it is to work with. It ends as a Program does.
func StartCommand(t testing.TB, name string, argv []string, env ...string) *Program {
	t.Helper()
	p := &Program{log: &logBuffer{}}
	env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	var err error
	if p.command, err = run(name, argv, env, p.log); err != nil {
		t.Fatal(err)
	}
	p.Name = fmt.Sprintf("%s[%d]", name, p.command.pid())
	t.Cleanup(p.command.kill)
	showOnFailure(t, p.Name, p.log)
	return p
}

// Kill ends the program at once, as kill -9 does.
func (p *Program) Kill() { p.command.kill() }

// Terminate asks the program to end (SIGTERM) and does not wait for it.
func (p *Program) Terminate(t testing.TB) { t.Helper(); signal(t, p.command, syscall.SIGTERM) }

// stopPatience is how long a program may take from SIGTERM to its end.
const stopPatience = 30 * time.Second

// Stop asks the program to end (SIGTERM) and fails the test if it does not, or ends with another code than 0.
func (p *Program) Stop(t testing.TB) {
	t.Helper()
	Stop(t, p)
}

// Stop is Program.Stop for several programs at once.
func Stop(t testing.TB, programs ...*Program) {
	t.Helper()
	errs := make(chan error, len(programs))
	for _, p := range programs {
		go func() { errs <- p.stop() }()
	}
	for range programs {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// stop waits until the program is there to hear the signal: before it has got so far, SIGTERM simply ends it.
func (p *Program) stop() error {
	holdsWithin(startPatience, func() bool {
		status, _ := p.Get("/livez")
		return status != 0 || !p.Running()
	})
	if err := p.command.end(stopPatience); err != nil {
		return err
	}
	if code := p.command.exitCode(); code != 0 {
		return fmt.Errorf("%s ended with code %d after SIGTERM (%v)", p.Name, code, p.command.err)
	}
	return nil
}

// Wait waits until the program ends of itself and returns its exit code, -1 for a signal.
func (p *Program) Wait(t testing.TB, patience time.Duration) int {
	t.Helper()
	select {
	case <-p.command.done:
	case <-time.After(patience):
		t.Fatalf("%s still runs after %v", p.Name, patience)
	}
	return p.command.exitCode()
}

// Running reports whether the program has not ended.
func (p *Program) Running() bool { return p.command.running() }

// Pause stops the program's execution until Resume: it keeps its connections and does nothing.
func (p *Program) Pause(t testing.TB) { t.Helper(); signal(t, p.command, syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *Program) Resume(t testing.TB) { t.Helper(); signal(t, p.command, syscall.SIGCONT) }

// Log is what the program has printed, standard output and error.
func (p *Program) Log() string { return p.log.String() }

// CPU is the processor time that the program has used so far.
func (p *Program) CPU(t testing.TB) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.command.pid()))
	if err != nil {
		t.Fatal(err)
	}
	// The name of the program, in parentheses, may hold spaces; utime and stime are the 12th and 13th fields after it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const ticksPerSecond = 100
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

// Memory is what the program has resident now, in bytes; an error if it has ended.
func (p *Program) Memory() (int, error) { return p.command.memory("VmRSS:") }

// Get asks the program's HTTP server for a path. Status 0 means that nobody answered.
func (p *Program) Get(path string) (status int, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+path, nil)
	if err != nil {
		return 0, ""
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, ""
	}
	return resp.StatusCode, string(text)
}

// Ready waits until /readyz answers 200.
func (p *Program) Ready(t testing.TB) {
	t.Helper()
	var status int
	var body string
	ready := func() bool {
		status, body = p.Get("/readyz")
		return status == http.StatusOK || !p.Running()
	}
	if !holdsWithin(startPatience, ready) || !p.Running() {
		t.Fatalf("%s is not ready: /readyz answers %d %s", p.Name, status, body)
	}
}

// NotReady waits until /readyz answers 503 and names what is missing.
func (p *Program) NotReady(t testing.TB, patience time.Duration, missing string) {
	t.Helper()
	var status int
	var body string
	named := func() bool {
		status, body = p.Get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(strings.ToLower(body), strings.ToLower(missing))
	}
	if !holdsWithin(patience, named) {
		t.Fatalf("%s should not be ready for want of %s: /readyz answers %d %s", p.Name, missing, status, body)
	}
}

// Metric is the sum of a metric's samples at /metrics whose labels contain all of labels (`sink="kafka"`); ok is false
// if there is none.
func (p *Program) Metric(name string, labels ...string) (sum float64, ok bool) {
	_, body := p.Get("/metrics")
	for line := range strings.Lines(body) {
		series, value, found := cutLast(strings.TrimSpace(line), " ")
		if !found || !matches(series, name, labels) {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			sum, ok = sum+v, true
		}
	}
	return sum, ok
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func matches(series, name string, labels []string) bool {
	rest, ok := strings.CutPrefix(series, name)
	if !ok || rest != "" && rest[0] != '{' {
		return false
	}
	for _, l := range labels {
		if !strings.Contains(rest, l) {
			return false
		}
	}
	return true
}
