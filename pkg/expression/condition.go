package expression

import (
	"fmt"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/record"
)

// joining is what an emit.Condition sees: the record that is about to join others, as a Single sees it, and the others.
type joining struct {
	Record
	Records []*Record `expr:"records"` // oldest first, this one last
	Size    int       `expr:"size"`    // how many they are
}

// Condition is an emit.Condition: WINDOW_WHEN and its like. Not safe for concurrent use.
type Condition struct {
	program *vm.Program
	vm      vm.VM
	looks   bool
	env     joining
	queue   *emit.Queue // whose records env.Records are
}

// NewCondition compiles an expression that says something of a record that joins others. The error tells the column.
func NewCondition(text string) (*Condition, error) {
	looks := &mention{name: "records"}
	program, err := compile(text, joining{}, expr.AsBool(), expr.Patch(looks))
	if err != nil {
		return nil, err
	}
	return &Condition{program: program, vm: vm.VM{MemoryBudget: budget}, looks: looks.found}, nil
}

// Looks is emit.Condition's.
func (c *Condition) Looks() bool { return c.looks }

// Holds is emit.Condition's. The error is an ErrFailed.
func (c *Condition) Holds(q *emit.Queue, r *record.Record) (bool, error) {
	c.env.see(r)
	c.env.Value = decode(r.Value)
	c.env.Size = q.Len() + 1
	if c.looks {
		c.look(q)
	}
	result, err := c.vm.Run(c.program, &c.env)
	holds, ok := result.(bool)
	if err == nil && ok {
		return holds, nil
	}
	if c.looks { // it may not join
		c.env.Records = c.env.Records[:len(c.env.Records)-1]
	}
	switch {
	case err == nil:
		return false, fmt.Errorf("%w: it gives %T, neither true nor false", ErrFailed, result)
	case c.env.Value == nil && !field.ValidJSON(r.Value):
		return false, fmt.Errorf("%w: %w", ErrFailed, field.ErrNotJSON)
	}
	return false, failed(err)
}

// look lets the expression see the records of q, and behind them the one that is about to join. Since every record of q was
// the one about to join once, the list goes on where it was left as long as it is the same queue's, and as long as it.
func (c *Condition) look(q *emit.Queue) {
	if c.queue != q || len(c.env.Records) != len(q.Records) || len(q.Records) == 0 {
		clear(c.env.Records)
		c.queue, c.env.Records = q, c.env.Records[:0]
		for i := range q.Records {
			x := &Record{Value: decode(q.Records[i].Value)}
			x.see(&q.Records[i])
			c.env.Records = append(c.env.Records, x)
		}
	}
	x := c.env.Record
	c.env.Records = append(c.env.Records, &x)
}

// mention finds out whether an expression mentions a name.
type mention struct {
	name  string
	found bool
}

func (m *mention) Visit(node *ast.Node) {
	if n, ok := (*node).(*ast.IdentifierNode); ok && n.Value == m.name {
		m.found = true
	}
}
