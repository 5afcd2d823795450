package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/segmentio/kafka-go"
)

// errProtocol: an answer that can't be understood. The connection it came on is closed.
var errProtocol = errors.New("the broker's answer can't be understood")

// errTooOld: the broker lacks a call that Windrow needs.
var errTooOld = errors.New("the broker is too old: Windrow needs Kafka 0.11 or newer")

// code is a broker's error code as an error, nil for none.
func code(c int16) error {
	if c == 0 {
		return nil
	}
	return kafka.Error(c)
}

// Retry reports whether err is one of the broker's passing errors (leader moved, coordinator loading, transaction still
// completing …) or the network's, after which the same question may be asked again later.
func Retry(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	var k kafka.Error
	if errors.As(err, &k) {
		switch k {
		case kafka.UnknownTopicOrPartition, // not yet known everywhere; a topic that is missing for good looks the same
			kafka.LeaderNotAvailable,
			kafka.NotLeaderForPartition,
			kafka.RequestTimedOut,
			kafka.BrokerNotAvailable,
			kafka.ReplicaNotAvailable,
			kafka.NetworkException,
			kafka.GroupLoadInProgress, // coordinator loading
			kafka.GroupCoordinatorNotAvailable,
			kafka.NotCoordinatorForGroup,
			kafka.NotEnoughReplicas,
			kafka.NotEnoughReplicasAfterAppend,
			kafka.NotController,
			kafka.ConcurrentTransactions,
			kafka.KafkaStorageError,
			kafka.ListenerNotFound,
			kafka.FencedLeaderEpoch,
			kafka.UnknownLeaderEpoch,
			kafka.OffsetNotAvailable,
			kafka.ThrottlingQuotaExceeded,
			kafka.UnknownTopicID:
			return true
		}
		return false
	}
	var n net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.As(err, &n)
}

// Fenced reports whether err says that a newer epoch of the producer exists (47, 90, 49). A transaction that the
// coordinator aborted because it stayed open too long looks the same.
func Fenced(err error) bool {
	return errors.Is(err, kafka.InvalidProducerEpoch) || errors.Is(err, kafka.ProducerFenced) ||
		errors.Is(err, kafka.InvalidProducerIDMapping)
}

// movedLeader reports whether err says that somebody else leads the partition now.
func movedLeader(err error) bool {
	var k kafka.Error
	if !errors.As(err, &k) {
		return false
	}
	switch k {
	case kafka.UnknownTopicOrPartition, kafka.LeaderNotAvailable, kafka.NotLeaderForPartition, kafka.ReplicaNotAvailable,
		kafka.KafkaStorageError, kafka.FencedLeaderEpoch, kafka.UnknownLeaderEpoch:
		return true
	}
	return false
}

// partitionError is a broker's refusal of one partition. It makes its words when asked: error 51 comes once in most
// transactions.
type partitionError struct {
	topic     string
	partition int32
	err       error
}

func (e *partitionError) Error() string {
	return fmt.Sprintf("topic %s partition %d: %v", e.topic, e.partition, e.err)
}

func (e *partitionError) Unwrap() error { return e.err }

func ofPartition(err error, topic string, partition int32) error {
	return &partitionError{topic, partition, err}
}
