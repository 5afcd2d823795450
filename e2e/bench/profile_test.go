package bench

import (
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/windrow-io/windrow/e2e/lab"
)

// profile begins to take processor profiles of the programs if BENCH_PROFILE names a folder for them. The function that
// it returns waits until they are there, and takes the heaps.
func (p parts) profile(b *testing.B, round string) (done func()) {
	dir := os.Getenv("BENCH_PROFILE")
	if dir == "" {
		return func() {}
	}
	take := func(name, page string) {
		var status int
		var body string
		lab.WaitFor(b, time.Minute, "a profile of "+name, func() bool { // it may not have got to its HTTP server yet
			status, body = p.programs[name].Get("/debug/pprof/" + page)
			return status == http.StatusOK
		})
		kind, _, _ := strings.Cut(page, "?")
		file := fmt.Sprintf("%s-%s-%s-%s.pprof", path.Base(b.Name()), round, name, kind)
		if err := os.WriteFile(filepath.Join(dir, file), []byte(body), 0o600); err != nil {
			b.Error(err)
		}
	}
	var taking sync.WaitGroup
	for name := range p.programs {
		taking.Go(func() { take(name, "profile?seconds=2") })
	}
	return func() {
		taking.Wait()
		for name := range p.programs {
			take(name, "heap")
		}
	}
}
