package wire

import (
	"errors"
	"regexp"
)

var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// CheckTopic returns what Kafka would not take of a topic's name, to be said after the name.
func CheckTopic(name string) error {
	if !topicName.MatchString(name) || name == "." || name == ".." {
		return errors.New("can't be a topic's name: 1 to 249 of A-Z a-z 0-9 . _ -")
	}
	return nil
}
