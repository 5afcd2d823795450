package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

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
	begin := time.Now()
	caughtUp := false
	partial := "keep"
	var did process.Summary
	code := program.RunWith(func(flags *flag.FlagSet) {
		flags.BoolVar(&caughtUp, "until-caught-up", false, "process what the topics hold now, and end: 0 when all of it is committed and delivered")
		flags.Func("partial", "with --until-caught-up, what becomes of windows that are not complete: keep (for the next run) or flush", func(s string) error {
			if partial = s; s != "keep" && s != "flush" {
				return errors.New("it must be keep or flush")
			}
			return nil
		})
	}, config.ProgramBoth, args, stderr, func(hard, work context.Context, e program.Env) (err error) {
		g, work := errgroup.WithContext(work)
		if !caughtUp {
			g.Go(func() error { return ingest.RunProgram(hard, work, e) })
			g.Go(func() error { return process.RunProgram(hard, work, e, nil) })
			return g.Wait()
		}
		filling, done := context.WithCancel(work)
		g.Go(func() error { return ingest.RunProgram(hard, filling, e) })
		g.Go(func() (err error) {
			defer done()
			did, err = process.RunUntilCaughtUp(hard, work, e, nil, partial == "flush")
			return err
		})
		return g.Wait()
	})
	if caughtUp && code == program.OK && did.Done {
		fmt.Fprintf(stderr, "caught up in %v: %d records in, %d windows out, %d dead letters; %d records wait for the next run\n",
			time.Since(begin).Round(time.Millisecond), did.Records, did.Windows, did.Dead, did.Waiting)
	}
	return code
}
