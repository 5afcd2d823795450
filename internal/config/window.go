package config

import "github.com/windrow-io/windrow/pkg/window"

// validate asks the settings what is wrong with them.
func validate(s window.Settings) []error {
	if v, ok := any(s).(interface{ Validate() []error }); ok {
		return v.Validate()
	}
	return nil
}
