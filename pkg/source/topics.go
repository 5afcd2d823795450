package source

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/windrow-io/windrow/internal/wire"
)

// Topics says which topics are read: names, and regular expressions for names.
type Topics struct {
	names    []string
	patterns []*regexp.Regexp
	text     string
}

// ParseTopics parses a list separated by commas. An item between slashes is a regular expression (Go's syntax; commas
// within it need no escape) that has to match a topic's whole name: /orders-.*/ matches orders-eu, not my-orders-eu.
// Every error of the list is reported.
func ParseTopics(list string) (*Topics, error) {
	t := &Topics{text: list}
	var errs []error
	for rest := strings.TrimSpace(list); rest != ""; rest = strings.TrimSpace(rest) {
		var item string
		if rest[0] == '/' {
			end := endOfPattern(rest)
			if end < 0 {
				errs = append(errs, fmt.Errorf("%q: a regular expression ends with a slash", rest))
				break
			}
			item, rest = rest[1:end], strings.TrimSpace(rest[end+1:])
			rest = strings.TrimPrefix(rest, ",")
			re, err := regexp.Compile("^(?:" + item + ")$")
			switch {
			case item == "":
				errs = append(errs, errors.New(`"//": the regular expression is empty`))
			case err != nil:
				errs = append(errs, fmt.Errorf("/%s/: %w", item, err))
			default:
				t.patterns = append(t.patterns, re)
			}
			continue
		}
		item, rest, _ = strings.Cut(rest, ",")
		switch item = strings.TrimSpace(item); {
		case item == "":
		case wire.CheckTopic(item) != nil:
			errs = append(errs, fmt.Errorf("%q is not the name of a topic (letters, digits, . _ -; for a regular expression write /%s/)", item, item))
		default:
			t.names = append(t.names, item)
		}
	}
	if len(errs) == 0 && len(t.names)+len(t.patterns) == 0 {
		errs = append(errs, errors.New("no topic is named"))
	}
	return t, errors.Join(errs...)
}

// endOfPattern finds the slash that ends the expression s begins with: the first one at the end of s or before a comma.
func endOfPattern(s string) int {
	for i := 1; i < len(s); i++ {
		if s[i] != '/' {
			continue
		}
		if after := strings.TrimSpace(s[i+1:]); after == "" || after[0] == ',' {
			return i
		}
	}
	return -1
}

func (t *Topics) String() string { return t.text }

// Names returns the topics that are named, as opposed to matched.
func (t *Topics) Names() []string { return t.names }

// Match reports whether the topic is to be read, and whether it is named. A regular expression matches neither internal
// topics nor Windrow's journals.
func (t *Topics) Match(topic *wire.Topic) (match, named bool) {
	for _, n := range t.names {
		if n == topic.Name {
			return true, true
		}
	}
	if topic.Internal || strings.HasPrefix(topic.Name, "__") || journalTopic.MatchString(topic.Name) {
		return false, false
	}
	for _, p := range t.patterns {
		if p.MatchString(topic.Name) {
			return true, false
		}
	}
	return false, false
}

var journalTopic = regexp.MustCompile(`^windrow\..+\.journal$`)
