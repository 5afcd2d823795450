package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/source"
)

// Size is a number of bytes.
type Size int64

var units = map[string]float64{
	"": 1, "b": 1,
	"k": 1e3, "kb": 1e3, "ki": 1 << 10, "kib": 1 << 10,
	"m": 1e6, "mb": 1e6, "mi": 1 << 20, "mib": 1 << 20,
	"g": 1e9, "gb": 1e9, "gi": 1 << 30, "gib": 1 << 30,
	"t": 1e12, "tb": 1e12, "ti": 1 << 40, "tib": 1 << 40,
}

var sizePattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) *([A-Za-z]*)$`)

// UnmarshalText reads 67108864, 64MiB, 64Mi (powers of 1024) or 64MB, 64M (powers of 1000).
func (s *Size) UnmarshalText(text []byte) error {
	parts := sizePattern.FindStringSubmatch(strings.TrimSpace(string(text)))
	if parts == nil {
		parts = make([]string, 3)
	}
	n, err := strconv.ParseFloat(parts[1], 64)
	unit, ok := units[strings.ToLower(parts[2])]
	if err != nil || !ok || n*unit >= math.MaxInt64 {
		return fmt.Errorf("is not a size: write 67108864, 64MiB or 64MB")
	}
	*s = Size(math.Round(n * unit))
	return nil
}

// String is the size in the largest binary unit that divides it.
func (s Size) String() string {
	n, unit := int64(s), 0
	for n != 0 && n%1024 == 0 && unit < 4 {
		n, unit = n/1024, unit+1
	}
	return strconv.FormatInt(n, 10) + [...]string{"", "KiB", "MiB", "GiB", "TiB"}[unit]
}

// Slide is how far a window begins after the one before: a time or a number of records.
type Slide struct {
	Time    time.Duration
	Records int
}

// UnmarshalText reads 500ms, 10s, or 10.
func (s *Slide) UnmarshalText(text []byte) (err error) {
	*s = Slide{}
	if s.Records, err = strconv.Atoi(string(text)); err == nil && s.Records >= 1 {
		return nil
	}
	s.Records = 0
	if s.Time, err = time.ParseDuration(string(text)); err == nil && s.Time >= time.Millisecond {
		return nil
	}
	return errors.New("is neither a time of at least 1ms, as in 500ms or 10s, nor a number of records of at least 1")
}

// Secret is text that is never printed.
type Secret string

const hidden = "(hidden)"

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText hides the secret from JSON and logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// URL is an address that may hold a password, which is never printed. string(u) is the whole of it.
type URL string

// String is the URL with the password, and any options, left out.
func (u URL) String() string {
	if u == "" {
		return ""
	}
	// A list of hosts with ports is no valid URL to net/url: take it apart by hand.
	scheme, rest, ok := strings.Cut(string(u), "://")
	if !ok {
		return hidden
	}
	rest, _, _ = strings.Cut(rest, "?")
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		user, _, _ := strings.Cut(rest[:at], ":")
		rest = user + ":xxxxx@" + rest[at+1:]
	}
	return scheme + "://" + rest
}

// GoString hides the password from %#v.
func (u URL) GoString() string { return strconv.Quote(u.String()) }

// MarshalText hides the password from JSON and logs.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// List is a comma separated list; spaces around the items don't count, and neither do empty items.
type List []string

// UnmarshalText reads the list.
func (l *List) UnmarshalText(text []byte) error {
	*l = nil
	for item := range strings.SplitSeq(string(text), ",") {
		if item = strings.TrimSpace(item); item != "" {
			*l = append(*l, item)
		}
	}
	return nil
}

// Sinks is a list of kinds of sinks, each once.
type Sinks []string

// UnmarshalText reads the list.
func (s *Sinks) UnmarshalText(text []byte) error {
	var list List
	if err := list.UnmarshalText(text); err != nil {
		return err
	}
	for i, kind := range list {
		switch {
		case kind != "kafka" && kind != "mongo" && kind != "stdout":
			return errors.New("is not one of kafka, mongo, stdout, nor a list of them")
		case slices.Contains(list[:i], kind):
			return fmt.Errorf("has %s twice", kind)
		}
	}
	*s = Sinks(list)
	return nil
}

// Has reports whether windows go to a sink of this kind.
func (s Sinks) Has(kind string) bool { return slices.Contains(s, kind) }

// String is the list as it is written.
func (s Sinks) String() string { return strings.Join(s, ",") }

// Topics is a list that source.ParseTopics has accepted.
type Topics string

// UnmarshalText checks the list.
func (t *Topics) UnmarshalText(text []byte) error {
	*t = Topics(strings.TrimSpace(string(text)))
	_, err := t.Parse()
	return err
}

// Parse returns the topics.
func (t Topics) Parse() (*source.Topics, error) {
	topics, err := source.ParseTopics(string(t))
	if err != nil {
		return nil, fmt.Errorf("is no list of topics: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return topics, nil
}

// Start is a place to begin that source.ParseStart has accepted.
type Start string

// UnmarshalText checks it.
func (s *Start) UnmarshalText(text []byte) error {
	*s = Start(strings.TrimSpace(string(text)))
	_, err := s.Parse()
	return err
}

// Parse returns the place.
func (s Start) Parse() (source.Start, error) {
	start, err := source.ParseStart(string(s))
	if err != nil {
		return source.Start{}, errors.New("is neither earliest, latest, a time like 2026-01-31T12:00:00Z, nor Unix milliseconds")
	}
	return start, nil
}

// DeadLetter is where dead letters go. Its zero value: standard output, with the windows.
type DeadLetter struct {
	Kind string // kafka or mongo
	Name string // topic or collection
}

// UnmarshalText reads kafka:<topic> or mongo:<collection>.
func (d *DeadLetter) UnmarshalText(text []byte) error {
	*d = DeadLetter{}
	kind, name, _ := strings.Cut(string(text), ":")
	switch {
	case name == "" || kind != "kafka" && kind != "mongo":
		return fmt.Errorf("is neither kafka:<topic> nor mongo:<collection>")
	case kind == "kafka":
		if err := wire.CheckTopic(name); err != nil {
			return err
		}
	}
	*d = DeadLetter{kind, name}
	return nil
}

// String is kafka:<topic>, mongo:<collection>, or empty.
func (d DeadLetter) String() string {
	if d.Kind == "" {
		return ""
	}
	return d.Kind + ":" + d.Name
}
