package main

import (
	"context"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/windrow-io/windrow/internal/config"
	"github.com/windrow-io/windrow/internal/ops"
	"github.com/windrow-io/windrow/internal/program"
	"github.com/windrow-io/windrow/pkg/ingest"
	"github.com/windrow-io/windrow/pkg/process"
)

func version() string { return ops.Build() }

// run is ingest and process side by side. Either's failure ends both.
func run(args []string, stderr io.Writer) int {
	return program.Run(config.ProgramBoth, args, stderr, func(hard, work context.Context, e program.Env) error {
		g, work := errgroup.WithContext(work)
		g.Go(func() error { return ingest.RunProgram(hard, work, e) })
		g.Go(func() error { return process.RunProgram(hard, work, e, nil) })
		return g.Wait()
	})
}
