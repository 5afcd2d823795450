package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// part is a process that is measured.
type part struct {
	name  string
	url   string // of its HTTP server; empty: it has none
	cmd   *exec.Cmd
	begin time.Time
	out   bytes.Buffer // standard output; to be read when it has ended
	log   tail         // standard error
	done  chan struct{}
	err   error // how it ended; valid after done
}

// startPart starts a process with exactly this environment; nil: this process's.
func startPart(name string, argv, environ []string) (*part, error) {
	p := &part{name: name, cmd: exec.Command(argv[0], argv[1:]...), begin: time.Now(), done: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = environ, &p.out, &p.log, withParent
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *part) pid() int { return p.cmd.Process.Pid }

// failed is an error if the process has ended, which it was not asked to.
func (p *part) failed() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended (%v): %s", p.name, p.cmd.ProcessState, p.log.String())
	default:
		return nil
	}
}

// wait waits until the process ends by itself, with 0.
func (p *part) wait(ctx context.Context) error {
	select {
	case <-p.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.err != nil {
		return p.failed()
	}
	return nil
}

// stopPatience is how long a process may take to end when it is asked to.
const stopPatience = 30 * time.Second

// stop asks the process to end and waits for it.
func (p *part) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(stopPatience):
		p.kill()
		return fmt.Errorf("%s had not ended %v after it was asked to, and was killed: %s", p.name, stopPatience, p.log.String())
	}
	if p.err != nil {
		return p.failed()
	}
	return nil
}

// kill ends the process at once, if it runs.
func (p *part) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// client has no proxy from the environment between the bench and its programs.
var client = &http.Client{Transport: &http.Transport{}}

// get is a page of the process's HTTP server.
func (p *part) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s%s answers %s", p.url, path, resp.Status)
	}
	return body, err
}

// metrics are the sums of the process's metrics by name, whatever their labels.
func (p *part) metrics(ctx context.Context) (map[string]float64, error) {
	body, err := p.get(ctx, "/metrics")
	if err != nil {
		return nil, fmt.Errorf("the metrics of %s: %w", p.name, err)
	}
	sums := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
		if err != nil {
			return nil, fmt.Errorf("the metrics of %s: %q", p.name, line)
		}
		name, _, _ := strings.Cut(line[:at], "{")
		sums[name] += value
	}
	return sums, nil
}

// freeAddress is an address of the loopback on which nothing listens now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 8 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailBytes):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

// until looks again and again whether a condition holds; it gives up when it can't be looked at, or after patience.
func until(ctx context.Context, what string, holds func() (bool, error)) error {
	const pause = 20 * time.Millisecond
	for deadline := time.Now().Add(patience); ; {
		ok, err := holds()
		switch {
		case err != nil:
			return err
		case ok:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("waited %v in vain for %s", patience, what)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// patience is how long is waited for anything that must come: a round's whole work is the longest of it.
const patience = 15 * time.Minute
