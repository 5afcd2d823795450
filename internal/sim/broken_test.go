package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rule is a rule of the product and the change of its source that breaks it, once broken.Rule(its name) is true.
type rule struct {
	name  string
	says  string // what holds while it is kept
	edits []edit
}

// edit replaces a text that is in the file exactly once.
type edit struct{ file, old, new string }

// brokenWithin is how many seeds must do to notice that a rule is broken, firstSeed which is the first of them.
const brokenWithin = 100

func (r *rule) firstSeed() int {
	if r.name == "lanes-are-decided" {
		return brokenWithin + 1 // those before draw no event time
	}
	return 1
}

// brokenPackage is in the build of the broken product alone.
const brokenPackage = `// Package broken says which rule is broken.
package broken

import "os"

var name = os.Getenv("BROKEN_RULE")

// Rule reports whether the rule of that name is broken.
func Rule(rule string) bool { return rule == name }
`

const root = "../.."

// TestEveryRuleIsNeeded breaks the rules that the product's promises rest on, one at a time: the simulation must fail. The
// product is built once, with every change in it behind a condition (go test -overlay): its own source has none of that.
func TestEveryRuleIsNeeded(t *testing.T) {
	overlay := overlayOf(t)
	if testing.Short() {
		return // the texts to replace are where they were; the rest takes minutes
	}
	binary := filepath.Join(t.TempDir(), "broken.test")
	build := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", binary, "./internal/sim")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the product with its broken rules: %v\n%s", err, out)
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		if seed, failure := simulateBroken(t, binary, &rule{}); seed > 0 {
			t.Errorf("with every rule kept seed %d fails: %s", seed, failure)
		}
	})
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			seed, failure := simulateBroken(t, binary, &r)
			if seed == 0 {
				t.Fatalf("%d seeds pass although the rule is broken that %s", brokenWithin, r.says)
			}
			t.Logf("broken: %s\nnoticed by seed %d: %s", r.says, seed, failure)
		})
	}
}

// TestGuaranteesListTheRules: docs/GUARANTEES.md says of each which seed notices that it is broken.
func TestGuaranteesListTheRules(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/GUARANTEES.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed, seeds := map[string]string{}, map[string]int{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (.*) \\| ([0-9]+) \\|").FindAllSubmatch(text, -1) {
		listed[string(m[1])] = string(m[2])
		seeds[string(m[1])], _ = strconv.Atoi(string(m[3]))
	}
	for _, r := range rules {
		if listed[r.name] != r.says {
			t.Errorf("docs/GUARANTEES.md says of the rule %s %q; it is that %s", r.name, listed[r.name], r.says)
		}
		if seed := seeds[r.name] - r.firstSeed(); seed < 0 || seed >= brokenWithin {
			t.Errorf("docs/GUARANTEES.md says that the seed %d notices the rule %s broken", seeds[r.name], r.name)
		}
		delete(listed, r.name)
	}
	for name := range listed {
		t.Errorf("docs/GUARANTEES.md lists the rule %s, which is none", name)
	}
}

// overlayOf writes the changed files and returns the file that names them.
func overlayOf(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	changed := map[string]string{filepath.Join(dir, "internal/sim/broken/broken.go"): brokenPackage}
	for _, r := range rules {
		for _, e := range r.edits {
			file := filepath.Join(dir, e.file)
			text, ok := changed[file]
			if !ok {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				text = regexp.MustCompile(`(?m)^package .*\n`).ReplaceAllString(string(b), "$0\nimport \"github.com/windrow-io/windrow/internal/sim/broken\"\n")
			}
			if n := strings.Count(text, e.old); n != 1 {
				t.Fatalf("rule %s: %s has %d times what is to be replaced, once is wanted:\n%s", r.name, e.file, n, e.old)
			}
			if !strings.Contains(e.new, `broken.Rule("`+r.name+`")`) {
				t.Fatalf("rule %s: the change of %s does not ask whether it is broken", r.name, e.file)
			}
			changed[file] = strings.Replace(text, e.old, e.new, 1)
		}
	}
	tmp := t.TempDir()
	replace := map[string]string{}
	for file, text := range changed {
		to := filepath.Join(tmp, strconv.Itoa(len(replace))+".go")
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[file] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(tmp, "overlay.json")
	if err := os.WriteFile(overlay, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return overlay
}

var failedSeed = regexp.MustCompile(`(?m)^ *\S+_test\.go:\d+: seed (\d+): (.*)$`)

// simulateBroken runs seeds until one fails, and returns it with what it says; 0: none did. What is not a seed's failure –
// a panic, say – shows nothing, and is a failure of the test.
func simulateBroken(t *testing.T, binary string, r *rule) (seed int, failure string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run", "TestSeeds$", "-first", strconv.Itoa(r.firstSeed()), "-seeds", strconv.Itoa(brokenWithin), "-failures", "1")
	cmd.Env = append(os.Environ(), "BROKEN_RULE="+r.name)
	out, err := cmd.CombinedOutput()
	m := failedSeed.FindSubmatch(out)
	switch {
	case m != nil:
		seed, _ = strconv.Atoi(string(m[1]))
		return seed, string(m[2])
	case err != nil:
		t.Fatalf("%v\n%s", err, out[max(0, len(out)-4000):])
	case !bytes.HasSuffix(bytes.TrimSpace(out), []byte("PASS")):
		t.Fatalf("neither a failure nor a pass:\n%s", out)
	}
	return 0, ""
}
