// Package crash ends Windrow's programs at every write that they do, right before it and right after it, on real servers,
// and checks that the output is the same as if nothing had happened.
package crash

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

// write is one place where a program writes. It has two points, <name>.before and <name>.after.
type write struct {
	name    string
	program string // which program is to die there
	times   []int  // the occurrences to die at
	ending  bool   // it comes only when the program is asked to end
	sink    string // it comes only with this one
}

const (
	ingest = "ingest"
	worker = "process"
)

// writes are all there are. The first transactions of a worker are the pipeline's start, then each shard's first checkpoint;
// later ones have output.
var writes = []write{
	{name: "claim", program: ingest, times: []int{1, 2, 3}},
	{name: "register", program: ingest, times: []int{1, 2}},
	{name: "append", program: ingest, times: []int{1, 2, 4}},
	{name: "offsets.ingest", program: ingest, times: []int{1, 2}},

	{name: "heartbeat", program: worker, times: []int{1, 3, 9}},
	{name: "topic.create", program: worker, times: []int{1}},
	{name: "lease.take", program: worker, times: []int{1, 2}},
	{name: "lease.renew", program: worker, times: []int{1, 3, 6}},
	{name: "group", program: worker, times: []int{1, 2}},
	{name: "read", program: worker, times: []int{1, 4, 9}},
	{name: "start", program: worker, times: []int{1}},
	{name: "txn.init", program: worker, times: []int{1, 2, 3}},
	{name: "mark", program: worker, times: []int{1, 2, 3}},
	{name: "txn.add", program: worker, times: []int{1, 5, 8}},
	{name: "produce", program: worker, times: []int{2, 8, 11}},
	{name: "txn.end", program: worker, times: []int{1, 5, 8}},
	{name: "checkpoint", program: worker, times: []int{1, 3, 4}},
	{name: "trim", program: worker, times: []int{1, 3, 4}},
	{name: "offsets.worker", program: worker, times: []int{1}},
	{name: "mongo.bulk", program: worker, times: []int{1, 3, 5}, sink: "mongo"},

	{name: "lease.release", program: worker, times: []int{1, 2}, ending: true},
	{name: "leave", program: worker, times: []int{1}, ending: true},
}

// pointsInCode returns the names of all points in the product's sources.
func pointsInCode(root string) (map[string]bool, error) {
	points := map[string]bool{}
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(file, ".go") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || f.Sel.Name != "Point" {
				return true
			}
			if x, ok := f.X.(*ast.Ident); !ok || x.Name != "fault" {
				return true
			}
			name := "a point whose name is no literal, in " + file
			if literal, ok := call.Args[0].(*ast.BasicLit); ok {
				name, err = strconv.Unquote(literal.Value)
			}
			points[name] = true
			return true
		})
		return err
	})
	return points, err
}
