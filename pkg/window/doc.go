// Package window is the shard's state machine: it takes records and decisions in, keeps what waits, and gives windows out.
//
// A Machine is deterministic and pure: no clock, no I/O, no goroutine, no map order. The same snapshot, decisions and
// records give the same windows, byte for byte, however the records are cut into buffer entries.
//
// What waits is in queues: one for the shard, or one for each key (WINDOW_KEY); where a strategy places records by their
// time of receipt or their event time, one for each interval too. A strategy of package emit says when a queue's records become a window.
// In a Step
//
//  1. time moves to now, and closes what is due, unless the strategy looks at the time of receipt or of the event: then only
//     the records tell what still belongs to the past, and this comes last,
//  2. the records join their queues, and close what they fill,
//  3. what still waits is copied, since the records are the caller's.
//
// Order: windows that close at one time come in the order of their due times, and among those of one time in the order
// in which their queues began. State that outgrows STATE_MAX_BYTES is relieved by closing the queue that began first.
//
// For event time the watermark takes the place of time: see Lane and Machine.Lanes.
//
// Snapshot and Restore carry a machine over to another worker, Change to other settings.
package window
