// Package archtest holds the shape of the module: which package may know which, which are pure, and who may read the
// environment. It is read off the sources, so that a stray import fails a test instead of settling in.
package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/windrow-io/windrow/"

// layers, from the bottom up: a package may import those of the layers below its own. A new package gets its place here.
var layers = [][]string{
	{"pkg/record", "pkg/handler", "internal/fault", "internal/ops", "internal/pause", "internal/await", "internal/fuzztest", "internal/kafkatest", "internal/redistest", "internal/archtest", "pkg/sink/internal/meter", "model/internal/explore"},
	{"pkg/field", "pkg/emit", "internal/wire", "pkg/buffer", "internal/lanetest", "model/internal/ledger", "model/internal/journal", "model/internal/replay", "model/internal/lease"},
	{"pkg/expression", "pkg/aggregate"},
	{"pkg/window", "pkg/shard", "pkg/source", "pkg/journal"},
	{"pkg/template", "pkg/window/windowtest"},
	{"pkg/sink", "pkg/letter", "internal/config"},
	{"pkg/sink/internal/envelope", "pkg/sink/sinktest", "internal/program", "internal/replay", "internal/bench"},
	{"pkg/sink/kafka", "pkg/sink/mongo", "pkg/sink/stdout", "pkg/sink/tee", "pkg/sink/windowjson"},
	{"pkg/sink/kafka/kafkatest", "pkg/sink/mongo/mongotest", "pkg/ingest", "pkg/process"},
	{"cmd/ingest", "cmd/process", "cmd/windrow", "examples/sorted", "examples/handler", "charts/windrow", "internal/sim", "model"},
}

// pure packages decide; others act. What a shard makes of its records must depend on nothing else.
var pure = []string{"pkg/record", "pkg/field", "pkg/emit", "pkg/expression", "pkg/aggregate", "pkg/shard", "pkg/window", "pkg/template"}

// impure is what a pure package must not reach for.
var impure = struct{ imports, timeFunctions []string }{
	imports:       []string{"context", "crypto/rand", "io/ioutil", "log", "log/slog", "math/rand", "math/rand/v2", "net", "net/http", "os", "os/exec", "syscall"},
	timeFunctions: []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"},
}

// demoOnly are modules that tests may use, and of the programs only windrow.
var demoOnly = []string{"github.com/alicebob/miniredis", "github.com/twmb/franz-go"}

// source is a Go file of the product.
type source struct {
	pkg  string // path below the module
	file string
	ast  *ast.File
}

func (s source) imports() []string {
	var paths []string
	for _, spec := range s.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // the parser has accepted it
		}
		paths = append(paths, p)
	}
	return paths
}

// sources parses every Go file of the module but tests; modules nested in it are not part of it.
func sources(t *testing.T) []source {
	t.Helper()
	const root = "../.."
	var found []source
	files := token.NewFileSet()
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			nested, err := filepath.Glob(filepath.Join(file, "go.mod"))
			hidden := strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".."
			if file != root && (len(nested) > 0 || hidden || entry.Name() == "testdata") {
				return filepath.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(files, file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(root, file)
		found = append(found, source{pkg: path.Dir(filepath.ToSlash(below)), file: below, ast: parsed})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("found no sources")
	}
	return found
}

func layerOf(pkg string) int {
	return slices.IndexFunc(layers, func(l []string) bool { return slices.Contains(l, pkg) })
}

func TestImportsGoDown(t *testing.T) {
	for _, s := range sources(t) {
		own := layerOf(s.pkg)
		if own < 0 {
			t.Errorf("%s: package %s has no place in the layers of this test", s.file, s.pkg)
			continue
		}
		for _, imported := range s.imports() {
			below, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			if layer := layerOf(below); layer < 0 || layer >= own {
				t.Errorf("%s: %s must not import %s, which is not below it", s.file, s.pkg, below)
			}
		}
	}
}

func TestPurePackagesAskNobody(t *testing.T) {
	for _, s := range sources(t) {
		if !slices.Contains(pure, s.pkg) {
			continue
		}
		for _, imported := range s.imports() {
			if slices.Contains(impure.imports, imported) {
				t.Errorf("%s: the pure package %s must not import %s", s.file, s.pkg, imported)
			}
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if name := selected(n, "time"); slices.Contains(impure.timeFunctions, name) {
				t.Errorf("%s: the pure package %s must not call time.%s: it is told the time", s.file, s.pkg, name)
			}
			if _, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s: the pure package %s must not start goroutines", s.file, s.pkg)
			}
			return true
		})
	}
}

func TestOnlyConfigReadsTheEnvironment(t *testing.T) {
	readers := []string{"internal/config", "internal/fault", "internal/redistest"}
	for _, s := range sources(t) {
		if slices.Contains(readers, s.pkg) {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if name := selected(n, "os"); slices.Contains([]string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}, name) {
				t.Errorf("%s: only internal/config reads the environment, not os.%s here", s.file, name)
			}
			return true
		})
	}
}

func TestServersForTestsStayOutOfTheProduct(t *testing.T) {
	allowed := []string{"cmd/windrow", "internal/replay", "internal/bench"}
	helpers := []string{"internal/await", "internal/fuzztest", "internal/redistest", "internal/kafkatest", "internal/lanetest", "pkg/sink/sinktest", "pkg/sink/kafka/kafkatest", "pkg/sink/mongo/mongotest", "pkg/window/windowtest"}
	for _, s := range sources(t) {
		for _, imported := range s.imports() {
			forTests := slices.ContainsFunc(demoOnly, func(m string) bool { return strings.HasPrefix(imported, m) }) || imported == "testing"
			below, _ := strings.CutPrefix(imported, module)
			forTests = forTests || slices.Contains(helpers, below)
			if forTests && !slices.Contains(helpers, s.pkg) && !slices.Contains(allowed, s.pkg) {
				t.Errorf("%s: %s is for tests and the demo only", s.file, imported)
			}
		}
	}
}

// selected is the name in an expression `pkg.name`, empty if n is none.
func selected(n ast.Node, pkg string) string {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if x, ok := sel.X.(*ast.Ident); !ok || x.Name != pkg {
		return ""
	}
	return sel.Sel.Name
}
