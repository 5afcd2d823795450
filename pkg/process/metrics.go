package process

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

var (
	records            = promauto.NewCounter(opts("records_total", "Records given to the emitter."))
	windows            = promauto.NewCounterVec(opts("windows_total", "Windows emitted, by the reason they closed; replayed: put back from the dead letters."), []string{"reason"})
	rejects            = promauto.NewCounterVec(opts("rejects_total", "Records that could not be processed and went to the dead letters, by reason."), []string{"reason"})
	refilledRecords    = promauto.NewCounter(opts("refilled_records_total", "Source offsets read from the source because the buffer lacked them."))
	rescans            = promauto.NewCounter(opts("rescans_total", "Times a lane was read again from its start because something was missed."))
	lostRecords        = promauto.NewCounterVec(opts("lost_records_total", "Source offsets that neither the buffer nor the source has any more: data loss."), []string{"lane"})
	takeovers          = promauto.NewCounter(opts("shard_takeovers_total", "Shards taken over."))
	ownerErrors        = promauto.NewCounterVec(opts("shard_errors_total", "Times the work on a shard ended with an error and was taken up again, by kind."), []string{"kind"})
	handlerErrors      = promauto.NewCounter(opts("handler_errors_total", "Calls of the handler that failed."))
	handlerUnreachable = promauto.NewCounter(opts("handler_unreachable_total", "Calls that did not reach the handler: not counted as attempts."))
	deliveryErrors     = promauto.NewCounter(opts("delivery_errors_total", "Failed attempts to write to a sink outside the transaction."))

	shardsHeld      = promauto.NewGauge(gauge("shards", "Shards this worker works on."))
	handlerWaiting  = promauto.NewGauge(gauge("handler_waiting", "Windows waiting for a call of the handler."))
	handlerRetrying = promauto.NewGauge(gauge("handler_retrying", "Calls of the handler that failed, or did not reach it, and wait to be made again."))
	stateBytes      = promauto.NewGaugeVec(gauge("state_bytes", "Memory of the records that wait for a window."), []string{"shard"})
	stateRecords    = promauto.NewGaugeVec(gauge("state_records", "Records that wait for a window."), []string{"shard"})
	stateKeys       = promauto.NewGaugeVec(gauge("state_keys", "Keys that hold state."), []string{"shard"})
	lag             = promauto.NewGaugeVec(gauge("lag_records", "Source offsets between what is processed and the source's high watermark, as ingest last saw it."), []string{"shard"})
	uncommitted     = promauto.NewGaugeVec(gauge("uncommitted_bytes", "Output gathered for the next transactions."), []string{"shard"})

	handlerSeconds    = promauto.NewHistogram(seconds("handler_seconds", "Duration of calls of the handler."))
	checkpointSeconds = promauto.NewHistogram(seconds("checkpoint_seconds", "Duration of checkpoints."))
	takeoverSeconds   = promauto.NewHistogram(seconds("takeover_seconds", "Duration of takeovers: from the lease to the first read."))
)

// Of event time, and of records that the settings drop.
var (
	late         = promauto.NewCounter(opts("late_records_total", "Records that came after the windows of their event time had closed, whatever became of them."))
	future       = promauto.NewCounter(opts("future_records_total", "Records whose event time was too far ahead to move the watermark."))
	dropped      = promauto.NewCounterVec(opts("dropped_records_total", "Records that the settings drop: late ones, those that lack a field, those that FILTER or the emitter does not want, those that came before (DEDUPE)."), []string{"reason"})
	forgotten    = promauto.NewCounter(opts("dedupe_forgotten_total", "Values that DEDUPE forgot before their time, since there were more than DEDUPE_MAX."))
	nulled       = promauto.NewCounter(opts("nulled_records_total", "Records taken without a field that they lack."))
	watermarkLag = promauto.NewGaugeVec(gauge("watermark_lag_seconds", "How far the watermark of event time is behind the clock."), []string{"shard"})
)

func opts(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Namespace: "windrow", Subsystem: "process", Name: name, Help: help}
}

func gauge(name, help string) prometheus.GaugeOpts { return prometheus.GaugeOpts(opts(name, help)) }

func seconds(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Namespace: "windrow", Subsystem: "process", Name: name, Help: help,
		Buckets: prometheus.ExponentialBuckets(.0005, 2, 16)}
}
