package window

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/field"
)

// Settings are what a pipeline's windows depend on. They are stored with every checkpoint, as JSON: a replay runs under
// the settings its decisions were made with.
type Settings struct {
	Stream        string        `json:"stream"`
	Pipeline      string        `json:"pipeline"`
	Emitter       string        `json:"emitter"`                 // count, fixed, relaxed, or a registered name
	Size          int           `json:"size,omitempty"`          // WINDOW_SIZE: records
	Interval      time.Duration `json:"interval,omitempty"`      // WINDOW_INTERVAL
	Timeout       time.Duration `json:"timeout,omitempty"`       // WINDOW_TIMEOUT
	Key           string        `json:"key,omitempty"`           // WINDOW_KEY: a field reference; windows per key
	EmitEmpty     bool          `json:"emitEmpty,omitempty"`     // EMIT_EMPTY
	StateMaxBytes int64         `json:"stateMaxBytes,omitempty"` // STATE_MAX_BYTES; 0: no bound
}

// Validate returns everything that is wrong with the settings, each naming the variable, its value, and what it may be.
func (s Settings) Validate() []error {
	c := checker{s: s}
	switch s.Emitter {
	case emit.NameCount:
		c.atLeast("WINDOW_SIZE", s.Size != 0, int64(s.Size), 1, "records")
		c.refuse("WINDOW_INTERVAL", s.Interval != 0, s.Interval)
		c.refuse("EMIT_EMPTY", s.EmitEmpty, s.EmitEmpty)
		if s.Timeout != 0 {
			c.duration("WINDOW_TIMEOUT", s.Timeout)
		}
	case emit.NameFixed, emit.NameRelaxed:
		c.duration("WINDOW_INTERVAL", s.Interval)
		c.refuse("WINDOW_SIZE", s.Size != 0, s.Size)
		c.refuse("WINDOW_TIMEOUT", s.Timeout != 0, s.Timeout)
		if s.EmitEmpty && s.Key != "" {
			c.add("EMIT_EMPTY=true conflicts with WINDOW_KEY=%s: nobody knows the keys that nothing came for; unset one of them", s.Key)
		}
	default:
		if _, ok := emit.Registered(s.Emitter); !ok {
			c.emitter()
			break
		}
		c.refuse("WINDOW_SIZE", s.Size != 0, s.Size)
		c.refuse("WINDOW_INTERVAL", s.Interval != 0, s.Interval)
		c.refuse("WINDOW_TIMEOUT", s.Timeout != 0, s.Timeout)
		c.refuse("EMIT_EMPTY", s.EmitEmpty, s.EmitEmpty)
	}
	if s.Key != "" {
		if _, err := field.Parse(s.Key); err != nil {
			c.add("WINDOW_KEY=%s: %w", s.Key, err)
		}
	}
	if s.StateMaxBytes < 0 {
		c.add("STATE_MAX_BYTES=%d: it must be at least 0 (no bound)", s.StateMaxBytes)
	}
	return c.errs
}

// checker gathers what is wrong with settings.
type checker struct {
	s    Settings
	errs []error
}

func (c *checker) add(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *checker) emitter() {
	names := strings.Join(emit.Names(), ", ")
	if c.s.Emitter == "" {
		c.add("EMITTER is missing: set it to one of %s", names)
		return
	}
	c.add("EMITTER=%s is unknown: it must be one of %s; an emitter of your own is known only to the program that registers it", c.s.Emitter, names)
}

func (c *checker) refuse(variable string, set bool, value any) {
	if set {
		c.add("%s=%v conflicts with EMITTER=%s, which has no use for it: unset one of them", variable, value, c.s.Emitter)
	}
}

func (c *checker) atLeast(variable string, set bool, value, least int64, unit string) {
	switch {
	case !set:
		c.add("%s is missing: EMITTER=%s needs it, at least %d (%s)", variable, c.s.Emitter, least, unit)
	case value < least:
		c.add("%s=%d: it must be at least %d (%s)", variable, value, least, unit)
	}
}

func (c *checker) duration(variable string, d time.Duration) {
	switch {
	case d == 0:
		c.add("%s is missing: EMITTER=%s needs it, at least 1ms, as in 10s", variable, c.s.Emitter)
	case d < time.Millisecond:
		c.add("%s=%v: it must be at least 1ms", variable, d)
	case d%time.Millisecond != 0:
		c.add("%s=%v: it must be whole milliseconds", variable, d)
	}
}

// strategy makes the emitter that valid settings ask for.
func (s Settings) strategy() emit.Strategy {
	switch s.Emitter {
	case emit.NameCount:
		return emit.NewCount(s.Size, s.Timeout)
	case emit.NameFixed:
		return emit.NewFixed(s.Interval, s.EmitEmpty)
	case emit.NameRelaxed:
		return emit.NewRelaxed(s.Interval, s.EmitEmpty)
	}
	build, _ := emit.Registered(s.Emitter)
	return emit.NewCustom(build())
}

// check is Validate as one error.
func (s Settings) check() error { return errors.Join(s.Validate()...) }

// fingerprint tells settings, and the shard they are used for, from others.
func (s Settings) fingerprint(shard string) (uint64, error) {
	p, err := json.Marshal(s)
	if err != nil {
		return 0, fmt.Errorf("settings as JSON: %w", err)
	}
	h := fnv.New64a()
	h.Write(appendText(p, shard))
	return h.Sum64(), nil
}
