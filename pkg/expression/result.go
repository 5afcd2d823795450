package expression

import (
	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/windrow-io/windrow/pkg/record"
)

// Window is what an expression sees of a window. Times are Unix milliseconds.
type Window struct {
	ID       string    `expr:"id"`
	Stream   string    `expr:"stream"`
	Pipeline string    `expr:"pipeline"`
	Shard    string    `expr:"shard"`
	Emitter  string    `expr:"emitter"`
	Reason   string    `expr:"reason"`
	Key      string    `expr:"key"`
	Seq      int       `expr:"seq"`
	Start    int       `expr:"start"`
	End      int       `expr:"end"`
	Count    int       `expr:"count"`
	Revision int       `expr:"revision"`
	Final    bool      `expr:"final"`
	Data     any       `expr:"data"`    // the records' values; of an aggregated window the object it was made into
	Records  []*Record `expr:"records"` // none of an aggregated window
}

// Result is an expression that makes what is written of a window: OUTPUT_VALUE. Safe for concurrent use.
type Result struct {
	program *vm.Program
	looks   bool // at the records, beyond their values
}

// NewResult compiles the expression. The error tells the column.
func NewResult(text string) (*Result, error) {
	looks := &mention{name: "records"}
	program, err := compile(text, Window{}, expr.Patch(looks))
	if err != nil {
		return nil, err
	}
	return &Result{program: program, looks: looks.found}, nil
}

// Of is what the expression makes of a window with these records: nil, a string, or else JSON as a []byte. w's Data and
// Records are Of's to fill. The error is an ErrFailed.
func (x *Result) Of(w *Window, records []record.Record, aggregate bool) (any, error) {
	w.show(records, aggregate, x.looks)
	result, err := (&vm.VM{MemoryBudget: budget}).Run(x.program, w)
	if err != nil {
		return nil, failed(err)
	}
	switch result.(type) {
	case nil, string:
		return result, nil
	}
	text, err := new(encoder).encode(result)
	if err != nil {
		return nil, err
	}
	return text, nil
}

// show makes the records those that the expression sees.
func (w *Window) show(records []record.Record, aggregate, all bool) {
	if aggregate {
		w.Data = decode(records[0].Value)
		return
	}
	data := make([]any, len(records))
	for i := range records {
		data[i] = decode(records[i].Value)
	}
	w.Data = data
	if !all {
		return
	}
	w.Records = make([]*Record, len(records))
	for i := range records {
		w.Records[i] = &Record{Value: data[i]}
		w.Records[i].see(&records[i])
	}
}
