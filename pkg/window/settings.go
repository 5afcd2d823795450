package window

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // for machines that have no database of time zones

	"github.com/windrow-io/windrow/pkg/aggregate"
	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/expression"
	"github.com/windrow-io/windrow/pkg/field"
)

// Settings are what a pipeline's windows depend on. They are stored with every checkpoint, as JSON: a replay runs under
// the settings its decisions were made with.
type Settings struct {
	Stream        string        `json:"stream"`
	Pipeline      string        `json:"pipeline"`
	Emitter       string        `json:"emitter"`                 // one of emit.Names
	Size          int           `json:"size,omitempty"`          // WINDOW_SIZE: records
	Bytes         int64         `json:"bytes,omitempty"`         // WINDOW_BYTES
	When          string        `json:"when,omitempty"`          // WINDOW_WHEN, see package expression
	Open          string        `json:"open,omitempty"`          // WINDOW_OPEN, of state, see package expression
	Interval      time.Duration `json:"interval,omitempty"`      // WINDOW_INTERVAL
	Timeout       time.Duration `json:"timeout,omitempty"`       // WINDOW_TIMEOUT
	Key           string        `json:"key,omitempty"`           // WINDOW_KEY: a field reference; windows per key
	Slide         time.Duration `json:"slide,omitempty"`         // WINDOW_SLIDE, of sliding
	SlideSize     int           `json:"slideSize,omitempty"`     // WINDOW_SLIDE, of count: records
	Offset        time.Duration `json:"offset,omitempty"`        // WINDOW_OFFSET
	Calendar      emit.Calendar `json:"calendar,omitempty"`      // WINDOW_CALENDAR
	Zone          string        `json:"zone,omitempty"`          // WINDOW_TIMEZONE; "": UTC
	Gap           time.Duration `json:"gap,omitempty"`           // WINDOW_GAP
	MaxLength     time.Duration `json:"maxLength,omitempty"`     // WINDOW_MAX_LENGTH; 0: no bound
	EmitEmpty     bool          `json:"emitEmpty,omitempty"`     // EMIT_EMPTY
	CatchUp       string        `json:"catchUp,omitempty"`       // CATCH_UP; "": all
	StateMaxBytes int64         `json:"stateMaxBytes,omitempty"` // STATE_MAX_BYTES; 0: no bound

	// Of emitters by event time.
	EventTime       string        `json:"eventTime,omitempty"`       // EVENT_TIME: a field reference; "": @timestamp
	EventTimeFormat string        `json:"eventTimeFormat,omitempty"` // EVENT_TIME_FORMAT, see field.NewClock; "": auto
	WatermarkDelay  time.Duration `json:"watermarkDelay,omitempty"`  // WATERMARK_DELAY
	WatermarkIdle   time.Duration `json:"watermarkIdle,omitempty"`   // WATERMARK_IDLE
	MaxFuture       time.Duration `json:"maxFuture,omitempty"`       // MAX_FUTURE
	Late            string        `json:"late,omitempty"`            // LATE; "": dead-letter

	AllowedLateness time.Duration `json:"allowedLateness,omitempty"` // ALLOWED_LATENESS
	EmitEarly       time.Duration `json:"emitEarly,omitempty"`       // EMIT_EARLY; 0: never
	OrderBy         string        `json:"orderBy,omitempty"`         // ORDER_BY: a field reference, and asc or desc
	Dedupe          string        `json:"dedupe,omitempty"`          // DEDUPE: a field reference; "": records may come again
	DedupeWithin    time.Duration `json:"dedupeWithin,omitempty"`    // DEDUPE_WITHIN
	DedupeMax       int           `json:"dedupeMax,omitempty"`       // DEDUPE_MAX
	MaxKeys         int           `json:"maxKeys,omitempty"`         // MAX_KEYS; 0: any number
	KeyTimeout      time.Duration `json:"keyTimeout,omitempty"`      // KEY_TIMEOUT; 0: keys have all the time

	BadField string `json:"badField,omitempty"` // BAD_FIELD; "": dead-letter

	Aggregate string `json:"aggregate,omitempty"` // AGGREGATE, see package aggregate; "": windows are their records

	// Expressions, see package expression.
	Filter string `json:"filter,omitempty"` // FILTER: which records are wanted; "": all
	Map    string `json:"map,omitempty"`    // MAP: what their values become; "": they stay
	Query  string `json:"query,omitempty"`  // WINDOW_QUERY, of expr
	Ready  string `json:"ready,omitempty"`  // WINDOW_READY, of expr
}

