// Package meter holds the metrics of the sinks. Windows that a takeover writes again are counted again.
package meter

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	windows = promauto.NewCounterVec(prometheus.CounterOpts{Namespace: "windrow", Subsystem: "sink", Name: "windows_total",
		Help: "Windows handed to the sink."}, []string{"sink"})
	records = promauto.NewCounterVec(prometheus.CounterOpts{Namespace: "windrow", Subsystem: "sink", Name: "records_total",
		Help: "Records of the windows handed to the sink."}, []string{"sink"})
	bytes = promauto.NewCounterVec(prometheus.CounterOpts{Namespace: "windrow", Subsystem: "sink", Name: "bytes_total",
		Help: "Bytes of output made of windows and dead letters."}, []string{"sink"})
	split = promauto.NewCounterVec(prometheus.CounterOpts{Namespace: "windrow", Subsystem: "sink", Name: "split_parts_total",
		Help: "Parts of windows that were over the sink's limit."}, []string{"sink"})
	dead = promauto.NewCounterVec(prometheus.CounterOpts{Namespace: "windrow", Subsystem: "sink", Name: "dead_letters_total",
		Help: "Dead letters, by reason."}, []string{"sink", "reason"})
	deliveries = promauto.NewCounterVec(prometheus.CounterOpts{Namespace: "windrow", Subsystem: "sink", Name: "deliveries_total",
		Help: "Deliveries outside the transaction, by outcome: ok, retry (a passing error), refused (a permanent one)."}, []string{"sink", "outcome"})
	seconds = promauto.NewHistogramVec(prometheus.HistogramOpts{Namespace: "windrow", Subsystem: "sink", Name: "delivery_seconds",
		Help:    "How long deliveries outside the transaction took.",
		Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}, []string{"sink"})
	topics = promauto.NewGaugeVec(prometheus.GaugeOpts{Namespace: "windrow", Subsystem: "sink", Name: "topics",
		Help: "Topics besides KAFKA_OUTPUT_TOPIC that OUTPUT_TOPIC has made names of, since the start; at most 1,000."}, []string{"sink"})
	failures = promauto.NewCounterVec(prometheus.CounterOpts{Namespace: "windrow", Subsystem: "sink", Name: "metadata_errors_total",
		Help: "Questions about the sink's topics that were not answered; the last answer holds."}, []string{"sink"})
)

// Meter is one kind of sink's part of the metrics.
type Meter struct {
	Windows, Records, Bytes, Split, Failures prometheus.Counter
	OK, Retry, Refused                       prometheus.Counter // outcomes of deliveries
	Seconds                                  prometheus.Observer
	Topics                                   prometheus.Gauge // those that a template made
	kind                                     string
}

// New returns the metrics of a kind of sink.
func New(kind string) *Meter {
	return &Meter{
		Windows: windows.WithLabelValues(kind), Records: records.WithLabelValues(kind), Bytes: bytes.WithLabelValues(kind),
		Split: split.WithLabelValues(kind), Failures: failures.WithLabelValues(kind),
		OK: deliveries.WithLabelValues(kind, "ok"), Retry: deliveries.WithLabelValues(kind, "retry"),
		Refused: deliveries.WithLabelValues(kind, "refused"),
		Seconds: seconds.WithLabelValues(kind), Topics: topics.WithLabelValues(kind), kind: kind,
	}
}

// Dead counts a dead letter.
func (m *Meter) Dead(reason string) { dead.WithLabelValues(m.kind, reason).Inc() }
