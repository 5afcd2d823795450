package field_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/field"
	"github.com/windrow-io/windrow/pkg/record"
)

func clock(t testing.TB, ref, format string, zone *time.Location) *field.Clock {
	t.Helper()
	f, err := field.Parse(ref)
	if err != nil {
		t.Fatal(err)
	}
	c, err := field.NewClock(f, format, zone)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTimes(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	const none = -1 << 63
	for _, c := range []struct {
		value, format string
		want          int64
	}{
		{`1700000000`, "", 1700000000000},
		{`1700000000.1239`, "", 1700000000123},
		{`1.7e9`, "auto", 1700000000000},
		{`1700000000123`, "", 1700000000123},
		{`1700000000123456`, "", 1700000000123},
		{`1700000000123456789`, "", 1700000000123},
		{`"1700000000"`, "", 1700000000000},
		{`"1700000000123"`, "", 1700000000123},
		{`0`, "", 0},
		{`-1`, "", -1000},
		{`-0.0001`, "", -1},
		{`1e-999999999`, "s", 0},
		{`0e999999999`, "s", 0},
		{`99999999999`, "", 99999999999000},
		{`100000000000`, "", 100000000000},
		{`1700000000`, "ms", 1700000000},
		{`1700000000999`, "us", 1700000000},
		{`1700000000999999`, "ns", 1700000000},
		{`1700000000`, "s", 1700000000000},
		{`"2023-11-14T22:13:20Z"`, "", 1700000000000},
		{`"2023-11-14T22:13:20.123456789Z"`, "", 1700000000123},
		{`"2023-11-14T23:13:20.5+01:00"`, "", 1700000000500},
		{`"2023-11-14 22:13:20Z"`, "", 1700000000000},
		{`"2023-11-14T23:13:20"`, "", 1700000000000}, // Berlin's
		{`"2023-11-14 23:13:20.25"`, "", 1700000000250},
		{`"2023-11-15"`, "", 1700002800000},
		{`"14.11.2023 23:13"`, "02.01.2006 15:04", 1699999980000},
		{`"9999-12-31T23:59:59.999Z"`, "", 253402300799999},

		{`253402300800`, "s", none},
		{`"0000-12-31T23:59:59Z"`, "", none},
		{`99999999999999999999999`, "", none},
		{`1e300`, "", none},
		{`-1e300`, "", none},
		{`1e9999999999`, "ms", none},
		{`-62135596801`, "s", none},
		{`"tomorrow"`, "", none},
		{`"2023-11-14T22:13:20Z"`, "ms", none},
		{`"2023-02-30"`, "", none},
		{`"17000e"`, "", none},
		{`"17.0.1"`, "", none},
		{`"1."`, "", none},
		{`".5"`, "", none},
		{`""`, "", none},
		{`"-"`, "", none},
		{`true`, "", none},
		{`{"s":1}`, "", none},
		{`[1700000000]`, "", none},
	} {
		t.Run(c.value+" "+c.format, func(t *testing.T) {
			got, err := clock(t, "at", c.format, berlin).Time(&record.Record{Value: []byte(`{"at":` + c.value + `}`)})
			switch {
			case c.want == none && !errors.Is(err, field.ErrNotTime):
				t.Errorf("got %d, %v, want ErrNotTime", got, err)
			case c.want != none && (err != nil || got != c.want):
				t.Errorf("got %d, %v, want %d", got, err, c.want)
			}
		})
	}
}

func TestTimesOfFields(t *testing.T) {
	r := &record.Record{Value: []byte(`{"a":null}`), Timestamp: 1234, Key: []byte("1700000000")}
	if got, err := clock(t, "@timestamp", "", time.UTC).Time(r); err != nil || got != 1234 {
		t.Errorf("@timestamp: %d, %v", got, err)
	}
	if got, err := clock(t, "@key", "", time.UTC).Time(r); err != nil || got != 1700000000000 {
		t.Errorf("@key: %d, %v", got, err)
	}
	r.Timestamp = 1 << 62
	if _, err := clock(t, "@timestamp", "", time.UTC).Time(r); !errors.Is(err, field.ErrNotTime) {
		t.Errorf("an absurd @timestamp: %v", err)
	}
	for _, ref := range []string{"a", "b", "@header.x"} {
		if _, err := clock(t, ref, "", time.UTC).Time(r); !errors.Is(err, field.ErrMissing) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	r.Value = []byte("{")
	if _, err := clock(t, "a", "", time.UTC).Time(r); !errors.Is(err, field.ErrNotJSON) {
		t.Errorf("no JSON: %v", err)
	}
	r.Value = []byte(`{"a":"` + strings.Repeat("x", 5000) + `"}`)
	if _, err := clock(t, "a", "", time.UTC).Time(r); !errors.Is(err, field.ErrNotTime) || len(err.Error()) > 200 {
		t.Errorf("a long text: %v", err)
	}
}

func TestFormatsRefused(t *testing.T) {
	for _, format := range []string{"sec", "RFC3339", "15:04"} {
		if _, err := field.NewClock(field.Ref{}, format, time.UTC); err == nil || !strings.Contains(err.Error(), "use auto, s, ms, us, ns") {
			t.Errorf("%s: %v", format, err)
		}
	}
}

// TestTimesRoundTrip: any moment written in any way is read back.
func TestTimesRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	auto := clock(t, "@key", "", time.UTC)
	for range 20_000 {
		ms := rng.Int64N(95617584000000-100_000_000_000) + 100_000_000_000 // 1973 to 5000
		at := time.UnixMilli(ms).UTC()
		texts := []string{
			fmt.Sprint(ms), fmt.Sprintf("%d.%03d", ms/1000, ms%1000), at.Format(time.RFC3339Nano),
			at.In(time.FixedZone("", rng.IntN(86400/900)*900-43200)).Format(time.RFC3339Nano),
			fmt.Sprintf("%d%03d", ms, rng.IntN(1000)), fmt.Sprintf("%d.%d", ms, rng.IntN(1000)),
		}
		if ms < 9223372036854 {
			texts = append(texts, fmt.Sprintf("%d%06d", ms, rng.IntN(1000000)))
		}
		for _, text := range texts {
			if got, err := auto.Time(&record.Record{Key: []byte(text)}); err != nil || got != ms {
				t.Fatalf("%s: got %d, %v, want %d", text, got, err, ms)
			}
		}
	}
}
