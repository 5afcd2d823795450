package expression

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/windrow-io/windrow/pkg/emit"
)

// waiting is what WINDOW_QUERY sees, and with the window WINDOW_READY.
type waiting struct {
	Records []*Record `expr:"records"` // oldest first
	Now     int       `expr:"now"`     // Unix milliseconds
	Waited  int       `expr:"waited"`  // how long the oldest has waited, milliseconds
}

type picked struct {
	waiting
	Window []*Record `expr:"window"`
}

// Strategy is EMITTER=expr: Query picks the records of the next window from those that wait, Ready says whether it is to be
// emitted now. A record for which they can't be computed leaves (emit.Cut). Not safe for concurrent use.
type Strategy struct {
	emit.Strategy
	query, ready *vm.Program
	vm           vm.VM
	queryEnv     waiting
	readyEnv     picked
	records      []Record
	known        map[place]decoded
	picks        []int
	fault        error // of the record picks[0]
}

// place is where a record came from.
type place struct {
	topic     string
	partition int32
	offset    int64
}

// decoded is a value that was decoded for the last query: most of what waits has been seen before.
type decoded struct {
	from  []byte
	value any
}

// NewStrategy compiles WINDOW_QUERY and WINDOW_READY. The errors name the variable and tell the column.
func NewStrategy(query, ready string) (*Strategy, error) {
	s := &Strategy{vm: vm.VM{MemoryBudget: budget}}
	var errs []error
	var err error
	if s.query, err = compile(query, waiting{}); err != nil {
		errs = append(errs, fmt.Errorf("WINDOW_QUERY: %w", err))
	}
	if s.ready, err = compile(ready, picked{}, expr.AsBool()); err != nil {
		errs = append(errs, fmt.Errorf("WINDOW_READY: %w", err))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	s.Strategy = emit.NewCustom(asked{s})
	return s, nil
}

// asked is the strategy as an emitter.
type asked struct{ s *Strategy }

func (a asked) Query(w *emit.Waiting) []int {
	s := a.s
	s.show(w)
	if _, s.fault = s.pick(len(w.Records)); s.fault != nil {
		s.picks = append(s.picks[:0], s.culprit())
	}
	return s.picks
}

func (a asked) Ready(*emit.Waiting, []int) bool {
	s := a.s
	if s.fault != nil {
		return true // it leaves, not as a window
	}
	ready, err := s.isReady(len(s.records))
	if err == nil {
		return ready
	}
	s.fault = err
	s.picks = append(s.picks[:0], s.culprit())
	return true
}

// Ask is emit.Strategy's.
func (s *Strategy) Ask(q *emit.Queue, now int64) emit.Cut {
	cut := s.Strategy.Ask(q, now)
	if s.fault != nil {
		cut = emit.Cut{Reason: emit.Ready, Picked: s.picks, Err: s.fault}
	}
	return cut
}

// show prepares the records for the expressions.
func (s *Strategy) show(w *emit.Waiting) {
	n := len(w.Records)
	s.records = slices.Grow(s.records[:0], n)[:n]
	s.queryEnv.Records = slices.Grow(s.queryEnv.Records[:0], n)[:n]
	known := make(map[place]decoded, n)
	for i := range w.Records {
		r, x := &w.Records[i], &s.records[i]
		x.see(r)
		x.index = i
		at := place{r.Topic, r.Partition, r.Offset}
		d, ok := s.known[at]
		if !ok || !bytes.Equal(d.from, r.Value) {
			d = decoded{bytes.Clone(r.Value), decode(r.Value)}
		}
		known[at] = d
		x.Value = d.value
		s.queryEnv.Records[i] = x
	}
	s.known = known
	s.queryEnv.Now, s.queryEnv.Waited = int(w.Now), int(w.Now-w.Since)
}

// pick runs the query over the first n records. What it gives is a list of records, or one; a record counts once.
func (s *Strategy) pick(n int) ([]int, error) {
	env := s.queryEnv
	env.Records = env.Records[:n]
	result, err := s.vm.Run(s.query, &env)
	if err != nil {
		return nil, failed(err)
	}
	for i := range n {
		s.records[i].taken = false
	}
	s.picks = s.picks[:0]
	switch list := result.(type) {
	case nil:
	case []*Record:
		for _, r := range list {
			s.take(r)
		}
	case []any:
		for _, x := range list {
			if !s.take(x) {
				return nil, fmt.Errorf("%w: WINDOW_QUERY gives a list with %T in it, where records should be", ErrFailed, x)
			}
		}
	default:
		if !s.take(list) {
			return nil, fmt.Errorf("%w: WINDOW_QUERY gives %T, where a list of records should be", ErrFailed, list)
		}
	}
	return s.picks, nil
}

// take adds a record to the picks; false: it is none.
func (s *Strategy) take(x any) bool {
	r, ok := x.(*Record)
	if ok && r != nil && !r.taken {
		r.taken = true
		s.picks = append(s.picks, r.index)
	}
	return ok
}

// isReady asks whether the window of the picks among the first n records is ready.
func (s *Strategy) isReady(n int) (bool, error) {
	env := &s.readyEnv
	env.waiting = s.queryEnv
	env.Records = env.Records[:n]
	env.Window = env.Window[:0]
	for _, i := range s.picks {
		env.Window = append(env.Window, &s.records[i])
	}
	result, err := s.vm.Run(s.ready, env)
	if err != nil {
		return false, failed(err)
	}
	ready, ok := result.(bool)
	if !ok {
		return false, fmt.Errorf("%w: WINDOW_READY gives %T, neither true nor false", ErrFailed, result)
	}
	return ready, nil
}

// culprit is a record with which the expressions begin to fail: without it, and those behind it, they don't.
func (s *Strategy) culprit() int {
	good, bad := 0, len(s.records) // numbers of records with which they are fine, and fail
	for bad-good > 1 {
		n := (good + bad) / 2
		picks, err := s.pick(n)
		if err == nil && len(picks) > 0 {
			_, err = s.isReady(n)
		}
		if err == nil {
			good = n
		} else {
			bad = n
		}
	}
	return bad - 1
}

// failed is the error of a run, in one line.
func failed(err error) error {
	message := err.Error()
	if fault := (*file.Error)(nil); errors.As(err, &fault) {
		message = fmt.Sprintf("column %d: %s", fault.Column+1, fault.Message)
	}
	message, _, _ = strings.Cut(message, "\n")
	return fmt.Errorf("%w: %s", ErrFailed, message)
}
