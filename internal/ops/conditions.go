package ops

import (
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Conditions are what a program needs to do its work, by name: "kafka", "redis", "shard events/3". Each change between
// met and not met is logged once, shown on /readyz, and counted as a metric. Safe for concurrent use.
type Conditions struct {
	logger *zap.Logger
	mu     sync.Mutex
	all    map[string]Condition
}

// Condition is one of them.
type Condition struct {
	Name    string    `json:"name"`
	OK      bool      `json:"ok"`
	Warning bool      `json:"warning,omitempty"` // not met, and the program is ready all the same
	Since   time.Time `json:"since"`             // when it last changed between met and not met
	Message string    `json:"message,omitempty"`
}

// NewConditions returns conditions of which the expected ones are not met until they are Set.
func NewConditions(logger *zap.Logger, expected ...string) *Conditions {
	c := &Conditions{logger: logger, all: map[string]Condition{}}
	for _, name := range expected {
		c.put(Condition{Name: name, Message: "not known yet"})
	}
	return c
}

// Set says that a condition is met (nil), or why it is not.
func (c *Conditions) Set(name string, err error) { c.set(name, err, false) }

// Warn is Set for what an operator must see and what does not keep the program from working: it stays ready.
func (c *Conditions) Warn(name string, err error) { c.set(name, err, true) }

func (c *Conditions) set(name string, err error, warning bool) {
	now := Condition{Name: name, OK: err == nil, Warning: warning && err != nil}
	if err != nil {
		now.Message = err.Error()
	}
	before, known := c.put(now)
	switch {
	case known && before.OK == now.OK && before.Message != "not known yet":
		if before.Message != now.Message {
			c.logger.Debug("still not met", zap.String("condition", name), zap.Error(err))
		}
	case err != nil && warning:
		c.logger.Warn("attention", zap.String("condition", name), zap.Error(err))
	case err != nil:
		c.logger.Warn("waiting", zap.String("condition", name), zap.Error(err))
	case known:
		c.logger.Info("met", zap.String("condition", name), zap.Duration("after", time.Since(before.Since).Round(time.Millisecond)))
	}
}

// put stores a condition and returns the one before it.
func (c *Conditions) put(now Condition) (before Condition, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, known = c.all[now.Name]
	now.Since = time.Now()
	if known && before.OK == now.OK {
		now.Since = before.Since
	}
	c.all[now.Name] = now
	gauge := 0.0
	if now.OK {
		gauge = 1
	}
	conditionGauge.WithLabelValues(now.Name).Set(gauge)
	return before, known
}

// Clear forgets a condition: nobody needs it any more.
func (c *Conditions) Clear(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, name)
	conditionGauge.DeleteLabelValues(name)
}

// List returns the conditions, those not met first, then by name.
func (c *Conditions) List() []Condition {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Condition, 0, len(c.all))
	for _, one := range c.all {
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b Condition) int {
		if a.OK != b.OK {
			if b.OK {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list
}

// Ready reports whether all conditions are met, warnings aside.
func (c *Conditions) Ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.all {
		if !one.OK && !one.Warning {
			return false
		}
	}
	return true
}
