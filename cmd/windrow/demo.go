package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/windrow-io/windrow/internal/ops"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/ingest"
	"github.com/windrow-io/windrow/pkg/journal"
	"github.com/windrow-io/windrow/pkg/process"
	"github.com/windrow-io/windrow/pkg/sink/kafka"
	"github.com/windrow-io/windrow/pkg/window"
)

const (
	demoTopic      = "sensors"
	demoOutput     = "windows"
	demoPartitions = 4
	demoWindow     = 50
	demoTimeout    = 2 * time.Second
)

// demo runs the whole of Windrow in this process, on a Kafka and a Redis that live in it, too.
func demo(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("windrow demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	length := flags.Duration("for", 0, "end by itself after this time; 0: at Ctrl-C")
	rate := flags.Int("rate", 500, "records per second, 1 to 100000")
	verbose := flags.Bool("v", false, "show the programs' log on standard error")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case *rate < 1 || *rate > 100_000 || *length < 0 || flags.NArg() > 0:
		fmt.Fprintln(stderr, "windrow demo: --rate is 1 to 100000, --for is not negative, and there are no further arguments")
		return 2
	}
	logger := zap.NewNop()
	if *verbose {
		var err error
		if logger, err = ops.NewLogger("info", "console"); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *length)
		defer cancel()
	}
	ok, err := play(ctx, *rate, logger, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "windrow demo:", err)
		return 1
	}
	if !ok {
		return 1
	}
	return 0
}

// play runs the demo until ctx is done and prints its summary. ok: every record came out in exactly one window.
func play(ctx context.Context, rate int, logger *zap.Logger, stdout io.Writer) (ok bool, err error) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(demoPartitions, demoTopic))
	if err != nil {
		return false, fmt.Errorf("the built-in Kafka: %w", err)
	}
	defer cluster.Close()
	redis, err := miniredis.Run()
	if err != nil {
		return false, fmt.Errorf("the built-in Redis: %w", err)
	}
	defer redis.Close()

	brokers := cluster.ListenAddrs()
	fmt.Fprintf(stdout, "A Kafka (%s) and a Redis (%s) are running in this process. Sensor records go into the topic %q,\n", brokers[0], redis.Addr(), demoTopic)
	fmt.Fprintf(stdout, "ingest copies them into the buffer, two workers make windows of %d, or of what there is after %v,\nand write them to the topic %q.\n\n",
		demoWindow, demoTimeout, demoOutput)

	// Everything outlives ctx for a moment, to finish the records under way.
	all, end := context.WithCancel(context.Background())
	defer end()
	g, all := errgroup.WithContext(all)
	g.Go(func() error { return passTime(all, redis) })
	stop := make(chan struct{})
	if err := startParts(all, stop, g, brokers, "redis://"+redis.Addr(), logger); err != nil {
		return false, err
	}
	gen, err := newGenerator(brokers, rate)
	if err != nil {
		return false, err
	}
	defer gen.close()
	view, err := newView(brokers, stdout)
	if err != nil {
		return false, err
	}
	defer view.close()
	g.Go(func() error { return view.run(all) })
	generating, failed := ctx, make(chan struct{})
	go func() { <-all.Done(); close(failed) }()
	g.Go(func() error { return gen.run(generating, all) })
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for running := true; running; {
		select {
		case <-ticker.C:
			view.status(gen.sent())
		case <-ctx.Done():
			running = false
		case <-failed:
			running = false
		}
	}
	// What waits comes within the timeout; be patient beyond it.
	for patience := time.Now().Add(demoTimeout + 10*time.Second); all.Err() == nil && view.records() < gen.sent() && time.Now().Before(patience); {
		time.Sleep(20 * time.Millisecond)
	}
	ok = view.summary(gen.sent())
	close(stop)
	end()
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return false, err
	}
	return ok, nil
}

// passTime moves the clock of miniredis' expiries, which stands still by itself.
func passTime(ctx context.Context, redis *miniredis.Miniredis) error {
	const step = 100 * time.Millisecond
	t := time.NewTicker(step)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			redis.FastForward(step)
		case <-ctx.Done():
			return nil
		}
	}
}

// startParts starts ingest and two workers, as their programs would.
func startParts(ctx context.Context, stop <-chan struct{}, g *errgroup.Group, brokers []string, redisURL string, logger *zap.Logger) error {
	const stream, pipeline = "demo", "demo"
	b, err := buffer.Open(buffer.Options{URL: redisURL, Stream: stream, Logger: logger})
	if err != nil {
		return err
	}
	in, err := ingest.New(ingest.Options{
		Buffer: b, Cluster: wire.New(wire.Config{Brokers: brokers, ClientID: "demo-ingest"}),
		Topics: demoTopic, Group: stream, ReadCommitted: true, Conditions: ops.NewConditions(logger), Logger: logger.Named("ingest"),
	})
	if err != nil {
		return err
	}
	work, done := context.WithCancel(ctx)
	go func() { <-stop; done() }()
	g.Go(func() error { return in.Run(work) })
	for i := range 2 {
		name := fmt.Sprintf("worker-%d", i+1)
		own, err := buffer.Open(buffer.Options{URL: redisURL, Stream: stream, Logger: logger})
		if err != nil {
			return err
		}
		c := wire.New(wire.Config{Brokers: brokers, ClientID: "demo-" + name})
		w, err := process.New(process.Options{
			Buffer: own, Source: c, Output: c,
			Journal:         journal.Options{Topic: "windrow.demo.demo.journal", Stream: stream, Pipeline: pipeline, Partitions: demoPartitions, Logger: logger},
			Sink:            kafka.New(c, kafka.Options{Topic: demoOutput, Logger: logger}),
			Settings:        window.Settings{Stream: stream, Pipeline: pipeline, Emitter: "count", Size: demoWindow, Timeout: demoTimeout},
			HandlerAttempts: 1, HandlerConcurrency: 1, Name: name, LeaseTTL: 3 * time.Second,
			Conditions: ops.NewConditions(logger), Logger: logger.Named(name),
		})
		if err != nil {
			return err
		}
		g.Go(func() error { return w.Run(ctx, stop) })
	}
	return nil
}