// EventTimed reports whether an emitter of this name goes by event time.
func EventTimed(emitter string) bool {
	return emitter == emit.NameTumbling || emitter == emit.NameSliding || emitter == emit.NameSession
}

// Updates reports whether windows may be emitted more than once.
func (s Settings) Updates() bool { return s.AllowedLateness > 0 || s.EmitEarly > 0 }

// Validate returns everything that is wrong with the settings, each naming the variable, its value, and what it may be.
func (s Settings) Validate() []error {
	c := checker{s: s}
	switch s.Emitter {
	case emit.NameCount:
		c.atLeast("WINDOW_SIZE", s.Size != 0, int64(s.Size), 1, "records")
		c.bounds("WINDOW_SIZE", "WINDOW_BYTES", "WINDOW_WHEN", "WINDOW_INTERVAL", "WINDOW_TIMEOUT", "WINDOW_SLIDE")
		c.slide()
	case emit.NameBytes:
		c.atLeast("WINDOW_BYTES", s.Bytes != 0, s.Bytes, 1, "bytes")
		c.bounds("WINDOW_SIZE", "WINDOW_BYTES", "WINDOW_WHEN", "WINDOW_INTERVAL", "WINDOW_TIMEOUT")
	case emit.NameFixed:
		c.duration("WINDOW_INTERVAL", s.Interval)
		c.bounds("WINDOW_SIZE", "WINDOW_BYTES", "WINDOW_WHEN", "WINDOW_INTERVAL", "EMIT_EMPTY")
	case emit.NameRelaxed:
		c.duration("WINDOW_INTERVAL", s.Interval)
		c.bounds("WINDOW_SIZE", "WINDOW_BYTES", "WINDOW_WHEN", "WINDOW_INTERVAL", "WINDOW_TIMEOUT", "EMIT_EMPTY")
	case emit.NameTumbling:
		c.intervals()
		c.bounds("WINDOW_SIZE", "WINDOW_BYTES", "WINDOW_WHEN", "WINDOW_INTERVAL", "EMIT_EMPTY")
		if s.EmitEmpty && s.AllowedLateness > 0 {
			c.add("EMIT_EMPTY=true conflicts with ALLOWED_LATENESS=%v: what comes late for an empty window would make another one; unset one of them", s.AllowedLateness)
		}
	case emit.NameSliding:
		c.intervals()
		c.bounds("WINDOW_INTERVAL", "WINDOW_SLIDE")
	case emit.NameSession:
		c.session()
	case emit.NameState:
		c.bounds("WINDOW_SIZE", "WINDOW_BYTES", "WINDOW_WHEN", "WINDOW_INTERVAL", "WINDOW_TIMEOUT")
		c.opens()
	case emit.NameSample:
		c.atLeast("WINDOW_SIZE", s.Size != 0, int64(s.Size), 1, "records")
		c.duration("WINDOW_INTERVAL", s.Interval)
		c.bounds("WINDOW_SIZE", "WINDOW_INTERVAL")
	case emit.NameExpr:
		c.bounds()
	default:
		if _, ok := emit.Registered(s.Emitter); ok {
			c.bounds()
		} else {
			c.emitter()
		}
	}
	if s.Emitter != emit.NameSession {
		c.refuse("WINDOW_GAP", s.Gap != 0, s.Gap)
		c.refuse("WINDOW_MAX_LENGTH", s.MaxLength != 0, s.MaxLength)
	}
	if s.Emitter != emit.NameState {
		c.refuse("WINDOW_OPEN", s.Open != "", s.Open)
	}
	c.eventTime()
	if s.Updates() && (s.Size != 0 || s.Bytes != 0 || s.When != "" || s.Timeout != 0) && s.Emitter != emit.NameCount {
		c.add("ALLOWED_LATENESS and EMIT_EARLY conflict with WINDOW_SIZE, WINDOW_BYTES, WINDOW_WHEN and WINDOW_TIMEOUT: a window that closes early can't be emitted again; unset either")
	}
	switch {
	case s.EmitEarly == 0:
	case EventTimed(s.Emitter) || s.Emitter == emit.NameFixed || s.Emitter == emit.NameRelaxed:
		c.duration("EMIT_EARLY", s.EmitEarly)
	default:
		c.refuse("EMIT_EARLY", true, s.EmitEarly)
	}
	c.catchUp()
	c.expressions()
	c.orderBy()
	c.dedupe()
	c.keys()
	if s.Aggregate != "" {
		if _, err := aggregate.Parse(s.Aggregate); err != nil {
			c.add("AGGREGATE: %w", err)
		}
	}
	if s.Key != "" {
		if _, err := field.Parse(s.Key); err != nil {
			c.add("WINDOW_KEY=%s: %w", s.Key, err)
		}
	}
	c.oneOf("BAD_FIELD", s.BadField, BadDeadLetter, BadSkip, BadNull)
	if s.StateMaxBytes < 0 {
		c.add("STATE_MAX_BYTES=%d: it must be at least 0 (no bound)", s.StateMaxBytes)
	}
	return c.errs
}

