// Command kafkajars fetches the jars of the given versions of Apache Kafka into the cache that the tests use.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/windrow-io/windrow/e2e/lab/jars"
)

func main() {
	for _, version := range os.Args[1:] {
		dir, err := jars.Dir(context.Background(), version)
		if err != nil {
			fmt.Fprintln(os.Stderr, "kafkajars:", err)
			os.Exit(1)
		}
		fmt.Printf("kafka %s: %s\n", version, dir)
	}
}
