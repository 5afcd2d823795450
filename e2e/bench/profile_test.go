package bench

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/windrow-io/windrow/e2e/lab"
)

// profile begins to take processor profiles of the programs if BENCH_PROFILE names a folder for them. The function that
// it returns waits until they are there, which is later than the round's end, and takes heaps and metrics.
func (p parts) profile(b *testing.B, round string) (done func()) {
	dir := os.Getenv("BENCH_PROFILE")
	if dir == "" {
		return func() {}
	}
	take := func(name, page, file string) {
		var body []byte
		lab.WaitFor(b, time.Minute, page+" of "+name, func() bool { // it may not have got to its HTTP server yet
			resp, err := http.Get(p.programs[name].URL + page)
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			body, err = io.ReadAll(resp.Body)
			return err == nil && resp.StatusCode == http.StatusOK
		})
		file = fmt.Sprintf("%s-%s-%s-%s", path.Base(b.Name()), round, name, file)
		if err := os.WriteFile(filepath.Join(dir, file), body, 0o600); err != nil {
			b.Error(err)
		}
	}
	var taking sync.WaitGroup
	for name := range p.programs {
		taking.Go(func() { take(name, "/debug/pprof/profile?seconds=10", "cpu.pprof") })
	}
	return func() {
		taking.Wait()
		for name := range p.programs {
			take(name, "/debug/pprof/heap", "heap.pprof")
			take(name, "/metrics", "metrics.txt")
		}
	}
}
