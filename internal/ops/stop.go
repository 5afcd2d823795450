package ops

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// Errors that are the causes (context.Cause) of the contexts of Stop.
var (
	// ErrStop: the program was asked to stop: take no new work, finish what is in hand.
	ErrStop = errors.New("asked to stop")
	// ErrAbort: the program is to end now, with work in hand.
	ErrAbort = errors.New("told to end at once")
)

// Stop turns signals into two contexts. work is done at the first SIGTERM or SIGINT: take no new work. hard is done at
// the second one, or when the work in hand takes longer than timeout: drop everything. hard outlives work, both end with
// parent. release gives the signals back and ends both; call it when everything has stopped.
func Stop(parent context.Context, timeout time.Duration, logger *zap.Logger) (work, hard context.Context, release func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	work, hard, end := stop(parent, signals, timeout, logger)
	return work, hard, func() {
		signal.Stop(signals)
		end()
	}
}

func stop(parent context.Context, signals <-chan os.Signal, timeout time.Duration, logger *zap.Logger) (work, hard context.Context, end func()) {
	hard, abort := context.WithCancelCause(parent)
	work, halt := context.WithCancelCause(hard)
	go func() {
		select {
		case s := <-signals:
			logger.Info("stopping: a second signal ends at once", zap.Stringer("signal", s), zap.Duration("timeout", timeout))
			halt(fmt.Errorf("%w (%v)", ErrStop, s))
		case <-hard.Done():
			return
		}
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		select {
		case s := <-signals:
			logger.Warn("ending at once", zap.Stringer("signal", s))
			abort(fmt.Errorf("%w (%v)", ErrAbort, s))
		case <-timer.C:
			logger.Warn("ending at once: the work in hand took longer than SHUTDOWN_TIMEOUT", zap.Duration("timeout", timeout))
			abort(fmt.Errorf("%w: SHUTDOWN_TIMEOUT=%v is over", ErrAbort, timeout))
		case <-hard.Done():
		}
	}()
	return work, hard, func() { abort(context.Canceled) }
}
