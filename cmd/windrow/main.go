// Command windrow is Windrow for people: a demo that needs no servers, and ingest and process in one program.
package main

import (
	"fmt"
	"os"
)

const usage = `windrow - mini-batches from Kafka, exactly once

  windrow demo [--for 10s] [--rate 500]   everything in this one process, no servers needed: sensor records
                                          become windows before your eyes; ends by itself after --for
  windrow run                             ingest and process in one process, on your servers; variables as
                                          for the two (windrow run -h lists them)
  windrow run --until-caught-up [--partial=keep|flush]
                                          the same for what the topics hold now: ends with 0 when all of it is
                                          processed, committed and delivered
  windrow dead list|show|replay           dead letters: what could not be processed, and putting it back
                                          (windrow dead -h says more)
  windrow bench                           speed and memory on your servers, next to a bare loop over the same Kafka
                                          (windrow bench -h says more)
  windrow version
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	args := os.Args[2:]
	switch os.Args[1] {
	case "demo":
		os.Exit(demo(args, os.Stdout, os.Stderr))
	case "run":
		os.Exit(run(args, os.Stderr))
	case "dead":
		os.Exit(dead(args, os.Stdout, os.Stderr))
	case "bench":
		os.Exit(benchmark(args, os.Stdout, os.Stderr))
	case "version", "-version", "--version":
		fmt.Println(version())
	case "help", "-h", "--help":
		fmt.Print(usage)
	default:
		fmt.Fprintf(os.Stderr, "windrow: there is no command %q\n\n%s", os.Args[1], usage)
		os.Exit(2)
	}
}
