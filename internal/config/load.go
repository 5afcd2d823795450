package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
)

// Problem is one thing that is wrong with the environment.
type Problem struct {
	Variable string // empty: the reason names it
	Value    string // empty: not set, or a secret
	Reason   string
}

// Error is the problem in one line.
func (p Problem) Error() string {
	switch {
	case p.Variable == "":
		return p.Reason
	case p.Value == "":
		return p.Variable + " " + p.Reason
	}
	return fmt.Sprintf("%s=%s %s", p.Variable, p.Value, p.Reason)
}

// Error is everything that is wrong with the environment. A program that gets one ends with exit code 2.
type Error struct {
	Problems []Problem
}

// Error lists the problems, one a line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("the configuration can't be used:")
	for _, p := range e.Problems {
		b.WriteString("\n  " + p.Error())
	}
	return b.String()
}

// ExitCode is the exit code of a program that can't use its configuration.
const ExitCode = 2

// Load reads and checks a program's variables. The error is an *Error. A user's own program registers its emitters first.
//
// A variable that is set to nothing counts as not set; HTTP_ADDR alone takes it as "off".
func Load(p Program) (*Config, error) {
	c := new(Config)
	var problems []Problem
	failed := map[string]bool{}
	add := func(p Problem) {
		problems = append(problems, p)
		failed[p.Variable] = true
	}
	for _, v := range variables(c) {
		if v.Programs&p == 0 {
			continue
		}
		if problem := v.load(); problem != nil {
			add(*problem)
		}
	}
	c.derive(p)
	check(c, p, failed, add)
	unknown(os.Environ(), p, add, func(warning string) { c.Warnings = append(c.Warnings, warning) })
	if len(problems) > 0 {
		return nil, &Error{Problems: problems}
	}
	return c, nil
}

// Variable describes a variable.
type Variable struct {
	Name     string
	Type     string // for people
	Default  string // as it would be written, or in words
	Meaning  string // with choices and bounds
	Choices  []string
	Pattern  string  // a regular expression that the text of a value matches; empty: none
	Programs Program // that read it
	Required bool
	Secret   bool // may hold a password

	field reflect.StructField
	value reflect.Value
}

// Variables returns those of a program, in the order of the documentation.
func Variables(p Program) []Variable {
	return slices.DeleteFunc(variables(new(Config)), func(v Variable) bool { return v.Programs&p == 0 })
}

// variables returns all variables, bound to the fields of c.
func variables(c *Config) []Variable {
	var vs []Variable
	for _, part := range []struct {
		spec     any
		programs Program
	}{{&c.Common, ProgramBoth}, {&c.Ingest, ProgramIngest}, {&c.Process, ProgramProcess}} {
		s := reflect.ValueOf(part.spec).Elem()
		for i := range s.NumField() {
			f := s.Type().Field(i)
			name, ok := f.Tag.Lookup("envconfig")
			if !ok {
				continue
			}
			vs = append(vs, Variable{
				Name:     name,
				Type:     typeName(f),
				Default:  cmp.Or(f.Tag.Get("default"), f.Tag.Get("derived")),
				Meaning:  f.Tag.Get("desc") + limits(f.Tag),
				Programs: part.programs,
				Choices:  choices(f.Tag),
				Pattern:  f.Tag.Get("pattern"),
				Required: f.Tag.Get("required") == "true",
				Secret:   f.Tag.Get("secret") == "true",
				field:    f,
				value:    s.Field(i),
			})
		}
	}
	return vs
}

func choices(tag reflect.StructTag) []string {
	if tag.Get("choice") == "" {
		return nil
	}
	return strings.Split(tag.Get("choice"), ",")
}

// load sets the variable's field from the environment.
func (v *Variable) load() *Problem {
	text, set := os.LookupEnv(v.Name)
	if set && strings.TrimSpace(text) == "" && v.field.Tag.Get("empty") == "" {
		os.Unsetenv(v.Name)
		set = false
	}
	if !set && v.Required {
		return &Problem{Variable: v.Name, Reason: "is required: " + v.Meaning}
	}
	// envconfig stops at the first fault of a struct: hand it a struct of this one field, so that all faults are found.
	one := reflect.New(reflect.StructOf([]reflect.StructField{v.field}))
	if err := envconfig.Process("", one.Interface()); err != nil {
		if parse := (*envconfig.ParseError)(nil); errors.As(err, &parse) {
			err = parse.Err
		}
		return v.problem(text, v.explain(err))
	}
	v.value.Set(one.Elem().Field(0))
	if !set {
		return nil
	}
	return v.checkTags(text)
}

