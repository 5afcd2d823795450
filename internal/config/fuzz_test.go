package config_test

import (
	"encoding"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/windrow-io/windrow/internal/config"
	"github.com/windrow-io/windrow/internal/fuzztest"
)

// FuzzValues gives every kind of value arbitrary text: nothing panics, and what is taken means the same when it is
// written out and read again.
func FuzzValues(f *testing.F) {
	for _, s := range []string{"", "64MiB", "1.5 GB", "9223372036854775807", "1e9", "99999999999999999999T", "a,b, ,c", "events,/o.*/,/(/",
		"latest", "2026-01-31T12:00:00Z", "-1", "kafka:out.dead", "mongo:c", "kafka:", "redis://u:hunter2@h:1/0", "x://", "::@@//?", "0.0000001k"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fuzztest.Bounded(t, 8<<20+1000*len(s), func() { // regular expressions are compiled
			for _, v := range []interface {
				encoding.TextUnmarshaler
			}{new(config.Size), new(config.List), new(config.Topics), new(config.Start), new(config.DeadLetter)} {
				if v.UnmarshalText([]byte(s)) != nil {
					continue
				}
				switch v := v.(type) {
				case *config.Size:
					var again config.Size
					if err := again.UnmarshalText([]byte(v.String())); err != nil || again != *v && int64(*v) < 1<<53 || *v < 0 {
						t.Errorf("%q is %s, which is %s, %v", s, v, again, err)
					}
				case *config.List:
					for _, item := range *v {
						if item == "" || strings.Contains(item, ",") {
							t.Errorf("%q holds %q", s, item)
						}
					}
				case *config.Topics:
					if _, err := v.Parse(); err != nil {
						t.Errorf("%q was taken, and is refused later: %v", s, err)
					}
				case *config.Start:
					if _, err := v.Parse(); err != nil {
						t.Errorf("%q was taken, and is refused later: %v", s, err)
					}
				case *config.DeadLetter:
					var again config.DeadLetter
					if err := again.UnmarshalText([]byte(v.String())); err != nil || again != *v {
						t.Errorf("%q is %s, which is %s, %v", s, v, again, err)
					}
				}
			}
		})
	})
}

// FuzzLoad loads a configuration in which one variable is arbitrary text: whatever it is, Load returns, and says which
// variable is wrong. A password is never told.
func FuzzLoad(f *testing.F) {
	names := []string{"STREAM", "REDIS_URL", "KAFKA_BROKERS", "KAFKA_TOPICS", "KAFKA_START", "BUFFER_MAX_BYTES", "SHARDS", "SHARD_KEY", "EMITTER", "WINDOW_SIZE",
		"WINDOW_KEY", "WINDOW_TIMEOUT", "SINK", "KAFKA_OUTPUT_TOPIC", "DEAD_LETTER", "LEASE_TTL", "STATE_MAX_BYTES", "HTTP_ADDR", "LOG_LEVEL", "WORKER", "JOURNAL_TOPIC", "HANDLER_URL"}
	for i, name := range names {
		f.Add(uint8(i), name)
		f.Add(uint8(i), "\xff,/(:")
		f.Add(uint8(i), strconv.Itoa(math.MaxInt64))
	}
	f.Add(uint8(1), "redis+sentinel://u:hunter2@h:1,h:2/m/0?x=y")
	f.Add(uint8(1), "redis+cluster://u:hunter2@[::1]:1,h?dial_timeout=1")
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		if strings.ContainsRune(text, 0) {
			return // no environment can hold it
		}
		name := names[int(which)%len(names)]
		fuzztest.Bounded(t, 16<<20+2000*len(text), func() {
			_, err := load(t, config.ProgramBoth, merge(ingest(nil), process(nil), env{name: text}))
			if err == nil {
				return
			}
			if !strings.HasPrefix(err.Error(), "the configuration can't be used:\n") {
				t.Errorf("%s=%q: %v", name, text, err)
			}
			if name == "REDIS_URL" && strings.Contains(text, ":hunter2@") && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("tells the password: %v", err)
			}
		})
	})
}
