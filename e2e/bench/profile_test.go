package bench

import (
	"fmt"
	"io"
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
// it returns waits until they are there, which is later than the round's end, and takes the heaps.
func (p parts) profile(b *testing.B, round string) (done func()) {
	dir := os.Getenv("BENCH_PROFILE")
	if dir == "" {
		return func() {}
	}
	take := func(name, page string) {
		var body []byte
		lab.WaitFor(b, time.Minute, "a profile of "+name, func() bool { // it may not have got to its HTTP server yet
			resp, err := http.Get(p.programs[name].URL + "/debug/pprof/" + page)
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			body, err = io.ReadAll(resp.Body)
			return err == nil && resp.StatusCode == http.StatusOK
		})
		kind, _, _ := strings.Cut(page, "?")
		file := fmt.Sprintf("%s-%s-%s-%s.pprof", path.Base(b.Name()), round, name, kind)
		if err := os.WriteFile(filepath.Join(dir, file), body, 0o600); err != nil {
			b.Error(err)
		}
	}
	var taking sync.WaitGroup
	for name := range p.programs {
		taking.Go(func() { take(name, "profile?seconds=10") })
	}
	return func() {
		taking.Wait()
		for name := range p.programs {
			take(name, "heap")
		}
	}
}
