package source

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

func counter(name, help string) prometheus.Counter {
	return promauto.NewCounter(prometheus.CounterOpts{Namespace: "windrow", Subsystem: "source", Name: name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return promauto.NewCounterVec(prometheus.CounterOpts{Namespace: "windrow", Subsystem: "source", Name: name, Help: help}, labels)
}

var (
	fetches      = counter("fetches_total", "Fetches answered by brokers.")
	fetchFails   = counter("fetch_errors_total", "Fetches that failed as a whole: a broker away, a connection lost.")
	fetchedBytes = counters("bytes_total", "Bytes of record batches fetched and kept, as they are (compressed).", "topic")
	fetchedCount = counters("batches_total", "Record batches fetched and kept.", "topic")
	fetched      = counters("records_total", "Records fetched and kept, by the batches' headers.", "topic")
	partErrors   = counters("partition_errors_total", "Partitions that a broker refused in a fetch.", "topic", "error")
	refetches    = counters("refetches_total", "Batches read again because their CRC failed.", "topic")
	refillReads  = counter("refill_reads_total", "Reads of records that the buffer had lost.")
	refillRead   = counter("refill_bytes_total", "Bytes of record batches read again because the buffer had lost them.")
	assignments  = counter("rebalances_total", "Assignments of partitions received from the group.")
	assigned     = promauto.NewGauge(prometheus.GaugeOpts{Namespace: "windrow", Subsystem: "source", Name: "partitions_assigned", Help: "Partitions assigned to this program."})
)
