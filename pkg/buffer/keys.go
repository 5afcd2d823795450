package buffer

import "regexp"

// prefix begins every key.
const prefix = "windrow:"

// names is what a stream or a pipeline may be called: nothing that has a meaning in a key.
var names = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (b *Buffer) settingsKey() string { return prefix + b.stream }
func (b *Buffer) shardsKey() string   { return prefix + b.stream + ":shards" }

func (b *Buffer) workersKey(pipeline string) string {
	return prefix + b.stream + ":" + pipeline + ":workers"
}

// shardPrefix holds the hash tag that keeps a shard's keys on one node of a Cluster.
func (b *Buffer) shardPrefix(shard string) string {
	return prefix + "{" + b.stream + "/" + shard + "}:"
}

func (b *Buffer) laneKey(shard, lane string) string { return b.shardPrefix(shard) + "lane:" + lane }
func (b *Buffer) tailKey(shard, lane string) string { return b.laneKey(shard, lane) + ":tail" }
func (b *Buffer) trimKey(shard string) string       { return b.shardPrefix(shard) + "trim" }

func (b *Buffer) leaseKey(pipeline, shard string) string {
	return b.shardPrefix(shard) + pipeline + ":lease"
}

// Fields of an entry of a lane.
const (
	fieldBatches = "b" // raw record batches
	fieldFrom    = "f" // the offset after the lane's previous entry
	fieldNext    = "n" // the offset after this entry
	fieldBefore  = "a" // bytes appended to the lane ever, before this entry
)

// Fields of an entry of the direct lane.
const (
	fieldData = "data"
	fieldKey  = "key"
	fieldTS   = "ts"
)

// Fields of a lane's tail.
const (
	tailNext  = "next"  // the next source offset
	tailLast  = "last"  // the offset after the lane's last entry; nothing of the lane lies between it and next
	tailBytes = "bytes" // appended ever
	tailHigh  = "high"  // the source's high watermark
	tailTopic = "topic" // the source topic's id
)
