package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestGuaranteesNameTestsThatExist: a promise is worth what its test is.
func TestGuaranteesNameTestsThatExist(t *testing.T) {
	const root = "../.."
	text, err := os.ReadFile(root + "/docs/GUARANTEES.md")
	if err != nil {
		t.Fatal(err)
	}
	exist := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	if err := filepath.WalkDir(root, func(file string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		code, err := os.ReadFile(file)
		for _, m := range function.FindAllSubmatch(code, -1) {
			exist[string(m[1])] = true
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)`").FindAllSubmatch(text, -1)
	if len(named) < 20 {
		t.Fatalf("the guarantees name %d tests", len(named))
	}
	for _, m := range named {
		if !exist[string(m[1])] {
			t.Errorf("docs/GUARANTEES.md names %s, which does not exist", m[1])
		}
	}
}
