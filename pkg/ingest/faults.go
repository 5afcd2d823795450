package ingest

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/windrow-io/windrow/pkg/source"
)

// The conditions of ingest.
const (
	conditionKafka    = "kafka"         // the brokers answer fetches
	conditionTopics   = "topics"        // the topics exist
	conditionGroup    = "group"         // this program is a member
	conditionRedis    = "redis"         // appends are taken
	conditionSource   = "source"        // batches can be read
	conditionLost     = "source-lost"   // a warning: records were lost before they were read
	conditionPressure = "back-pressure" // a warning: lanes are full, the pipelines don't keep up
	conditionCommit   = "commit"        // a warning: offsets can't be committed
	conditionDirect   = "direct"        // a warning: the direct lane is full; ingest does not fill it, and is there to see it
)

var warnings = map[string]bool{conditionLost: true, conditionPressure: true, conditionCommit: true, conditionDirect: true}

// faults sums up, for each condition, what its parts (brokers, lanes) report: it is met when none of them has a fault.
type faults struct {
	to Conditions

	mu   sync.Mutex
	now  map[string]map[string]error
	said map[string]string
}

func newFaults(to Conditions) *faults {
	return &faults{to: to, now: map[string]map[string]error{}, said: map[string]string{}}
}

// of returns the function that reports parts of one condition.
func (f *faults) of(condition string) source.Report {
	return func(part string, err error) { f.set(condition, part, err) }
}

// looked reports a look at the topics: whether there are brokers that answer, and whether the topics exist.
func (f *faults) looked(_ string, err error) {
	var missing *source.MissingError
	if errors.As(err, &missing) {
		f.set(conditionTopics, "", err)
		err = nil
	} else if err == nil {
		f.set(conditionTopics, "", nil)
	}
	f.set(conditionKafka, "", err)
}

// set says how a part fares, and passes it on if that changes the sum.
func (f *faults) set(condition, part string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	parts := f.now[condition]
	if parts == nil {
		parts = map[string]error{}
		f.now[condition] = parts
	}
	if err == nil {
		delete(parts, part)
	} else {
		parts[part] = err
	}
	var sum error
	text := "ok"
	if len(parts) > 0 {
		names := make([]string, 0, len(parts))
		for p := range parts {
			names = append(names, p)
		}
		sum = parts[slices.Min(names)]
		if len(parts) > 1 {
			sum = fmt.Errorf("%w (and %d more)", sum, len(parts)-1)
		}
		text = sum.Error()
	}
	if f.said[condition] == text {
		return
	}
	f.said[condition] = text
	if f.to == nil {
		return
	}
	if warnings[condition] {
		f.to.Warn(condition, sum)
	} else {
		f.to.Set(condition, sum)
	}
}
