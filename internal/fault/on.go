//go:build faults

package fault

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	point string
	left  atomic.Int64 // times until the end
)

func init() {
	setting := os.Getenv("WINDROW_FAULT")
	if setting == "" {
		return
	}
	name, times, _ := strings.Cut(setting, "@")
	n, err := strconv.ParseInt(times, 10, 64)
	if err != nil || n < 1 {
		panic(fmt.Sprintf("WINDROW_FAULT=%s: want a point and how many times it is come to, like txn.end.before@2", setting))
	}
	point = name
	left.Store(n)
}

// Point is a place where a test may end the program. Names are <write>.before and <write>.after.
func Point(name string) {
	if name != point || left.Add(-1) != 0 {
		return
	}
	fmt.Fprintf(os.Stderr, "fault: killed at %s\n", name)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // never another step
}
