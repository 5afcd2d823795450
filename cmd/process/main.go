// Command process is the worker: it turns the records of a stream into windows and delivers them, exactly once. It is
// configured by environment variables; -h lists them.
package main

import "github.com/windrow-io/windrow/pkg/process"

func main() { process.Main() }
