package windowtest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/windrow-io/windrow/pkg/aggregate"
	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/expression"
	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/window"
)

// Tape is an Out that writes down what comes: short for the reader, and every byte of it for comparing.
type Tape struct{ Short, Full []string }

// Window writes a window down.
func (o *Tape) Window(w *window.Window) {
	var s strings.Builder
	fmt.Fprintf(&s, "window %d", w.Seq)
	if w.Updates {
		fmt.Fprintf(&s, ".%d", w.Revision)
		if w.Final {
			s.WriteString(" final")
		}
	}
	if !w.Updates || !w.Final || w.Reason != emit.Final {
		fmt.Fprintf(&s, " %s", w.Reason)
	}
	if w.Keyed {
		fmt.Fprintf(&s, " key=%s", w.Key)
	}
	fmt.Fprintf(&s, " [%d %d]", w.Start, w.End)
	if w.Aggregate {
		fmt.Fprintf(&s, " of %d: %s", w.Count(), w.Records[0].Value)
	}
	for i := range w.Records {
		if w.Aggregate {
			break
		}
		fmt.Fprintf(&s, " %s@%d", w.Records[i].Topic, w.Records[i].Offset)
	}
	o.Short = append(o.Short, s.String())
	full := fmt.Appendf(nil, "%s %d %v %s %s %s %q %d %d %d %v %q %q %d|", w.ID(0), w.Revision, w.Final, w.Stream, w.Pipeline, w.Shard, w.Emitter, w.Seq, w.Start, w.End, w.Keyed, w.Key, w.Reason, w.Count())
	for i := range w.Records {
		full = w.Records[i].AppendBinary(full)
	}
	o.Full = append(o.Full, string(full))
}

// Reject writes a record down that goes to the dead letters.
func (o *Tape) Reject(r *record.Record, reason error) {
	word := reason.Error()
	switch {
	case errors.Is(reason, window.ErrLate):
		word = "late"
	case errors.Is(reason, expression.ErrFailed) && !errors.Is(reason, field.ErrNotJSON):
		word = "fails"
	case errors.Is(reason, aggregate.ErrNotNumber):
		word = "no number"
	case errors.Is(reason, field.ErrNotTime):
		word = "no time"
	case errors.Is(reason, field.ErrMissing):
		word = "no key"
		if !strings.HasPrefix(reason.Error(), "@key") && !strings.HasPrefix(reason.Error(), "id") {
			word = "no field"
		}
	case errors.Is(reason, field.ErrNotJSON):
		word = "not JSON"
	}
	o.Short = append(o.Short, fmt.Sprintf("reject %s@%d: %s", r.Topic, r.Offset, word))
	o.Full = append(o.Full, string(r.AppendBinary(fmt.Appendf(nil, "reject %v ", reason))))
}
