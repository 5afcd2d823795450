package lab

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// passing reports whether an error of a fetch mends itself: the topic is not made yet, or its leader is not known yet.
func passing(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || kerr.IsRetriable(err)
}
