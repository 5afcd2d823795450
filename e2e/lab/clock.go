package lab

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Clock is the wall clock of a server, which steps when the test says so. Programs in Go don't notice it: they don't ask
// libc for the time.
type Clock struct {
	library string // to be preloaded
	offset  string // the file with the nanoseconds that the clock is ahead
}

//go:embed clock/clock.c
var clockSource []byte

// clockLibrary builds the library once for the test binary.
var clockLibrary = sync.OnceValues(func() (string, error) {
	dir, err := sharedDir()
	if err != nil {
		return "", err
	}
	source, library := filepath.Join(dir, "clock.c"), filepath.Join(dir, "clock.so")
	if err := os.WriteFile(source, clockSource, 0o600); err != nil {
		return "", err
	}
	if out, err := exec.Command("cc", "-O2", "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building a clock for servers: %w: run `make setup`\n%s", err, out)
	}
	return library, nil
})

// newClock returns the machine's time, for now.
func newClock(dir string) (*Clock, error) {
	library, err := clockLibrary()
	if err != nil {
		return nil, err
	}
	c := &Clock{library: library, offset: filepath.Join(dir, "clock-offset")}
	return c, c.step(0, os.O_CREATE)
}

// env is what makes a server's clock this one.
func (c *Clock) env() []string {
	return []string{"LD_PRELOAD=" + c.library, "CLOCK_OFFSET=" + c.offset}
}

// Step sets the clock ahead of the machine's by d, at once, or behind it.
func (c *Clock) Step(t testing.TB, d time.Duration) {
	t.Helper()
	if err := c.step(d, 0); err != nil {
		t.Fatal(err)
	}
}

func (c *Clock) step(d time.Duration, flag int) error {
	f, err := os.OpenFile(c.offset, os.O_WRONLY|flag, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(d)), 0)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
