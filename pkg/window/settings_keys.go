package window

import (
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/field"
)

// orderBy checks ORDER_BY.
func (c *checker) orderBy() {
	s := &c.s
	if s.OrderBy == "" {
		return
	}
	if _, err := parseOrder(s.OrderBy); err != nil {
		c.add("ORDER_BY=%s: %w", s.OrderBy, err)
	}
	if s.Aggregate != "" {
		c.add("ORDER_BY=%s conflicts with AGGREGATE, which keeps no records to be put in order: unset one of them", s.OrderBy)
	}
	if _, own := emit.Registered(s.Emitter); own || s.Emitter == emit.NameExpr {
		c.add("ORDER_BY=%s conflicts with EMITTER=%s, which puts its records in order itself: unset it", s.OrderBy, s.Emitter)
	}
}

// dedupe checks DEDUPE and what goes with it.
func (c *checker) dedupe() {
	s := &c.s
	if s.Dedupe == "" {
		const remedy = "DEDUPE: name the field that tells records apart"
		c.without(remedy, "DEDUPE_WITHIN", s.DedupeWithin != 0, s.DedupeWithin)
		c.without(remedy, "DEDUPE_MAX", s.DedupeMax != 0, s.DedupeMax)
		return
	}
	if _, err := field.Parse(s.Dedupe); err != nil {
		c.add("DEDUPE=%s: %w", s.Dedupe, err)
	}
	switch d := s.DedupeWithin; {
	case d == 0:
		c.add("DEDUPE_WITHIN is missing: DEDUPE needs it, at least 1ms, as in 10m")
	case d < time.Millisecond || d%time.Millisecond != 0:
		c.add("DEDUPE_WITHIN=%v: it must be whole milliseconds, at least 1ms", d)
	}
	if s.DedupeMax < 1 {
		c.add("DEDUPE_MAX=%d: it must be at least 1 (values)", s.DedupeMax)
	}
}

// without refuses a variable that is set while the one is missing that it goes with; the remedy begins with that.
func (c *checker) without(remedy, variable string, set bool, value any) {
	if set {
		c.add("%s=%v has no effect without %s", variable, value, remedy)
	}
}

// keys checks the bounds of keys.
func (c *checker) keys() {
	s := &c.s
	if s.Key == "" {
		const remedy = "WINDOW_KEY: name the field"
		c.without(remedy, "MAX_KEYS", s.MaxKeys != 0, s.MaxKeys)
		c.without(remedy, "KEY_TIMEOUT", s.KeyTimeout != 0, s.KeyTimeout)
		return
	}
	if s.MaxKeys < 0 {
		c.add("MAX_KEYS=%d: it must be at least 1, or 0 for no bound", s.MaxKeys)
	}
	switch _, own := emit.Registered(s.Emitter); {
	case s.KeyTimeout == 0:
	case s.Emitter != emit.NameCount && s.Emitter != emit.NameBytes && s.Emitter != emit.NameState && s.Emitter != emit.NameExpr && !own:
		c.add("KEY_TIMEOUT=%v conflicts with EMITTER=%s, whose windows time closes in any case: unset it", s.KeyTimeout, s.Emitter)
	default:
		c.duration("KEY_TIMEOUT", s.KeyTimeout)
	}
}
