package expression

import (
	"fmt"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/record"
)

// Single is an expression of one record. Not safe for concurrent use.
type Single struct {
	program *vm.Program
	vm      vm.VM
	env     Record
	encoder encoder
}

// NewFilter compiles an expression that says whether a record is wanted. The error tells the column.
func NewFilter(text string) (*Single, error) { return newSingle(text, expr.AsBool()) }

// NewMap compiles an expression that makes the new value of a record: anything that JSON has.
func NewMap(text string) (*Single, error) { return newSingle(text) }

func newSingle(text string, options ...expr.Option) (*Single, error) {
	program, err := compile(text, Record{}, options...)
	if err != nil {
		return nil, err
	}
	return &Single{program: program, vm: vm.VM{MemoryBudget: budget}}, nil
}

// run computes the expression for r.
func (s *Single) run(r *record.Record) (any, error) {
	s.env.see(r)
	s.env.Value = decode(r.Value)
	result, err := s.vm.Run(s.program, &s.env)
	if err == nil {
		return result, nil
	}
	if s.env.Value == nil && !field.ValidJSON(r.Value) {
		return nil, fmt.Errorf("%w: %w", ErrFailed, field.ErrNotJSON)
	}
	return nil, failed(err)
}

// Wanted reports whether r passes the filter. The error is an ErrFailed.
func (s *Single) Wanted(r *record.Record) (bool, error) {
	result, err := s.run(r)
	if err != nil {
		return false, err
	}
	wanted, ok := result.(bool)
	if !ok {
		return false, fmt.Errorf("%w: it gives %T, neither true nor false", ErrFailed, result)
	}
	return wanted, nil
}

// AppendValue appends what the expression makes of r as JSON. The error is an ErrFailed.
func (s *Single) AppendValue(dst []byte, r *record.Record) ([]byte, error) {
	result, err := s.run(r)
	if err != nil {
		return dst, err
	}
	text, err := s.encoder.encode(result)
	return append(dst, text...), err
}
