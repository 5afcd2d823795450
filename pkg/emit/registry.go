package emit

import (
	"fmt"
	"regexp"
	"slices"
	"sync"
)

// Names of the built-in strategies.
const (
	NameCount    = "count"
	NameBytes    = "bytes"
	NameFixed    = "fixed"
	NameRelaxed  = "relaxed"
	NameTumbling = "tumbling"
	NameSliding  = "sliding"
	NameSession  = "session"
	NameState    = "state"
	NameSample   = "sample"
	NameExpr     = "expr" // package expression has it
)

var builtin = []string{NameCount, NameBytes, NameFixed, NameRelaxed, NameTumbling, NameSliding, NameSession, NameState, NameSample, NameExpr}

var nameForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

var registry = struct {
	sync.Mutex
	emitters map[string]func() Emitter
}{emitters: map[string]func() Emitter{}}

// Register makes a user's emitter known as EMITTER=name; call it at the start of main, or from init. make is called once
// for each shard; what it returns is used by one goroutine at a time. Register panics if the name is not
// [A-Za-z0-9._-]{1,64}, a built-in strategy's, or taken.
func Register(name string, make func() Emitter) {
	registry.Lock()
	defer registry.Unlock()
	switch _, taken := registry.emitters[name]; {
	case !nameForm.MatchString(name):
		panic(fmt.Sprintf("emit: the name of an emitter must match %s, not %q", nameForm, name))
	case slices.Contains(builtin, name):
		panic(fmt.Sprintf("emit: %q is the name of a built-in emitter", name))
	case taken:
		panic(fmt.Sprintf("emit: an emitter is already registered as %q", name))
	case make == nil:
		panic(fmt.Sprintf("emit: the emitter %q is registered without a function that makes it", name))
	}
	registry.emitters[name] = make
}

// Registered returns what makes the emitter that was registered as name.
func Registered(name string) (make func() Emitter, ok bool) {
	registry.Lock()
	defer registry.Unlock()
	make, ok = registry.emitters[name]
	return make, ok
}

// Names returns the names of all strategies: the built-in ones first, then those registered, in alphabetical order.
func Names() []string {
	registry.Lock()
	defer registry.Unlock()
	names := make([]string, 0, len(registry.emitters))
	for name := range registry.emitters {
		names = append(names, name)
	}
	slices.Sort(names)
	return append(slices.Clone(builtin), names...)
}
