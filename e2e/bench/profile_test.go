package bench

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// profile begins to take processor profiles of the programs if BENCH_PROFILE names a folder for them. The function that
// it returns waits until they are there, and takes the heaps.
func (p parts) profile(b *testing.B, round string) (done func()) {
	dir := os.Getenv("BENCH_PROFILE")
	if dir == "" {
		return func() {}
	}
	take := func(name, page string) {
		program := p.programs[name]
		status, body := program.Get("/debug/pprof/" + page)
		if status != http.StatusOK {
			b.Errorf("%s gives no profile: %d", program.Name, status)
			return
		}
		kind, _, _ := strings.Cut(page, "?")
		if err := os.WriteFile(filepath.Join(dir, round+"-"+name+"-"+kind+".pprof"), []byte(body), 0o600); err != nil {
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
