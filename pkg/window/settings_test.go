package window_test

import (
	"strings"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/window"
)

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		s    window.Settings
		want []string // a part of each error, in order
	}{
		{"count", window.Settings{Emitter: "count", Size: 1}, nil},
		{"count with timeout and key", window.Settings{Emitter: "count", Size: 100, Timeout: time.Millisecond, Key: "@key"}, nil},
		{"fixed", window.Settings{Emitter: "fixed", Interval: time.Millisecond, EmitEmpty: true, StateMaxBytes: 1}, nil},
		{"relaxed", window.Settings{Emitter: "relaxed", Interval: time.Hour, Key: "a.b"}, nil},
		{"registered", window.Settings{Emitter: "sorted", Key: "@key"}, nil},
		{"tumbling", window.Settings{Emitter: "tumbling", Interval: time.Second, Offset: -time.Millisecond, EventTime: "at", EventTimeFormat: "s", WatermarkDelay: time.Second, WatermarkIdle: time.Second, MaxFuture: time.Hour, Late: "next", BadField: "null", Key: "@key"}, nil},
		{"calendar", window.Settings{Emitter: "tumbling", Calendar: "week", Zone: "Europe/Berlin", Offset: 6 * time.Hour}, nil},
		{"sliding", window.Settings{Emitter: "sliding", Interval: time.Minute, Slide: time.Second}, nil},
		{"session", window.Settings{Emitter: "session", Gap: time.Minute, MaxLength: time.Hour, EventTime: "at", Zone: "Europe/Berlin", Late: "drop", Key: "@key"}, nil},
		{"updates", window.Settings{Emitter: "session", Gap: time.Minute, AllowedLateness: time.Hour, EmitEarly: time.Second}, nil},
		{"early", window.Settings{Emitter: "relaxed", Interval: time.Minute, EmitEarly: time.Second}, nil},
		{"updates of what closes early", window.Settings{Emitter: "tumbling", Interval: time.Minute, Size: 5, AllowedLateness: time.Hour},
			[]string{"ALLOWED_LATENESS and EMIT_EARLY conflict with WINDOW_SIZE, WINDOW_BYTES, WINDOW_WHEN and WINDOW_TIMEOUT"}},
		{"updates of nothing", window.Settings{Emitter: "count", Size: 1, AllowedLateness: time.Hour, EmitEarly: time.Second},
			[]string{"ALLOWED_LATENESS=1h0m0s conflicts with EMITTER=count", "EMIT_EARLY=1s conflicts"}},
		{"lateness that is received", window.Settings{Emitter: "fixed", Interval: time.Minute, AllowedLateness: time.Hour, EmitEarly: -time.Second},
			[]string{"ALLOWED_LATENESS=1h0m0s conflicts with EMITTER=fixed", "EMIT_EARLY=-1s: it must be at least 1ms"}},
		{"wrong updates", window.Settings{Emitter: "tumbling", Interval: time.Minute, AllowedLateness: -time.Hour, EmitEarly: time.Microsecond},
			[]string{"ALLOWED_LATENESS=-1h0m0s: it must be at least 0s", "EMIT_EARLY=1µs: it must be at least 1ms"}},
		{"catch up", window.Settings{Emitter: "fixed", Interval: time.Minute, CatchUp: "merge", EmitEmpty: true}, nil},
		{"catch up per key", window.Settings{Emitter: "fixed", Interval: time.Minute, CatchUp: "merge", Key: "@key"}, nil},
		{"catch up with all", window.Settings{Emitter: "relaxed", Interval: time.Minute, CatchUp: "all"}, nil},
		{"catch up with what is there", window.Settings{Emitter: "tumbling", Calendar: "day", CatchUp: "skip-empty", EmitEmpty: true}, nil},
		{"catch up otherwise", window.Settings{Emitter: "fixed", Interval: time.Minute, CatchUp: "none"}, []string{"CATCH_UP=none: it must be one of all, merge, skip-empty"}},
		{"catch up with nothing", window.Settings{Emitter: "count", Size: 1, CatchUp: "all"}, []string{"CATCH_UP=all conflicts with EMITTER=count"}},
		{"skip what isn't emitted", window.Settings{Emitter: "fixed", Interval: time.Minute, CatchUp: "skip-empty"}, []string{"CATCH_UP=skip-empty has no effect without EMIT_EMPTY"}},
		{"merge what is bounded", window.Settings{Emitter: "fixed", Interval: time.Minute, CatchUp: "merge", Size: 3, EmitEarly: time.Second},
			[]string{"ALLOWED_LATENESS and EMIT_EARLY conflict", "CATCH_UP=merge conflicts with WINDOW_SIZE, WINDOW_BYTES and WINDOW_WHEN", "CATCH_UP=merge conflicts with EMIT_EARLY=1s"}},
		{"merge what is merged", window.Settings{Emitter: "relaxed", Interval: time.Minute, CatchUp: "merge"}, []string{"CATCH_UP=merge conflicts with EMITTER=relaxed"}},
		{"merge by event time", window.Settings{Emitter: "tumbling", Interval: time.Minute, CatchUp: "merge"}, []string{"CATCH_UP=merge conflicts with EMITTER=tumbling"}},
		{"empties that come late", window.Settings{Emitter: "tumbling", Interval: time.Minute, EmitEmpty: true, AllowedLateness: time.Hour},
			[]string{"EMIT_EMPTY=true conflicts with ALLOWED_LATENESS=1h0m0s"}},
		{"empties that overlap", window.Settings{Emitter: "sliding", Interval: time.Minute, Slide: time.Second, EmitEmpty: true}, []string{"EMIT_EMPTY=true conflicts with EMITTER=sliding"}},
		{"expr", window.Settings{Emitter: "expr", Query: "records", Ready: "len(window) > 3", Filter: "value.x", Map: "value.y", Key: "@key"}, nil},

		{"expr without expressions", window.Settings{Emitter: "expr", Size: 3}, []string{"WINDOW_SIZE=3 conflicts", "WINDOW_QUERY is missing", "WINDOW_READY is missing"}},
		{"wrong expressions", window.Settings{Emitter: "expr", Filter: "value.x +", Map: "vlaue", Query: "record", Ready: "len(window)"},
			[]string{"FILTER: column 9: unexpected token EOF", "MAP: column 1: unknown name vlaue; known are headers, key", "WINDOW_QUERY: column 1: unknown name record; known are now, records, waited\nWINDOW_READY: "}},
		{"aggregates", window.Settings{Emitter: "count", Size: 3, Aggregate: "count(), sum(v) as total"}, nil},
		{"wrong aggregates", window.Settings{Emitter: "count", Size: 3, Aggregate: "count(), summ(v)"}, []string{`AGGREGATE: column 10, summ(v): there is no function "summ": use one of count, sum`}},
		{"expressions of nothing", window.Settings{Emitter: "count", Size: 3, Query: "records", Ready: "true"}, []string{"WINDOW_QUERY=records conflicts with EMITTER=count", "WINDOW_READY=true conflicts"}},

		{"event time without", window.Settings{Emitter: "fixed", Interval: time.Second, Slide: 1, Offset: 2, Calendar: "day", Zone: "UTC", EventTime: "at", EventTimeFormat: "s", WatermarkDelay: 3, WatermarkIdle: 4, MaxFuture: 5, Late: "drop"},
			[]string{"WINDOW_SLIDE=1ns conflicts with EMITTER=fixed", "WINDOW_OFFSET=2ns", "WINDOW_CALENDAR=day", "WINDOW_TIMEZONE=UTC", "EVENT_TIME=at", "EVENT_TIME_FORMAT=s", "WATERMARK_DELAY=3ns", "WATERMARK_IDLE=4ns", "MAX_FUTURE=5ns", "LATE=drop"}},
		{"tumbling, all wrong", window.Settings{Emitter: "tumbling", Size: -2, Timeout: 1, Slide: time.Second, EmitEmpty: true, Key: "@key", Offset: time.Hour, EventTime: "a..b", WatermarkDelay: -1, WatermarkIdle: 1, MaxFuture: -time.Second, Late: "maybe", BadField: "?"},
			[]string{"WINDOW_INTERVAL is missing", "WINDOW_OFFSET=1h0m0s: it must be shorter than the window", "WINDOW_SIZE=-2: it must be at least 1", "WINDOW_TIMEOUT=1ns", "WINDOW_SLIDE=1s conflicts", "EMIT_EMPTY", "EVENT_TIME=a..b: ", "WATERMARK_DELAY=-1ns: it must be at least 0s", "WATERMARK_IDLE=1ns: it must be whole milliseconds", "MAX_FUTURE=-1s", "LATE=maybe: it must be one of dead-letter, drop, next", "BAD_FIELD=?: it must be one of dead-letter, skip, null"}},
		{"calendar and interval", window.Settings{Emitter: "tumbling", Interval: time.Second, Calendar: "year", Zone: "Mars"},
			[]string{"WINDOW_CALENDAR=year: it must be one of hour, day, week, month", "WINDOW_INTERVAL=1s conflicts with WINDOW_CALENDAR=year", "WINDOW_TIMEZONE=Mars is no time zone"}},
		{"a zone that is the machine's", window.Settings{Emitter: "tumbling", Calendar: "day", Zone: "Local"}, []string{"WINDOW_TIMEZONE=Local would be another one on another machine"}},
		{"format of nothing", window.Settings{Emitter: "tumbling", Interval: time.Second, EventTimeFormat: "s"}, []string{"EVENT_TIME_FORMAT=s has no effect without EVENT_TIME"}},
		{"format that is none", window.Settings{Emitter: "tumbling", Interval: time.Second, EventTime: "at", EventTimeFormat: "sec"}, []string{`EVENT_TIME_FORMAT="sec" is no way to write a time`}},
		{"gaps between windows", window.Settings{Emitter: "sliding", Interval: time.Second, Slide: 2 * time.Second}, []string{"WINDOW_SLIDE=2s: it must be at most WINDOW_INTERVAL=1s"}},
		{"too many windows", window.Settings{Emitter: "sliding", Interval: time.Hour, Slide: time.Second}, []string{"WINDOW_SLIDE=1s: it must be at least WINDOW_INTERVAL/1000, that is 3.6s"}},
		{"sliding by calendar", window.Settings{Emitter: "sliding", Calendar: "day"}, []string{"WINDOW_CALENDAR=day conflicts with EMITTER=sliding", "WINDOW_SLIDE is missing"}},

		{"session, all wrong", window.Settings{Emitter: "session", Size: 1, Interval: 2, Timeout: 3, Slide: 4, Offset: 5, Calendar: "day", EmitEmpty: true, MaxLength: time.Second},
			[]string{"WINDOW_GAP is missing: EMITTER=session needs it", "WINDOW_SIZE=1 conflicts with EMITTER=session", "WINDOW_INTERVAL=2ns", "WINDOW_TIMEOUT=3ns", "WINDOW_SLIDE=4ns", "EMIT_EMPTY", "WINDOW_OFFSET=5ns", "WINDOW_CALENDAR=day"}},
		{"session that is too short", window.Settings{Emitter: "session", Gap: time.Minute, MaxLength: time.Second}, []string{"WINDOW_MAX_LENGTH=1s: it must be at least WINDOW_GAP=1m0s"}},
		{"session of others", window.Settings{Emitter: "tumbling", Interval: time.Second, Gap: time.Second, MaxLength: time.Minute},
			[]string{"WINDOW_GAP=1s conflicts with EMITTER=tumbling", "WINDOW_MAX_LENGTH=1m0s conflicts"}},
		{"nothing", window.Settings{}, []string{"EMITTER is missing: set it to one of count, bytes, fixed, relaxed, tumbling, sliding, session, state, sample, expr, never, patient, sorted, wrong"}},
		{"unknown", window.Settings{Emitter: "Count"}, []string{"EMITTER=Count is unknown: it must be one of count, bytes, fixed, relaxed, tumbling, sliding, session, state, sample, expr, never, patient, sorted, wrong;"}},
		{"count without size", window.Settings{Emitter: "count"}, []string{"WINDOW_SIZE is missing: EMITTER=count needs it, at least 1"}},
		{"count of less than one", window.Settings{Emitter: "count", Size: -1}, []string{"WINDOW_SIZE=-1: it must be at least 1"}},
		{"everything at once", window.Settings{Emitter: "count", Interval: time.Second, EmitEmpty: true, Timeout: time.Microsecond, Key: "a..b", StateMaxBytes: -5},
			[]string{"WINDOW_SIZE is missing", "WINDOW_TIMEOUT=1µs: it must be at least 1ms", "EMIT_EMPTY=true conflicts with EMITTER=count", "WINDOW_KEY=a..b: ", "STATE_MAX_BYTES=-5: it must be at least 0"}},
		{"fixed without interval", window.Settings{Emitter: "fixed", Timeout: time.Second}, []string{"WINDOW_INTERVAL is missing: EMITTER=fixed needs it, at least 1ms", "WINDOW_TIMEOUT=1s conflicts with EMITTER=fixed"}},
		{"first wins", window.Settings{Emitter: "count", Size: 3, Bytes: 4, When: "value.last", Interval: time.Second, Timeout: time.Minute}, nil},
		{"bytes", window.Settings{Emitter: "bytes", Size: 3, Bytes: 4, When: "size > 3 and len(records) > 3", Interval: time.Second, Timeout: time.Minute}, nil},
		{"relaxed, first wins", window.Settings{Emitter: "relaxed", Size: 3, Bytes: 4, When: "value.last", Interval: time.Second, Timeout: time.Minute, EmitEmpty: true}, nil},
		{"tumbling, first wins", window.Settings{Emitter: "tumbling", Size: 3, Bytes: 4, When: "value.last", Interval: time.Second}, nil},
		{"the last records", window.Settings{Emitter: "count", Size: 3, SlideSize: 3, Key: "@key"}, nil},
		{"bytes without any", window.Settings{Emitter: "bytes", Size: -1, When: "value.lst +", SlideSize: 3}, []string{"WINDOW_BYTES is missing: EMITTER=bytes needs it", "WINDOW_SIZE=-1: it must be at least 1", "WINDOW_WHEN: column 11: unexpected token EOF", "WINDOW_SLIDE=3 conflicts with EMITTER=bytes"}},
		{"less than no bytes", window.Settings{Emitter: "fixed", Interval: time.Second, Bytes: -1}, []string{"WINDOW_BYTES=-1: it must be at least 1"}},
		{"a condition that is none", window.Settings{Emitter: "count", Size: 3, When: "recods"}, []string{"WINDOW_WHEN: column 1: unknown name recods; known are headers, key, offset, partition, records, size, timestamp, topic, value"}},
		{"state", window.Settings{Emitter: "state", Open: "value.on", When: "not value.on", Size: 3, Bytes: 4, Interval: time.Second, Timeout: time.Second, Key: "a", KeyTimeout: time.Second}, nil},
		{"state without", window.Settings{Emitter: "state", EmitEmpty: true, SlideSize: 1}, []string{"WINDOW_SLIDE=1 conflicts with EMITTER=state", "EMIT_EMPTY=true conflicts", "WINDOW_OPEN is missing: EMITTER=state needs it", "WINDOW_WHEN is missing: EMITTER=state needs it, as in not value.on, or another bound"}},
		{"state of what", window.Settings{Emitter: "state", Open: "valu", Timeout: time.Second}, []string{"WINDOW_OPEN: column 1: unknown name valu"}},
		{"open for others", window.Settings{Emitter: "count", Size: 1, Open: "value.on"}, []string{"WINDOW_OPEN=value.on conflicts with EMITTER=count"}},
		{"sample", window.Settings{Emitter: "sample", Size: 3, Interval: time.Second, Key: "a", MaxKeys: 3}, nil},
		{"sample without", window.Settings{Emitter: "sample", When: "true", Timeout: time.Second, Key: "a", KeyTimeout: time.Second}, []string{"WINDOW_SIZE is missing: EMITTER=sample", "WINDOW_INTERVAL is missing: EMITTER=sample", "WINDOW_WHEN=true conflicts with EMITTER=sample", "WINDOW_TIMEOUT=1s conflicts", "KEY_TIMEOUT=1s conflicts"}},
		{"order", window.Settings{Emitter: "fixed", Interval: time.Second, OrderBy: "a.b desc"}, nil},
		{"order of what", window.Settings{Emitter: "count", Size: 1, OrderBy: "a b"}, []string{"ORDER_BY=a b: it must be a field, with or without asc or desc behind it"}},
		{"order of no field", window.Settings{Emitter: "count", Size: 1, OrderBy: "a..b", Aggregate: "count()"}, []string{`ORDER_BY=a..b: field "a..b"`, "ORDER_BY=a..b conflicts with AGGREGATE"}},
		{"order of expr", window.Settings{Emitter: "expr", Query: "records", Ready: "true", OrderBy: "a"}, []string{"ORDER_BY=a conflicts with EMITTER=expr"}},
		{"dedupe", window.Settings{Emitter: "count", Size: 1, Dedupe: "@key", DedupeWithin: time.Second, DedupeMax: 1}, nil},
		{"dedupe without", window.Settings{Emitter: "count", Size: 1, Dedupe: "a..b"}, []string{`DEDUPE=a..b: field "a..b"`, "DEDUPE_WITHIN is missing", "DEDUPE_MAX=0: it must be at least 1"}},
		{"dedupe for ever", window.Settings{Emitter: "count", Size: 1, Dedupe: "a", DedupeWithin: -1, DedupeMax: 1}, []string{"DEDUPE_WITHIN=-1ns: it must be whole milliseconds"}},
		{"dedupe of nothing", window.Settings{Emitter: "count", Size: 1, DedupeWithin: time.Second, DedupeMax: 2}, []string{"DEDUPE_WITHIN=1s has no effect without DEDUPE", "DEDUPE_MAX=2 has no effect without DEDUPE"}},
		{"bounds of keys", window.Settings{Emitter: "count", Size: 1, Key: "a", MaxKeys: 1, KeyTimeout: time.Second}, nil},
		{"bounds of no keys", window.Settings{Emitter: "count", Size: 1, MaxKeys: 1, KeyTimeout: time.Second}, []string{"MAX_KEYS=1 has no effect without WINDOW_KEY", "KEY_TIMEOUT=1s has no effect without WINDOW_KEY"}},
		{"no bounds of keys", window.Settings{Emitter: "count", Size: 1, Key: "a", MaxKeys: -1, KeyTimeout: 1}, []string{"MAX_KEYS=-1: it must be at least 1", "KEY_TIMEOUT=1ns: it must be at least 1ms"}},
		{"keys of time", window.Settings{Emitter: "tumbling", Interval: time.Second, Key: "a", MaxKeys: 1, KeyTimeout: time.Second}, []string{"KEY_TIMEOUT=1s conflicts with EMITTER=tumbling"}},
		{"slides beyond the window", window.Settings{Emitter: "count", Size: 3, SlideSize: 4}, []string{"WINDOW_SLIDE=4: it must be between 1 and WINDOW_SIZE=3"}},
		{"slides by time", window.Settings{Emitter: "count", Size: 3, Slide: time.Second}, []string{"WINDOW_SLIDE=1s: EMITTER=count slides by a number of records"}},
		{"slides by number", window.Settings{Emitter: "sliding", Interval: time.Second, SlideSize: 2}, []string{"WINDOW_SLIDE=2: EMITTER=sliding slides by a time"}},
		{"slides and more", window.Settings{Emitter: "count", Size: 3, SlideSize: 2, Bytes: 1, When: "true", Interval: time.Second, Timeout: time.Second},
			[]string{"WINDOW_BYTES=1 conflicts with WINDOW_SLIDE=2", "WINDOW_WHEN=true conflicts", "WINDOW_INTERVAL=1s conflicts", "WINDOW_TIMEOUT=1s conflicts"}},
		{"sliding closes by time alone", window.Settings{Emitter: "sliding", Interval: time.Second, Slide: time.Second, Size: 1, Bytes: 2, When: "true"},
			[]string{"WINDOW_SIZE=1 conflicts with EMITTER=sliding", "WINDOW_BYTES=2 conflicts", "WINDOW_WHEN=true conflicts"}},
		{"too short", window.Settings{Emitter: "fixed", Interval: 999 * time.Microsecond}, []string{"WINDOW_INTERVAL=999µs: it must be at least 1ms"}},
		{"negative", window.Settings{Emitter: "fixed", Interval: -time.Second}, []string{"WINDOW_INTERVAL=-1s: it must be at least 1ms"}},
		{"parts of a millisecond", window.Settings{Emitter: "relaxed", Interval: 1500 * time.Microsecond}, []string{"WINDOW_INTERVAL=1.5ms: it must be whole milliseconds"}},
		{"empties of keys", window.Settings{Emitter: "fixed", Interval: time.Second, Key: "@key", EmitEmpty: true}, []string{"EMIT_EMPTY=true conflicts with WINDOW_KEY=@key"}},
		{"a user's emitter has no use for them", window.Settings{Emitter: "sorted", Size: 1, Interval: 2, Timeout: 3, EmitEmpty: true},
			[]string{"WINDOW_SIZE=1 conflicts with EMITTER=sorted", "WINDOW_INTERVAL=2ns conflicts", "WINDOW_TIMEOUT=3ns conflicts", "EMIT_EMPTY=true conflicts"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			errs := c.s.Validate()
			if len(errs) != len(c.want) {
				t.Fatalf("%d errors, want %d: %v", len(errs), len(c.want), errs)
			}
			for i, err := range errs {
				if !strings.Contains(err.Error(), c.want[i]) {
					t.Errorf("error %d is %q, want %q in it", i, err, c.want[i])
				}
			}
			_, err := window.New(c.s, "t/0")
			if (err != nil) != (len(c.want) > 0) {
				t.Errorf("New: %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("New: %q lacks %q", err, want)
				}
			}
		})
	}
}
