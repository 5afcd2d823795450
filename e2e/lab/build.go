package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// Build builds a program once for the test binary and returns its path. The program is a folder below cmd or examples of
// the product, or below cmd of this module. With RACE=1 in the environment it is built with the race detector; see also
// BuildTags.
func Build(t testing.TB, program string) string {
	t.Helper()
	built, _ := builds.LoadOrStore(program, sync.OnceValues(func() (string, error) { return build(program) }))
	path, err := built.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// BuildTags are the build tags of all programs, comma separated. To be set before the first test runs.
var BuildTags string

var builds sync.Map // program → func() (path string, err error)

func build(program string) (string, error) {
	dir, err := sharedDir()
	if err != nil {
		return "", err
	}
	source, err := sourceOf(program)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "bin", program)
	args := []string{"build", "-o", path}
	if os.Getenv("RACE") == "1" {
		args = append(args, "-race")
	}
	if BuildTags != "" {
		args = append(args, "-tags", BuildTags)
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", source, err, out)
	}
	return path, nil
}

func sourceOf(program string) (string, error) {
	e2e := moduleDir()
	product := filepath.Dir(e2e)
	for _, parent := range []string{filepath.Join(product, "cmd"), filepath.Join(product, "examples"), filepath.Join(e2e, "cmd")} {
		dir := filepath.Join(parent, program)
		if _, err := os.Stat(dir); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("there is no program %s", program)
}

// moduleDir is the directory of this module.
func moduleDir() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(file))
}
