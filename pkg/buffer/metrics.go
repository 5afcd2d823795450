package buffer

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

func counter(name, help string) prometheus.Counter {
	return promauto.NewCounter(prometheus.CounterOpts{Namespace: "windrow", Subsystem: "buffer", Name: name, Help: help})
}

var (
	appendedBytes   = counter("appended_bytes_total", "Bytes of record batches appended to lanes.")
	appendedEntries = counter("appended_entries_total", "Entries appended to lanes, those of the direct lane included.")
	appendConflicts = counter("append_conflicts_total", "Appends refused because the lane's tail had moved.")
	appendFull      = counter("append_full_total", "Appends refused because Redis is out of memory.")
	appendUnknown   = counter("append_unknown_total", "Appends of which it is not known whether they took place; the tail is read again.")
	heldBytes       = promauto.NewGaugeVec(prometheus.GaugeOpts{Namespace: "windrow", Subsystem: "buffer", Name: "held_bytes",
		Help: "Bytes of a lane that are not trimmed: what counts against BUFFER_MAX_BYTES. Of the direct lane, its memory in Redis: what counts against DIRECT_MAX_BYTES."}, []string{"shard", "lane"})

	directRefused = counter("direct_refused_total", "Records that Append refused because the direct lane takes DIRECT_MAX_BYTES.")
	directRecords = promauto.NewGauge(prometheus.GaugeOpts{Namespace: "windrow", Subsystem: "buffer", Name: "direct_records",
		Help: "Records of the direct lane that are not trimmed: a pipeline has not processed them."})
	directLag = promauto.NewGaugeVec(prometheus.GaugeOpts{Namespace: "windrow", Subsystem: "buffer", Name: "direct_lag_seconds",
		Help: "How long the oldest record of the direct lane that no checkpoint of the pipeline covers has been there; 0: there is none."}, []string{"pipeline"})

	readBytes     = counter("read_bytes_total", "Bytes read from lanes, as Redis sent them.")
	readEntries   = counter("read_entries_total", "Entries read from lanes.")
	readErrors    = counter("read_errors_total", "Reads of lanes that failed; the lanes are read again from their start.")
	rescans       = counter("rescans_total", "Scans of a lane from its start: at a takeover, after a failed read, after a gap.")
	groupsMade    = counter("groups_made_total", "Consumer groups made: new ones, and those that Redis had lost.")
	entriesBroken = counter("broken_entries_total", "Entries in lanes that Windrow did not write, or that lack a field.")

	trims          = counter("trims_total", "Trims of lanes up to the least published position.")
	trimmedEntries = counter("trimmed_entries_total", "Entries removed from lanes by trimming.")
	acked          = counter("acked_entries_total", "Entries acknowledged below published positions.")

	leasesTaken    = counter("leases_taken_total", "Leases of shards taken.")
	leasesLost     = counter("leases_lost_total", "Leases of shards that could not be renewed: expired, or another's.")
	leasesReleased = counter("leases_released_total", "Leases of shards given back.")
	fullScripts    = counter("full_scripts_total", "Writes that passed only by leave to exceed Redis's maxmemory.")
)
