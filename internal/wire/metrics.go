package wire

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	requestSeconds = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "windrow", Subsystem: "kafka", Name: "request_seconds",
		Help:    "Duration of requests to Kafka, by call, the wait for a connection included.",
		Buckets: prometheus.ExponentialBuckets(0.00025, 4, 9),
	}, []string{"call"})
	requestErrors = promauto.NewCounterVec(prometheus.CounterOpts{
		Namespace: "windrow", Subsystem: "kafka", Name: "request_errors_total",
		Help: "Requests to Kafka that got no answer, by call. A broker's refusals are not among them.",
	}, []string{"call"})
)
