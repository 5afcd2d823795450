package ingest

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return promauto.NewCounterVec(prometheus.CounterOpts{Namespace: "windrow", Name: name, Help: help}, labels)
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return promauto.NewGaugeVec(prometheus.GaugeOpts{Namespace: "windrow", Name: name, Help: help}, labels)
}

var (
	appendSeconds = promauto.NewHistogram(prometheus.HistogramOpts{
		Namespace: "windrow", Subsystem: "ingest", Name: "append_seconds",
		Help:    "How long an append to a lane took.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 12),
	})
	appendedRecords = counters("ingest_records_total", "Records appended to the stream's lanes, by the batches' headers.", "topic")
	keylessRecords  = counters("ingest_keyless_records_total", "Records that lack SHARD_KEY, or are no JSON where it needs that: they all go to one shard.", "topic")
	appendedEntries = counters("ingest_entries_total", "Entries appended to the stream's lanes.", "topic")
	restarts        = counters("ingest_lane_restarts_total", "Times a lane's tail was read again because something was in doubt.", "topic", "reason")
	lostRecords     = counters("source_lost_records_total", "Offsets that the source no longer had when they were to be read: retention was too short, or its end was cut off. Alarm on any.", "topic")
	sourceLag       = gauges("source_lag_records", "Offsets between the lane's tail and the source's high watermark.", "topic", "partition")
	pausedLanes     = promauto.NewGauge(prometheus.GaugeOpts{Namespace: "windrow", Subsystem: "ingest", Name: "paused_partitions", Help: "Partitions not fetched because their lane, or Redis, is full."})
	laneEpochs      = counters("ingest_lane_epochs_total", "Times a lane began a new epoch: its topic was made again, or lost its end.", "topic")
	commits         = promauto.NewCounter(prometheus.CounterOpts{Namespace: "windrow", Subsystem: "ingest", Name: "commits_total", Help: "Commits of the pipelines' least positions as the group's offsets."})
)
