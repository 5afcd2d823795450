// Package program is what Windrow's programs have in common: flags, configuration, log, health, and how they stop.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/windrow-io/windrow/internal/config"
	"github.com/windrow-io/windrow/internal/ops"
)

// Exit codes.
const (
	OK     = 0
	Failed = 1 // the program met something that waiting will not mend
	Usage  = 2 // the configuration or the flags are wrong
)

// Env is what a program's parts are given.
type Env struct {
	Config     *config.Config
	Logger     *zap.Logger
	Conditions *ops.Conditions
	Heartbeats *ops.Heartbeats
}

// Run reads flags (without the program's name) and configuration and runs parts until a signal. hard ends at the second
// signal or when SHUTDOWN_TIMEOUT is over; work ends at the first one: take no new work. It returns the exit code.
func Run(p config.Program, args []string, stderr io.Writer, parts func(hard, work context.Context, e Env) error) int {
	return RunWith(nil, p, args, stderr, parts)
}

// RunWith is Run for a program with flags of its own, which define adds; nil: none.
func RunWith(define func(*flag.FlagSet), p config.Program, args []string, stderr io.Writer, parts func(hard, work context.Context, e Env) error) int {
	flags := flag.NewFlagSet(p.String(), flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { config.Usage(stderr, p) }
	if define != nil {
		define(flags)
		flags.Usage = func() {
			flags.PrintDefaults()
			fmt.Fprintln(stderr)
			config.Usage(stderr, p)
		}
	}
	version := flags.Bool("version", false, "print the version and end")
	health := flags.Bool("healthcheck", false, "ask the running program's /readyz and end: 0 if it is ready")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return OK
	case err != nil:
		return Usage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "%s takes no arguments, only variables: see %s -h\n", p, p)
		return Usage
	case *version:
		fmt.Println(ops.Build())
		return OK
	case *health:
		return healthcheck(stderr)
	}
	c, err := config.Load(p)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return Usage
	}
	logger, err := ops.NewLogger(c.LogLevel, c.LogFormat)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return Usage
	}
	defer logger.Sync()
	logger = logger.With(zap.String("stream", c.Stream))
	for _, w := range c.Warnings {
		logger.Warn(w)
	}
	if err := run(p, c, logger, parts); err != nil {
		logger.Error("ending", zap.Error(err))
		return Failed
	}
	return OK
}

func run(p config.Program, c *config.Config, logger *zap.Logger, parts func(hard, work context.Context, e Env) error) error {
	e := Env{Config: c, Logger: logger, Conditions: ops.NewConditions(logger), Heartbeats: &ops.Heartbeats{}}
	server, err := ops.NewServer(ops.ServerOptions{
		Addr: c.HTTPAddr, Program: p.String(), Conditions: e.Conditions, Heartbeats: e.Heartbeats, PProf: c.PProf,
	})
	if err != nil {
		return err
	}
	logger.Info("starting", zap.String("program", p.String()), zap.String("version", ops.Build()), zap.String("http", server.Addr()))
	work, hard, release := ops.Stop(context.Background(), c.Shutdown, logger)
	defer release()
	serving, done := context.WithCancel(context.Background())
	var g errgroup.Group
	g.Go(func() error { return server.Run(serving) })
	err = parts(hard, work, e)
	done()
	if errors.Is(err, context.Canceled) && work.Err() != nil {
		err = context.Cause(hard)
	}
	if serr := g.Wait(); err == nil {
		err = serr
	}
	if err == nil {
		logger.Info("stopped")
	}
	return err
}

func healthcheck(stderr io.Writer) int {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if err := ops.Healthcheck(ctx, config.HTTPAddr()); err != nil {
		fmt.Fprintln(stderr, err)
		return Failed
	}
	return OK
}
