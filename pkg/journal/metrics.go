package journal

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	transactions = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: "windrow", Subsystem: "journal", Name: "transactions_total",
		Help: "Transactions, by outcome: done, fenced, unknown, too-large, clock, failed.",
	}, []string{"outcome"})
	transactionSeconds = promauto.NewHistogram(prometheus.HistogramOpts{
		Namespace: "windrow", Subsystem: "journal", Name: "transaction_seconds",
		Help:    "Duration of transactions that were committed.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
	})
	repeated = promauto.NewCounter(prometheus.CounterOpts{
		Namespace: "windrow", Subsystem: "journal", Name: "transaction_repeats_total",
		Help: "Requests repeated because Kafka was still completing the transaction before.",
	})
	takeovers = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: "windrow", Subsystem: "journal", Name: "takeovers_total",
		Help: "Takeovers of shards, by outcome: done, fenced, lost, failed.",
	}, []string{"outcome"})
	takeoverSeconds = promauto.NewHistogram(prometheus.HistogramOpts{
		Namespace: "windrow", Subsystem: "journal", Name: "takeover_seconds",
		Help:    "Duration of takeovers: from the new epoch to the history read back.",
		Buckets: prometheus.ExponentialBuckets(0.002, 2, 15),
	})
	journalBytes = promauto.NewCounter(prometheus.CounterOpts{
		Namespace: "windrow", Subsystem: "journal", Name: "bytes_total",
		Help: "Bytes written to journals.",
	})
	checkpointBytes = promauto.NewCounter(prometheus.CounterOpts{
		Namespace: "windrow", Subsystem: "journal", Name: "checkpoint_bytes_total",
		Help: "Bytes of checkpoints written to journals, compressed.",
	})
)

// outcome is the label of an error.
func outcome(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, ErrFenced):
		return "fenced"
	case errors.Is(err, ErrUnknown):
		return "unknown"
	case errors.Is(err, ErrTooLarge):
		return "too-large"
	case errors.Is(err, ErrClock):
		return "clock"
	case errors.Is(err, ErrLost):
		return "lost"
	}
	return "failed"
}