// intervals checks what windows by event time are made of.
func (c *checker) intervals() {
	s := &c.s
	switch {
	case s.Calendar != "" && s.Emitter == emit.NameSliding:
		c.refuse("WINDOW_CALENDAR", true, s.Calendar)
	case s.Calendar != "":
		c.oneOf("WINDOW_CALENDAR", string(s.Calendar), string(emit.Hour), string(emit.Day), string(emit.Week), string(emit.Month))
		if s.Interval != 0 {
			c.add("WINDOW_INTERVAL=%v conflicts with WINDOW_CALENDAR=%s: unset one of them", s.Interval, s.Calendar)
		}
		c.offset(calendarLength[s.Calendar])
	default:
		c.duration("WINDOW_INTERVAL", s.Interval)
		c.offset(max(s.Interval, time.Millisecond))
	}
	if s.Emitter != emit.NameSliding {
		return
	}
	if s.SlideSize != 0 {
		c.add("WINDOW_SLIDE=%d: EMITTER=sliding slides by a time, as in 10s", s.SlideSize)
		return
	}
	c.duration("WINDOW_SLIDE", s.Slide)
	switch {
	case s.Slide < time.Millisecond || s.Interval < time.Millisecond:
	case s.Slide > s.Interval:
		c.add("WINDOW_SLIDE=%v: it must be at most WINDOW_INTERVAL=%v, or records between the windows would be in none", s.Slide, s.Interval)
	case s.Interval/s.Slide > maxOverlap:
		c.add("WINDOW_SLIDE=%v: it must be at least WINDOW_INTERVAL/%d, that is %v: each record is kept once for every window that it is in", s.Slide, maxOverlap, s.Interval/maxOverlap)
	}
}

