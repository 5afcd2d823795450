package explore

import (
	"fmt"
	"reflect"
	"strings"
)

// Rules of a model are a struct of bools: true means that the rule of that name is broken. So each can be broken by name,
// and a test can see that a search notices.

// Break breaks the named rules of the struct that rules points to.
func Break(rules any, names ...string) error {
	v := reflect.ValueOf(rules).Elem()
	for _, name := range names {
		f := v.FieldByName(name)
		if !f.IsValid() {
			return fmt.Errorf("there is no rule %s; the rules are %s", name, strings.Join(Names(rules), ", "))
		}
		f.SetBool(true)
	}
	return nil
}

// Names lists the rules of the struct that rules points to.
func Names(rules any) (names []string) {
	t := reflect.TypeOf(rules).Elem()
	for i := range t.NumField() {
		names = append(names, t.Field(i).Name)
	}
	return names
}
