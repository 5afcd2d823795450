package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/windrow-io/windrow/internal/config"
	"github.com/windrow-io/windrow/internal/program"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/expression"
	"github.com/windrow-io/windrow/pkg/handler"
	"github.com/windrow-io/windrow/pkg/journal"
	"github.com/windrow-io/windrow/pkg/sink"
	"github.com/windrow-io/windrow/pkg/sink/kafka"
	"github.com/windrow-io/windrow/pkg/sink/mongo"
	"github.com/windrow-io/windrow/pkg/sink/stdout"
	"github.com/windrow-io/windrow/pkg/sink/tee"
)

// Option adds something of the user's own to a worker.
type Option func(*additions)

type additions struct{ handler Handler }

// WithHandler has every window processed by h before it is written.
func WithHandler(h Handler) Option { return func(a *additions) { a.handler = h } }

// WithEmitter makes an emitter known as EMITTER=name. See emit.Register.
func WithEmitter(name string, make func() emit.Emitter) Option {
	return func(*additions) { emit.Register(name, make) }
}

// Main is a whole worker program, configured by the environment like process itself, with the user's own emitters and
// handler. It does not return: it ends the process with 0 after SIGTERM or SIGINT, 2 if the configuration is wrong.
func Main(options ...Option) {
	var a additions
	for _, o := range options {
		o(&a)
	}
	os.Exit(program.Run(config.ProgramProcess, os.Args[1:], os.Stderr, func(hard, work context.Context, e program.Env) error {
		return RunProgram(hard, work, e, a.handler)
	}))
}

// RunProgram builds a worker from a program's configuration and runs it. For Windrow's own programs; users call Main.
func RunProgram(hard, work context.Context, e program.Env, h Handler) error {
	_, err := run(hard, work, e, h, nil)
	return err
}

// RunUntilCaughtUp is RunProgram for what is in the topics now; flush: no window is kept for the next run.
func RunUntilCaughtUp(hard, work context.Context, e program.Env, h Handler, flush bool) (Summary, error) {
	return run(hard, work, e, h, func(source *wire.Cluster) (*Goal, error) {
		g, err := waitForGoal(work, e, source)
		if err == nil {
			g.Flush = flush
		}
		return g, err
	})
}

// waitForGoal is FindGoal as soon as Kafka answers.
func waitForGoal(ctx context.Context, e program.Env, cluster *wire.Cluster) (*Goal, error) {
	topics, err := e.Config.Topics.Parse()
	if err != nil {
		return nil, err
	}
	for again := newBackoff(); ; {
		g, err := FindGoal(ctx, cluster, topics, e.Config.Isolation == "read_committed")
		e.Conditions.Set("goal", err)
		if err == nil || errors.Is(err, ErrNoTopic) {
			return g, err
		}
		if !again.Wait(ctx) {
			return nil, ErrStopped
		}
	}
}

func run(hard, work context.Context, e program.Env, h Handler, findGoal func(source *wire.Cluster) (*Goal, error)) (did Summary, err error) {
	c := e.Config
	buffer.ClientLog(e.Logger)
	b, err := buffer.Open(c.Buffer(e.Logger))
	if err != nil {
		return did, err
	}
	defer b.Close()
	in, err := c.Kafka()
	if err != nil {
		return did, err
	}
	out, err := c.OutputKafka()
	if err != nil {
		return did, err
	}
	source, output := wire.New(in), wire.New(out)
	defer source.Close()
	defer output.Close()
	s, err := newSink(c, output, e)
	if err != nil {
		return did, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(hard), 5*time.Second)
		defer cancel()
		s.Close(ctx)
	}()
	beat := e.Heartbeats.Start("worker", time.Minute)
	defer beat.Stop()
	if h, err = handlerOf(c, h); err != nil {
		return did, err
	}
	service, err := newService(c)
	if err != nil {
		return did, err
	}
	if service != nil {
		defer service.Close()
	}
	var goal *Goal
	if findGoal != nil {
		if goal, err = findGoal(source); err != nil {
			return did, err
		}
	}
	w, err := New(Options{
		Buffer: b, Source: source, Output: output, Sink: s, Settings: c.Window(),
		Journal: journal.Options{
			Topic: c.JournalTopic, Stream: c.Stream, Pipeline: c.Pipeline,
			AtLeastOnce: c.Delivery == "at-least-once", Logger: e.Logger,
		},
		Handler: h, Service: service, HandlerBatch: c.HandlerBatch, HandlerAttempts: c.HandlerAttempts, HandlerConcurrency: c.HandlerConcurrency, Goal: goal,
		Name: c.Worker, LeaseTTL: c.LeaseTTL, Conditions: e.Conditions, Alive: beat.Beat, Logger: e.Logger,
	})
	if err != nil {
		return did, err
	}
	err = w.Run(hard, work.Done())
	if goal != nil {
		did = w.Summary()
		did.Done = err == nil
	}
	return did, err
}

// handlerOf is the program's own handler, or that of OUTPUT_VALUE; nil if there is neither.
func handlerOf(c *config.Config, own Handler) (Handler, error) {
	if c.OutputValue == "" {
		return own, nil
	}
	if own != nil {
		return nil, errors.New("OUTPUT_VALUE makes what is written of windows, and so does this program's own handler: unset OUTPUT_VALUE")
	}
	x, err := expression.NewResult(c.OutputValue)
	if err != nil {
		return nil, fmt.Errorf("OUTPUT_VALUE: %w", err)
	}
	return valueOf(x), nil
}

// newService is the client of HANDLER_URL; nil if it is not set.
func newService(c *config.Config) (*handler.Client, error) {
	if c.HandlerURL == "" {
		return nil, nil
	}
	return handler.New(handler.Options{
		URL: string(c.HandlerURL), Timeout: c.HandlerTimeout, MaxResponse: int64(c.HandlerMaxResponse), Batch: c.HandlerBatch > 1,
	})
}

func newSink(c *config.Config, output *wire.Cluster, e program.Env) (sink.Sink, error) {
	form := sink.Output(c.Output)
	t, _ := c.Templates() // whose problems Load reports
	var sinks []sink.Sink
	dead := 0
	for i, kind := range c.Sink {
		if kind == c.DeadLetter.Kind {
			dead = i
		}
		switch kind {
		case "kafka":
			sinks = append(sinks, kafka.New(output, kafka.Options{Topic: c.OutputTopic, DeadTopic: c.DeadOf(kind), Output: form,
				Key: t.Key, Headers: t.Headers, Name: t.Topic, Reserved: []string{c.JournalTopic}, Logger: e.Logger}))
		case "mongo":
			s, err := mongo.New(mongo.Options{URL: string(c.MongoURL), Database: c.MongoDatabase, Collection: c.MongoCollection,
				DeadCollection: c.DeadOf(kind), Output: form, Name: t.Collection, Mode: mongo.Mode(c.MongoMode), Key: t.Key, Logger: e.Logger})
			if err != nil {
				return nil, err
			}
			sinks = append(sinks, s)
		default:
			sinks = append(sinks, stdout.New(os.Stdout, form))
		}
	}
	if len(sinks) == 1 {
		return sinks[0], nil
	}
	return tee.New(dead, sinks...), nil
}
