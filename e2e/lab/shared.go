package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Main runs the tests of a binary and ends what they shared. To be called as TestMain.
func Main(m *testing.M) {
	code := m.Run()
	atEnd.run(code)
	os.Exit(code)
}

// atEnd holds what is to be done after the last test.
var atEnd endings

type endings struct {
	mu    sync.Mutex
	calls []func(code int)
}

func (e *endings) add(call func(code int)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, call)
}

func (e *endings) run(code int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := len(e.calls) - 1; i >= 0; i-- {
		e.calls[i](code)
	}
}

func sharedKafka(t testing.TB) *KafkaServer {
	t.Helper()
	k, err := startSharedKafka()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var startSharedKafka = sync.OnceValues(func() (*KafkaServer, error) {
	dir, err := sharedDir()
	if err != nil {
		return nil, err
	}
	if dir, err = os.MkdirTemp(dir, "kafka"); err != nil {
		return nil, err
	}
	// It is never killed, and on a busy machine it shall not lose its leaderships for a heartbeat that came late.
	k, err := newKafka(dir, Property("broker.session.timeout.ms", "30000"))
	if err != nil {
		return nil, err
	}
	atEnd.add(func(code int) {
		if k.command != nil {
			k.command.kill()
		}
		if code != 0 {
			fmt.Fprintf(os.Stderr, "---- log of the shared kafka\n%s\n", k.log.tail())
		}
	})
	if err := k.start(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, k.log.tail())
	}
	return k, nil
})

// sharedDir is the directory of what outlives a test. Its name holds the process's id: those of test binaries that were
// killed are removed by the next one.
var sharedDir = sync.OnceValues(func() (string, error) {
	const prefix = "windrow-e2e-"
	old, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	if err != nil {
		return "", err
	}
	for _, dir := range old {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), prefix))
		if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			if err := os.RemoveAll(dir); err != nil {
				return "", err
			}
		}
	}
	dir := filepath.Join(os.TempDir(), prefix+strconv.Itoa(os.Getpid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	atEnd.add(func(int) { os.RemoveAll(dir) })
	return dir, nil
})

var (
	names      atomic.Int64
	notInNames = regexp.MustCompile(`[^a-z0-9-]+`)
)

// Name returns a name that no other test of the binary uses, fit for streams, topics, groups and databases.
func Name(t testing.TB) string {
	name := notInNames.ReplaceAllString(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "-")
	return fmt.Sprintf("%.40s-%d", name, names.Add(1))
}
