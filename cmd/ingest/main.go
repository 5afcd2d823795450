// Command ingest copies Kafka topics into a stream's buffer. It is configured by environment variables; -h lists them.
package main

import "github.com/windrow-io/windrow/pkg/ingest"

func main() { ingest.Main() }
