package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// command is a running process: a server or a program under test. Its standard output and error are gathered.
type command struct {
	name string
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{} // closed when the process has ended
	err  error         // what Wait returned; valid after done
}

// run starts argv with exactly the environment env. The process ends with the test binary, however that ends.
func run(name string, argv, env []string, log *logBuffer) (*command, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := startLocked(cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	c := &command{name: name, cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// The kernel sends Pdeathsig when the *thread* that started a process ends, not the process: all are started by one
// goroutine that keeps its thread for ever.
var starter = sync.OnceValue(func() chan func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func startLocked(cmd *exec.Cmd) error {
	result := make(chan error)
	starter() <- func() { result <- cmd.Start() }
	return <-result
}

func (c *command) pid() int { return c.cmd.Process.Pid }

func (c *command) running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

func (c *command) signal(s syscall.Signal) error {
	if err := c.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to %s: %w", s, c.name, err)
	}
	return nil
}

// kill ends the process at once and waits until it is gone.
func (c *command) kill() {
	_ = c.signal(syscall.SIGKILL)
	<-c.done
}

// end asks the process to end and waits for it; after patience it is killed, which is an error.
func (c *command) end(patience time.Duration) error {
	if err := c.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-c.done:
		return nil
	case <-time.After(patience):
		c.kill()
		return fmt.Errorf("%s had not ended %v after SIGTERM and was killed", c.name, patience)
	}
}

// exitCode is the process's exit code, -1 if a signal ended it. Valid after done.
func (c *command) exitCode() int { return c.cmd.ProcessState.ExitCode() }

// logBuffer gathers what a process prints, over restarts as well.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// shownLines is how much of a process's log a failed test prints.
const shownLines = 120

func (l *logBuffer) tail() string {
	lines := strings.Split(strings.TrimRight(l.String(), "\n"), "\n")
	if cut := len(lines) - shownLines; cut > 0 {
		lines = append([]string{fmt.Sprintf("… %d lines before", cut)}, lines[cut:]...)
	}
	return strings.Join(lines, "\n")
}

// showOnFailure prints a process's log when the test fails.
func showOnFailure(t testing.TB, name string, log *logBuffer) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("---- log of %s\n%s", name, log.tail())
		}
	})
}

// memory is a value of the process's status, in bytes.
func (c *command) memory(field string) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid()))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s: the system does not tell its %s", c.name, field)
}
