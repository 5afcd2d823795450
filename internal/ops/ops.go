// Package ops is what an operator sees of a program: its log, whether it lives, what it waits for, its metrics, and how
// it stops.
//
// Two questions are kept apart. /livez asks whether the program's own loops still turn (Heartbeats); a failure means that
// only a restart helps, so nothing outside the program counts: an outage of Kafka must not restart every replica. /readyz
// asks what the program waits for just now (Conditions), each with since when and why: Kafka is away, Redis is full, the
// handler doesn't answer. A program that waits is not ready, stays alive, and goes on by itself.
package ops

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Version is the program's version; the build sets it (-ldflags "-X github.com/windrow-io/windrow/internal/ops.Version=…").
var Version = "dev"

// Build is the version and the commit that the program was built from, as far as they are known.
func Build() string {
	if commit := commit(); commit != "" {
		return Version + " (" + commit + ")"
	}
	return Version
}

func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(len(s.Value), 12)]
		}
	}
	return ""
}

var (
	conditionGauge = promauto.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "windrow", Name: "condition_ok",
		Help: "Whether a condition shown on /readyz is met (1) or waited for, or warned of (0).",
	}, []string{"condition"})

	_ = promauto.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "windrow", Name: "build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": Version, "commit": commit(), "goversion": runtime.Version()},
	}, func() float64 { return 1 })
)

// NewLogger returns the logger of a program: level debug, info, warn or error; format json or console. It writes to
// standard error, because standard output may be a sink.
func NewLogger(level, format string) (*zap.Logger, error) {
	c := zap.NewProductionConfig()
	var err error
	if c.Level, err = zap.ParseAtomicLevel(level); err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	switch format {
	case "json":
	case "console":
		c.EncoderConfig.EncodeLevel = zapcore.CapitalLevelEncoder
	default:
		return nil, fmt.Errorf("log format %q: want json or console", format)
	}
	c.Encoding = format
	c.DisableCaller, c.DisableStacktrace = true, true // errors say where they come from
	c.EncoderConfig.TimeKey = "time"
	c.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	c.EncoderConfig.EncodeDuration = zapcore.StringDurationEncoder
	return c.Build()
}
