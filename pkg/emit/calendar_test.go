package emit_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/windrow-io/windrow/pkg/emit"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestCalendarWindows(t *testing.T) {
	for _, c := range []struct {
		name             string
		unit             emit.Calendar
		zone             string
		offset           time.Duration
		at, start, until string
	}{
		{"day", emit.Day, "UTC", 0, "2024-02-28T12:00:00Z", "2024-02-28T00:00:00Z", "2024-02-29T00:00:00Z"},
		{"day begins on the border", emit.Day, "UTC", 0, "2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"},
		{"day of 23 hours", emit.Day, "Europe/Berlin", 0, "2024-03-31T12:00:00Z", "2024-03-30T23:00:00Z", "2024-03-31T22:00:00Z"},
		{"day of 25 hours", emit.Day, "Europe/Berlin", 0, "2024-10-27T12:00:00Z", "2024-10-26T22:00:00Z", "2024-10-27T23:00:00Z"},
		{"day from six to six", emit.Day, "Europe/Berlin", 6 * time.Hour, "2024-03-31T03:59:00Z", "2024-03-30T05:00:00Z", "2024-03-31T04:00:00Z"},
		{"day whose midnight is left out", emit.Day, "America/Sao_Paulo", 0, "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"},
		{"day whose midnight comes twice", emit.Day, "America/Havana", 0, "2023-11-05T12:00:00Z", "2023-11-05T04:00:00Z", "2023-11-06T05:00:00Z"},
		{"week", emit.Week, "UTC", 0, "2024-03-03T23:59:59Z", "2024-02-26T00:00:00Z", "2024-03-04T00:00:00Z"},
		{"week from Sunday on", emit.Week, "UTC", -24 * time.Hour, "2024-03-03T00:00:00Z", "2024-03-03T00:00:00Z", "2024-03-10T00:00:00Z"},
		{"month", emit.Month, "America/New_York", 0, "2024-03-01T04:59:59Z", "2024-02-01T05:00:00Z", "2024-03-01T05:00:00Z"},
		{"month with summer time", emit.Month, "America/New_York", 0, "2024-03-20T00:00:00Z", "2024-03-01T05:00:00Z", "2024-04-01T04:00:00Z"},
		{"hour of a zone with half hours", emit.Hour, "Asia/Kolkata", 0, "2024-01-01T00:00:00Z", "2023-12-31T23:30:00Z", "2024-01-01T00:30:00Z"},
		{"hour cut in half", emit.Hour, "Australia/Lord_Howe", 0, "2024-04-06T14:40:00Z", "2024-04-06T14:00:00Z", "2024-04-06T15:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ms := func(text string) int64 {
				at, err := time.Parse(time.RFC3339, text)
				if err != nil {
					t.Fatal(err)
				}
				return at.UnixMilli()
			}
			start, end := emit.NewCalendar(c.unit, zone(t, c.zone), c.offset, false).Span(ms(c.at))
			if start != ms(c.start) || end != ms(c.until) {
				t.Errorf("%s to %s, want %s to %s", time.UnixMilli(start).UTC(), time.UnixMilli(end).UTC(), c.start, c.until)
			}
		})
	}
}

// TestIntervalsLieEndToEnd: every moment is in one calendar window and in size/slide sliding ones, whatever clocks do.
func TestIntervalsLieEndToEnd(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, name := range []string{"UTC", "Europe/Berlin", "America/Sao_Paulo", "America/Havana", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia", "Africa/Cairo"} {
		for _, unit := range []emit.Calendar{emit.Hour, emit.Day, emit.Week, emit.Month} {
			for _, offset := range []time.Duration{0, 30 * time.Minute, 150 * time.Minute, -45 * time.Minute} {
				s := emit.NewCalendar(unit, zone(t, name), offset, false)
				for range 300 {
					ms := rng.Int64N(3_000_000_000_000) - 500_000_000_000
					start, end := s.Span(ms)
					if ms < start || ms >= end {
						t.Fatalf("%s %s %v: %d is not in [%d, %d)", name, unit, offset, ms, start, end)
					}
					for _, at := range []int64{start, end - 1} {
						if a, b := s.Span(at); a != start || b != end {
							t.Fatalf("%s %s %v: %d is in [%d, %d), %d in [%d, %d)", name, unit, offset, ms, start, end, at, a, b)
						}
					}
					if a, _ := s.Span(end); a != end {
						t.Fatalf("%s %s %v: after [%d, %d) comes one from %d on", name, unit, offset, start, end, a)
					}
					if _, b := s.Before(start); b != start {
						t.Fatalf("%s %s %v: before [%d, %d) comes one up to %d", name, unit, offset, start, end, b)
					}
				}
			}
		}
	}
	s := emit.NewSliding(10*time.Second, 3*time.Second, time.Second)
	for range 1000 {
		ms := rng.Int64N(1_000_000) - 500_000
		n := 0
		for start, end := s.Span(ms); end > ms; start, end = s.Before(start) {
			if ms < start || end-start != 10_000 || (start-1000)%3000 != 0 {
				t.Fatalf("%d is in [%d, %d)", ms, start, end)
			}
			n++
		}
		if n < 3 || n > 4 {
			t.Fatalf("%d is in %d windows", ms, n)
		}
	}
}
