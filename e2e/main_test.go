// Package e2e holds the acceptance tests: Windrow's programs as separate processes against real servers. See lab for what
// starts them.
package e2e

import (
	"testing"

	"github.com/windrow-io/windrow/e2e/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