// session checks what sessions are made of.
func (c *checker) session() {
	s := &c.s
	c.duration("WINDOW_GAP", s.Gap)
	switch {
	case s.MaxLength == 0:
	case s.MaxLength < s.Gap:
		c.add("WINDOW_MAX_LENGTH=%v: it must be at least WINDOW_GAP=%v, which a session of one record lasts", s.MaxLength, s.Gap)
	case s.MaxLength%time.Millisecond != 0:
		c.add("WINDOW_MAX_LENGTH=%v: it must be whole milliseconds", s.MaxLength)
	}
	c.bounds()
	c.refuse("WINDOW_OFFSET", s.Offset != 0, s.Offset)
	c.refuse("WINDOW_CALENDAR", s.Calendar != "", s.Calendar)
}

// maxOverlap is how many windows a record may be in.
const maxOverlap = 1000

// calendarLength is about how long the units are, and never longer.
var calendarLength = map[emit.Calendar]time.Duration{
	emit.Hour: time.Hour, emit.Day: 24 * time.Hour, emit.Week: 7 * 24 * time.Hour, emit.Month: 28 * 24 * time.Hour,
}

func (c *checker) offset(length time.Duration) {
	switch o := c.s.Offset; {
	case o.Abs() >= length && length > 0:
		c.add("WINDOW_OFFSET=%v: it must be shorter than the window, %v", o, length)
	case o%time.Millisecond != 0:
		c.add("WINDOW_OFFSET=%v: it must be whole milliseconds", o)
	}
}

// eventTime checks what goes with event time, or that none of it is set without.
func (c *checker) eventTime() {
	s := &c.s
	if !EventTimed(s.Emitter) {
		for _, v := range []struct {
			variable string
			set      bool
			value    any
		}{
			{"WINDOW_OFFSET", s.Offset != 0, s.Offset}, {"WINDOW_CALENDAR", s.Calendar != "", s.Calendar},
			{"WINDOW_TIMEZONE", s.Zone != "", s.Zone}, {"EVENT_TIME", s.EventTime != "", s.EventTime}, {"EVENT_TIME_FORMAT", s.EventTimeFormat != "", s.EventTimeFormat},
			{"WATERMARK_DELAY", s.WatermarkDelay != 0, s.WatermarkDelay}, {"WATERMARK_IDLE", s.WatermarkIdle != 0, s.WatermarkIdle},
			{"MAX_FUTURE", s.MaxFuture != 0, s.MaxFuture}, {"LATE", s.Late != "", s.Late}, {"ALLOWED_LATENESS", s.AllowedLateness != 0, s.AllowedLateness},
		} {
			c.refuse(v.variable, v.set, v.value)
		}
		return
	}
	if _, err := s.clock(s.EventTime); err != nil {
		c.add("%w", err)
	}
	for _, v := range []struct {
		variable string
		value    time.Duration
	}{{"WATERMARK_DELAY", s.WatermarkDelay}, {"WATERMARK_IDLE", s.WatermarkIdle}, {"MAX_FUTURE", s.MaxFuture}, {"ALLOWED_LATENESS", s.AllowedLateness}} {
		switch {
		case v.value < 0:
			c.add("%s=%v: it must be at least 0s", v.variable, v.value)
		case v.value%time.Millisecond != 0:
			c.add("%s=%v: it must be whole milliseconds", v.variable, v.value)
		}
	}
	c.oneOf("LATE", s.Late, LateDeadLetter, LateDrop, LateNext)
}

// expressions checks those that the settings hold.
func (c *checker) expressions() {
	s := &c.s
	if s.Filter != "" {
		if _, err := expression.NewFilter(s.Filter); err != nil {
			c.add("FILTER: %w", err)
		}
	}
	if s.Map != "" {
		if _, err := expression.NewMap(s.Map); err != nil {
			c.add("MAP: %w", err)
		}
	}
	if s.Emitter != emit.NameExpr {
		c.refuse("WINDOW_QUERY", s.Query != "", s.Query)
		c.refuse("WINDOW_READY", s.Ready != "", s.Ready)
		return
	}
	for _, v := range []struct{ variable, value, as string }{{"WINDOW_QUERY", s.Query, "take(records, 10)"}, {"WINDOW_READY", s.Ready, "len(window) == 10"}} {
		if v.value == "" {
			c.add("%s is missing: EMITTER=expr needs it, as in %s", v.variable, v.as)
		}
	}
	if s.Query != "" && s.Ready != "" {
		if _, err := expression.NewStrategy(s.Query, s.Ready); err != nil {
			c.errs = append(c.errs, err)
		}
	}
}

