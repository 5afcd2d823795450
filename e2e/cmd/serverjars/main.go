// Command serverjars fetches the jars of the servers that the tests run: the given versions of Apache Kafka, and
// mongo-java-server.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/windrow-io/windrow/e2e/lab/jars"
)

func main() {
	if err := fetch(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "serverjars:", err)
		os.Exit(1)
	}
}

func fetch(ctx context.Context, kafkaVersions []string) error {
	for _, version := range kafkaVersions {
		dir, err := jars.Kafka(ctx, version)
		if err != nil {
			return err
		}
		fmt.Printf("kafka %s: %s\n", version, dir)
	}
	dir, err := jars.Mongo(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("mongo-java-server: %s\n", dir)
	return nil
}
