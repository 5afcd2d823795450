// Package expression runs the expressions that settings hold: FILTER and MAP, of one record, those of EMITTER=expr, of the
// records that wait, and OUTPUT_VALUE, of a window. The language is that of github.com/expr-lang/expr.
//
// An expression sees a record as value (the JSON value, null if it is not JSON; whole numbers are integers), key, topic,
// partition, offset, timestamp (Unix milliseconds) and headers. It is checked when it is compiled, and can't do anything but
// compute: no clock, no order of a map, nothing that two workers could see differently. A program has no loops but those
// over what it is shown, at most two deep, and its memory is bounded.
package expression

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/windrow-io/windrow/pkg/record"
)

// ErrFailed is the error of an expression that can't be computed for a record: a field is missing, or of a wrong type.
var ErrFailed = errors.New("the expression fails")

const (
	maxLength = 4096      // bytes of an expression
	maxNodes  = 1000      // parts of an expression
	maxDepth  = 2         // of loops within loops
	budget    = 1_000_000 // values that a run may make
)

// Record is what an expression sees of a record.
type Record struct {
	Value     any               `expr:"value"`
	Key       string            `expr:"key"`
	Topic     string            `expr:"topic"`
	Partition int               `expr:"partition"`
	Offset    int               `expr:"offset"`
	Timestamp int               `expr:"timestamp"`
	Headers   map[string]string `expr:"headers"`

	index int  // among those that wait
	taken bool // by the query
}

// see makes x what expressions see of r, but for its value.
func (x *Record) see(r *record.Record) {
	x.Key, x.Topic = string(r.Key), r.Topic
	x.Partition, x.Offset, x.Timestamp = int(r.Partition), int(r.Offset), int(r.Timestamp)
	x.Headers = nil
	for h := range r.Headers() {
		if x.Headers == nil {
			x.Headers = map[string]string{}
		}
		x.Headers[string(h.Key)] = string(h.Value)
	}
}

// decode returns a JSON value; nil if it is none.
func decode(value []byte) any {
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	if _, err := d.Token(); err != io.EOF {
		return nil
	}
	return numbers(v)
}

// numbers makes whole numbers integers, and others floats.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		f, _ := v.Float64() // what is beyond is infinite
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	}
	return v
}

// encoder encodes what expressions give as JSON.
type encoder struct {
	buffer bytes.Buffer
	json   *json.Encoder
}

// encode returns v as JSON, valid until the next call. The error is an ErrFailed.
func (e *encoder) encode(v any) ([]byte, error) {
	if e.json == nil {
		e.json = json.NewEncoder(&e.buffer)
		e.json.SetEscapeHTML(false)
	}
	e.buffer.Reset()
	if err := e.json.Encode(v); err != nil {
		return nil, fmt.Errorf("%w: what it gives is beyond JSON: %w", ErrFailed, err)
	}
	return bytes.TrimSuffix(e.buffer.Bytes(), []byte("\n")), nil
}

// unfit are functions of the language that would not give the same everywhere and always.
var unfit = map[string]string{
	"now":     "a replay would see another time",
	"keys":    "the order of a map's keys is not defined",
	"values":  "the order of a map's values is not defined",
	"toPairs": "the order of a map's members is not defined",
}

// compile checks an expression over an environment and compiles it.
func compile(text string, env any, options ...expr.Option) (*vm.Program, error) {
	if len(text) > maxLength {
		return nil, fmt.Errorf("it has %d bytes, at most %d are allowed", len(text), maxLength)
	}
	bounds := &bounds{loops: map[ast.Node]int{}}
	options = append(options, expr.Env(env), expr.MaxNodes(maxNodes), expr.Patch(bounds), expr.Timezone("UTC"))
	for name := range unfit {
		options = append(options, expr.DisableBuiltin(name))
	}
	program, err := expr.Compile(text, options...)
	if err != nil {
		return nil, explain(text, env, err)
	}
	if bounds.err != nil {
		return nil, bounds.err
	}
	return program, nil
}

// explain turns the compiler's error into one for the operator: the column, from 1, what is wrong, and what could stand
// there.
func explain(text string, env any, err error) error {
	fault := (*file.Error)(nil)
	if !errors.As(err, &fault) {
		return err
	}
	message := fault.Message
	for name, why := range unfit {
		if strings.Contains(message, "unknown name "+name) || strings.Contains(text, name+"(") && strings.Contains(message, name) {
			return fmt.Errorf("column %d: %s can't be used: %s", fault.Column+1, name, why)
		}
	}
	if strings.Contains(message, "unknown name") {
		message += "; known are " + strings.Join(names(env), ", ")
	}
	return fmt.Errorf("column %d: %s", fault.Column+1, message)
}

// names are those that an environment has.
func names(env any) (names []string) {
	t := reflect.Indirect(reflect.ValueOf(env)).Type()
	for _, f := range reflect.VisibleFields(t) {
		if name := f.Tag.Get("expr"); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// bounds refuses what could take for ever: loops too deep in loops, and ranges, which may be as long as anybody writes.
type bounds struct {
	loops map[ast.Node]int // the depth of each loop seen
	err   error
}

// Visit is called for the parts of a node before the node itself.
func (b *bounds) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.BinaryNode:
		if n.Operator == ".." {
			b.fail(n, "ranges can't be used: write x >= 1 and x <= 9 for x in 1..9")
		}
	case *ast.PredicateNode:
		inner := &deepest{loops: b.loops}
		ast.Walk(&n.Node, inner)
		b.loops[n] = inner.depth + 1
		if b.loops[n] > maxDepth {
			b.fail(n, fmt.Sprintf("loops stand %d deep in each other, at most %d are allowed: the time they take grows with that power of the records", b.loops[n], maxDepth))
		}
	}
}

func (b *bounds) fail(n ast.Node, why string) {
	if b.err == nil {
		b.err = fmt.Errorf("column %d: %s", n.Location().From+1, why)
	}
}

// deepest finds the depth of the loops within a node.
type deepest struct {
	loops map[ast.Node]int
	depth int
}

func (d *deepest) Visit(node *ast.Node) { d.depth = max(d.depth, d.loops[*node]) }