// problem is a Problem of the variable that doesn't tell a secret.
func (v *Variable) problem(text, reason string) *Problem {
	if v.Secret {
		text = URL(text).String()
		if v.value.Type() == reflect.TypeFor[Secret]() {
			text = hidden
		}
	}
	return &Problem{Variable: v.Name, Value: text, Reason: reason}
}

// explain says what a value should have been where Go's own parsers were at work.
func (v *Variable) explain(err error) string {
	switch {
	case v.field.Type == reflect.TypeFor[time.Duration](), v.field.Type == reflect.TypeFor[*time.Duration]():
		return "is not a duration: write 500ms, 30s, 5m or 1h30m"
	case v.field.Type.Kind() == reflect.Bool:
		return "is neither true nor false"
	case v.field.Type.Kind() == reflect.Int, v.field.Type == reflect.TypeFor[*int]():
		return "is not a whole number"
	}
	return err.Error()
}

// checkTags checks what the tags say of the value.
func (v *Variable) checkTags(text string) *Problem {
	tag := v.field.Tag
	if len(v.Choices) > 0 && !slices.Contains(v.Choices, text) {
		return v.problem(text, "is not one of "+strings.Join(v.Choices, ", "))
	}
	if what := tag.Get("name"); what != "" && !namePattern.MatchString(text) {
		return v.problem(text, "can't be the name of a "+what+": 1 to 64 of A-Z a-z 0-9 . _ -")
	}
	if value := reflect.Indirect(v.value); value.CanInt() {
		if least := tag.Get("min"); least != "" && value.Int() < v.bound(least) {
			return v.problem(text, "is less than "+least+", the least allowed")
		}
		if most := tag.Get("max"); most != "" && value.Int() > v.bound(most) {
			return v.problem(text, "is more than "+most+", the most allowed")
		}
	}
	return nil
}

// bound reads a bound in a tag, which is written like the variable's value.
func (v *Variable) bound(text string) int64 {
	switch v.value.Interface().(type) {
	case Size:
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil {
			panic(err)
		}
		return int64(s)
	case time.Duration, *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			panic(err)
		}
		return int64(d)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// derive sets the defaults that depend on other variables.
func (c *Config) derive(p Program) {
	if p&ProgramIngest != 0 {
		c.Group = cmp.Or(c.Group, c.Stream)
		if c.Shards > 0 {
			c.ShardKey = cmp.Or(c.ShardKey, "@key")
		}
	}
	if p&ProgramProcess == 0 {
		return
	}
	c.Pipeline = cmp.Or(c.Pipeline, c.Stream)
	if len(c.OutputBrokers) == 0 {
		c.OutputBrokers = c.Brokers
	}
	c.JournalTopic = cmp.Or(c.JournalTopic, "windrow."+c.Stream+"."+c.Pipeline+".journal")
	if c.DeadLetter.Kind == "" {
		switch { // to Kafka rather than elsewhere: there they are written exactly once
		case c.Sink.Has("kafka") && c.OutputTopic != "":
			c.DeadLetter = DeadLetter{"kafka", c.OutputTopic + ".dead"}
		case c.Sink.Has("mongo") && c.MongoCollection != "":
			c.DeadLetter = DeadLetter{"mongo", c.MongoCollection + ".dead"}
		}
	}
	if c.Worker == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "worker"
		}
		c.Worker = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
}

// cause is what the operating system said, without the path that is named anyway.
func cause(err error) string {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// HTTPAddr is HTTP_ADDR alone, unchecked: what `-healthcheck` needs, in whatever state the rest of the environment is.
func HTTPAddr() string {
	if addr, ok := os.LookupEnv("HTTP_ADDR"); ok {
		return addr
	}
	for _, v := range Variables(ProgramBoth) {
		if v.Name == "HTTP_ADDR" {
			return v.Default
		}
	}
	return ""
}