// zone is the time zone of the settings.
func (s Settings) zone() (*time.Location, error) {
	if s.Zone == "Local" {
		return nil, errors.New("WINDOW_TIMEZONE=Local would be another one on another machine: name it, as in Europe/Berlin")
	}
	z, err := time.LoadLocation(s.Zone)
	if err != nil {
		return nil, fmt.Errorf("WINDOW_TIMEZONE=%s is no time zone: write its name, as in Europe/Berlin, or UTC", s.Zone)
	}
	return z, nil
}

// clock reads the event time from the field; "": @timestamp.
func (s Settings) clock(name string) (*field.Clock, error) {
	zone, err := s.zone()
	if err != nil {
		return nil, err
	}
	format := s.EventTimeFormat
	if name == "" {
		name, format = "@timestamp", ""
		if s.EventTime == "" && s.EventTimeFormat != "" {
			return nil, fmt.Errorf("EVENT_TIME_FORMAT=%s has no effect without EVENT_TIME: name the field", s.EventTimeFormat)
		}
	}
	ref, err := field.Parse(name)
	if err != nil {
		return nil, fmt.Errorf("EVENT_TIME=%s: %w", name, err)
	}
	clock, err := field.NewClock(ref, format, zone)
	if err != nil {
		return nil, fmt.Errorf("EVENT_TIME_FORMAT=%w", err)
	}
	return clock, nil
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

func (c *checker) oneOf(variable, value string, choices ...string) {
	if value != "" && !slices.Contains(choices, value) {
		c.add("%s=%s: it must be one of %s", variable, value, strings.Join(choices, ", "))
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
	b := emit.Bounds{Size: s.Size, Bytes: s.Bytes, Timeout: s.Timeout}
	if s.When != "" {
		b.When = condition(s.When)
	}
	switch s.Emitter {
	case emit.NameCount, emit.NameBytes:
		if s.SlideSize > 0 {
			return emit.NewCount(s.Size, s.SlideSize)
		}
		b.Interval = s.Interval
		return emit.NewBounded(b)
	case emit.NameFixed:
		return emit.Within(emit.NewFixed(s.Interval, s.EmitEmpty), b)
	case emit.NameRelaxed:
		return emit.Within(emit.NewRelaxed(s.Interval, s.EmitEmpty), b)
	case emit.NameTumbling:
		if s.Calendar == "" {
			return emit.Within(emit.NewTumbling(s.Interval, s.Offset, s.EmitEmpty), b)
		}
		zone, _ := s.zone()
		return emit.Within(emit.NewCalendar(s.Calendar, zone, s.Offset, s.EmitEmpty), b)
	case emit.NameSliding:
		return emit.NewSliding(s.Interval, s.Slide, s.Offset)
	case emit.NameSession:
		return emit.NewSession(s.Gap, s.MaxLength)
	case emit.NameState:
		b.Interval = s.Interval
		return emit.NewState(condition(s.Open), b)
	case emit.NameSample:
		return emit.NewSample(s.Size, s.Interval)
	case emit.NameExpr:
		strategy, err := expression.NewStrategy(s.Query, s.Ready)
		if err != nil {
			panic(err) // it was checked
		}
		return strategy
	}
	build, _ := emit.Registered(s.Emitter)
	return emit.NewCustom(build())
}

// condition compiles one that was checked.
func condition(text string) emit.Condition {
	c, err := expression.NewCondition(text)
	if err != nil {
		panic(err)
	}
	return c
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
