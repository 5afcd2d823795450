package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// withParent makes a process end when this one does, however that ends.
var withParent = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

// cpuTime is the processor time that a process has used so far. Its clock has nanoseconds, /proc/<pid>/stat has ticks of
// 10 ms, which is more than an idle program uses in seconds.
func cpuTime(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED: see clock_getcpuclockid(3)
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0, fmt.Errorf("the processor time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// peakMemory is the most memory that a process has had resident so far, in bytes. Not ru_maxrss: that begins with what the
// parent had when it forked.
func peakMemory(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("the system does not tell the peak memory of process %d", pid)
}
