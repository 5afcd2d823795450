package kafka

// What the tests from outside look at.
const (
	BatchBytes      = batchBytes
	DefaultMaxBytes = defaultMaxBytes
)

// Limits are those of a topic.
type Limits struct {
	Partitions int32
	MaxBytes   int
}

// Learned are the limits last learned of the output topic.
func (s *Sink) Learned() Limits {
	l := s.out.limits()
	return Limits{l.partitions, l.maxBytes}
}

// KnowsDead reports whether the topic of dead letters has been seen.
func (s *Sink) KnowsDead() bool { return s.dead.now.Load() != nil }

// Usable is what a batch may have of a topic's max.message.bytes.
func Usable(maxBytes int) int { return usable(maxBytes) }

// PartitionOf is the partition of a key.
func PartitionOf(key []byte, n int32) int32 { return partitionOf(key, n) }

// BoundTopics makes the sink content with fewer topics by template.
func (s *Sink) BoundTopics(n int) { s.maxTopics = n }
