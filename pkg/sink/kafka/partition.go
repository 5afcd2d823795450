package kafka

import (
	"strconv"
	"strings"
)

// murmur2 is the hash by which Kafka's Java client spreads keys: records of one key go where that client would put them.
func murmur2(key []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := uint32(seed) ^ uint32(len(key))
	for ; len(key) >= 4; key = key[4:] {
		k := uint32(key[0]) | uint32(key[1])<<8 | uint32(key[2])<<16 | uint32(key[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h *= m
		h ^= k
	}
	switch len(key) {
	case 3:
		h ^= uint32(key[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(key[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(key[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}

// partitionOf is the partition of a key among n.
func partitionOf(key []byte, n int32) int32 { return int32(murmur2(key)&0x7fffffff) % n }

// home chooses a shard's partition, for what has no key: the number in the shard's name. So the windows of a shard stay in
// order for whoever reads the topic, those of source partition p are in partition p where the output has as many, and a
// transaction touches one partition.
func home(shard string) uint32 {
	if n, err := strconv.ParseUint(shard[strings.LastIndexByte(shard, '/')+1:], 10, 32); err == nil {
		return uint32(n)
	}
	return murmur2([]byte(shard))
}
