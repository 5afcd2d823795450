package config

import (
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/windrow-io/windrow/internal/wire"
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

// host returns the part of the URL between scheme and path, without user and password.
func (u URL) host() (scheme, host string) {
	scheme, rest, ok := strings.Cut(string(u), "://")
	if !ok {
		return "", ""
	}
	if i := strings.IndexAny(rest, "/?"); i >= 0 && !strings.Contains(rest[i:], "@") {
		rest = rest[:i]
	}
	host = rest[strings.LastIndex(rest, "@")+1:]
	if i := strings.IndexAny(host, "/?"); i >= 0 {
		host = host[:i]
	}
	return strings.ToLower(scheme), host
}

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

// Topics is a comma separated list of topic names and /regexps/ of whole names. A comma in a regexp is no separator.
type Topics []string

var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

// UnmarshalText reads and checks the list.
func (t *Topics) UnmarshalText(text []byte) error {
	*t = nil
	rest := strings.TrimLeft(string(text), " ,")
	for rest != "" {
		end := strings.IndexByte(rest, ',')
		if rest[0] == '/' {
			// The regexp ends at the slash that a comma or the end of the list follows.
			if loc := regexEnd.FindStringIndex(rest[1:]); loc != nil {
				end = 1 + loc[0] + 1
			} else {
				return fmt.Errorf("holds %s: a regexp begins and ends with /", rest)
			}
		}
		item := rest
		if end >= 0 && end < len(rest) {
			item, rest = rest[:end], strings.TrimLeft(rest[end:], " ,")
		} else {
			rest = ""
		}
		item = strings.TrimSpace(item)
		if _, err := topicPattern(item); err != nil {
			return err
		}
		*t = append(*t, item)
	}
	return nil
}

var regexEnd = regexp.MustCompile(`/\s*(,|$)`)

// topicPattern returns the regexp of an item of Topics, nil for a name.
func topicPattern(item string) (*regexp.Regexp, error) {
	if !strings.HasPrefix(item, "/") {
		return nil, checkTopic(item)
	}
	re, err := regexp.Compile(`^(?:` + strings.Trim(item, "/") + `)$`)
	if err != nil {
		return nil, fmt.Errorf("holds %s: %v", item, err)
	}
	return re, nil
}

// Match reports whether the list names a topic, and the item that does.
func (t Topics) Match(topic string) (item string, ok bool) {
	for _, item := range t {
		re, err := topicPattern(item)
		if err == nil && (re == nil && item == topic || re != nil && re.MatchString(topic)) {
			return item, true
		}
	}
	return "", false
}

func checkTopic(name string) error {
	if !topicName.MatchString(name) || name == "." || name == ".." {
		return fmt.Errorf("holds %q, which is not a topic's name: Kafka allows A-Z a-z 0-9 . _ - and at most 249 of them", name)
	}
	return nil
}

// Start says where reading begins: earliest, latest, or a time.
type Start string

// UnmarshalText reads and checks it.
func (s *Start) UnmarshalText(text []byte) error {
	*s = Start(strings.TrimSpace(string(text)))
	_, err := s.parse()
	return err
}

// At is wire.Earliest, wire.Latest, or Unix milliseconds: what wire.Cluster.Offsets takes. The empty Start is earliest.
func (s Start) At() int64 {
	at, err := s.parse()
	if err != nil {
		return wire.Earliest
	}
	return at
}

func (s Start) parse() (int64, error) {
	switch s {
	case "", "earliest":
		return wire.Earliest, nil
	case "latest":
		return wire.Latest, nil
	}
	if ms, err := strconv.ParseInt(string(s), 10, 64); err == nil {
		// Unix seconds are a likely mistake: as milliseconds they are all in January 1970.
		if ms < 1e11 {
			return 0, fmt.Errorf("is not a time in Unix milliseconds (13 digits)")
		}
		return ms, nil
	}
	t, err := time.Parse(time.RFC3339Nano, string(s))
	if err != nil {
		return 0, fmt.Errorf("is not earliest, latest, a time like 2006-01-02T15:04:05Z, or Unix milliseconds")
	}
	return t.UnixMilli(), nil
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
		if err := checkTopic(name); err != nil {
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

// checkURL reports what keeps text from being the address of a server with one of the schemes.
func checkURL(u URL, schemes ...string) error {
	scheme, host := u.host()
	for _, s := range schemes {
		if s != scheme {
			continue
		}
		if host == "" {
			return fmt.Errorf("names no host: %s://host:port", s)
		}
		// Only single-host URLs are valid to net/url; what it refuses in them is worth saying, without the URL itself.
		if !strings.Contains(host, ",") {
			if _, err := url.Parse(string(u)); err != nil {
				return fmt.Errorf("is not a valid URL: percent-encode special characters of user and password")
			}
		}
		return nil
	}
	return fmt.Errorf("must begin with %s", strings.Join(prefixed(schemes), ", "))
}

func prefixed(schemes []string) []string {
	out := make([]string, len(schemes))
	for i, s := range schemes {
		out[i] = s + "://"
	}
	return out
}
