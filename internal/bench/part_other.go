//go:build !linux

package bench

import (
	"errors"
	"syscall"
	"time"
)

var withParent *syscall.SysProcAttr

var errNotLinux = errors.New("processor time and memory of processes are measured on Linux only")

func cpuTime(int) (time.Duration, error) { return 0, errNotLinux }

func peakMemory(int) (int64, error) { return 0, errNotLinux }
