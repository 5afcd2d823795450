package window

import (
	"slices"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/expression"
)

// bounds checks what may close a window, and refuses those that the emitter has no use for.
func (c *checker) bounds(useful ...string) {
	s := &c.s
	use := func(variable string, set bool, value any) bool {
		if !slices.Contains(useful, variable) {
			c.refuse(variable, set, value)
			return false
		}
		return set
	}
	if use("WINDOW_SIZE", s.Size != 0, s.Size) && s.Size < 1 && s.Emitter != emit.NameCount && s.Emitter != emit.NameSample {
		c.add("WINDOW_SIZE=%d: it must be at least 1 (records)", s.Size)
	}
	if use("WINDOW_BYTES", s.Bytes != 0, s.Bytes) && s.Bytes < 1 && s.Emitter != emit.NameBytes {
		c.add("WINDOW_BYTES=%d: it must be at least 1 (bytes)", s.Bytes)
	}
	if use("WINDOW_WHEN", s.When != "", s.When) {
		if _, err := expression.NewCondition(s.When); err != nil {
			c.add("WINDOW_WHEN: %w", err)
		}
	}
	if use("WINDOW_INTERVAL", s.Interval != 0, s.Interval) && (s.Emitter == emit.NameCount || s.Emitter == emit.NameBytes || s.Emitter == emit.NameState) {
		c.duration("WINDOW_INTERVAL", s.Interval)
	}
	if use("WINDOW_TIMEOUT", s.Timeout != 0, s.Timeout) {
		c.duration("WINDOW_TIMEOUT", s.Timeout)
	}
	if s.Emitter != emit.NameSliding {
		use("WINDOW_SLIDE", s.Slide != 0, s.Slide)
	}
	use("WINDOW_SLIDE", s.SlideSize != 0, s.SlideSize)
	if use("EMIT_EMPTY", s.EmitEmpty, s.EmitEmpty) && s.Key != "" {
		c.add("EMIT_EMPTY=true conflicts with WINDOW_KEY=%s: nobody knows the keys that nothing came for; unset one of them", s.Key)
	}
}

// slide checks windows of the last records.
func (c *checker) slide() {
	s := &c.s
	switch {
	case s.Slide != 0:
		c.add("WINDOW_SLIDE=%v: EMITTER=count slides by a number of records, as in 10", s.Slide)
	case s.SlideSize == 0:
	case s.SlideSize < 1 || s.SlideSize > s.Size:
		c.add("WINDOW_SLIDE=%d: it must be between 1 and WINDOW_SIZE=%d (records), or records between the windows would be in none", s.SlideSize, s.Size)
	default:
		for _, v := range []struct {
			variable string
			set      bool
			value    any
		}{
			{"WINDOW_BYTES", s.Bytes != 0, s.Bytes}, {"WINDOW_WHEN", s.When != "", s.When},
			{"WINDOW_INTERVAL", s.Interval != 0, s.Interval}, {"WINDOW_TIMEOUT", s.Timeout != 0, s.Timeout},
		} {
			if v.set {
				c.add("%s=%v conflicts with WINDOW_SLIDE=%d: windows of the last records close by number alone; unset one of them", v.variable, v.value, s.SlideSize)
			}
		}
	}
}

// opens checks what opens a window of state, and that something closes it.
func (c *checker) opens() {
	s := &c.s
	if s.Open == "" {
		c.add("WINDOW_OPEN is missing: EMITTER=state needs it, as in value.on")
	} else if _, err := expression.NewCondition(s.Open); err != nil {
		c.add("WINDOW_OPEN: %w", err)
	}
	if s.When == "" && s.Size == 0 && s.Bytes == 0 && s.Interval == 0 && s.Timeout == 0 {
		c.add("WINDOW_WHEN is missing: EMITTER=state needs it, as in not value.on, or another bound: WINDOW_SIZE, WINDOW_BYTES, WINDOW_INTERVAL or WINDOW_TIMEOUT")
	}
}
