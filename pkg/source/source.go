// Package source reads Kafka topics as raw record batches: which topics and partitions there are (Topics, Watch), which
// of them are this program's (Group), what has been committed for them (Offsets), and their data (Fetcher for all that
// follows the end of partitions, Refill for a part of one).
//
// Batches stay as the producers wrote them, compressed and with their CRC. What is done to them needs their headers
// alone: control batches and the batches of aborted transactions are dropped, an answer that is cut short loses its last
// piece, and the offset that follows is that of the last batch's end, so that compacted topics work. The CRC of every
// batch is checked once, here.
//
// Nothing here decides where to read: whoever reads says so by SeekTo, and hears of it when the source has another topic
// of that name (ErrRecreated) or no such offset (OutOfRange).
package source

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// TopicPartition names a partition of a source topic.
type TopicPartition struct {
	Topic     string
	Partition int32
}

func (tp TopicPartition) String() string { return tp.Topic + "/" + strconv.Itoa(int(tp.Partition)) }

// Compare orders by topic, then by partition.
func (tp TopicPartition) Compare(o TopicPartition) int {
	return cmp.Or(strings.Compare(tp.Topic, o.Topic), cmp.Compare(tp.Partition, o.Partition))
}

// Lane is a lane's name taken apart: <topic>/<part>, or <topic>/<part>@<epoch> for the epochs after the first. The epoch
// counts how often the topic was made again under the same name (or lost its end in an unclean election).
type Lane struct {
	TopicPartition
	Epoch int
}

func (l Lane) String() string {
	if l.Epoch == 0 {
		return l.TopicPartition.String()
	}
	return l.TopicPartition.String() + "@" + strconv.Itoa(l.Epoch)
}

// ParseLane takes a lane's name apart. A topic's name holds neither slash nor at sign.
func ParseLane(name string) (Lane, error) {
	topic, rest, ok := strings.Cut(name, "/")
	number, epoch, later := strings.Cut(rest, "@")
	p, err := strconv.ParseInt(number, 10, 32)
	if !ok || topic == "" || err != nil || p < 0 {
		return Lane{}, fmt.Errorf("%q is not the name of a lane: <topic>/<partition>[@<epoch>]", name)
	}
	l := Lane{TopicPartition: TopicPartition{topic, int32(p)}}
	if later {
		if l.Epoch, err = strconv.Atoi(epoch); err != nil || l.Epoch < 1 {
			return Lane{}, fmt.Errorf("%q is not the name of a lane: its epoch is not a number from 1 on", name)
		}
	}
	return l, nil
}

// ID is a topic's id: another one after the topic was deleted and made again. Zero: the cluster is older than Kafka 2.8
// and has none.
type ID [16]byte

func (id ID) String() string { return fmt.Sprintf("%x", id[:]) }

// ParseID reads an id as String writes it; anything else is not known.
func ParseID(text string) (id ID) {
	if b, err := hex.DecodeString(text); err == nil && len(b) == len(id) {
		copy(id[:], b)
	}
	return id
}

// Known reports whether the cluster told an id.
func (id ID) Known() bool { return id != ID{} }

// Differs reports whether both ids are known and not the same.
func (id ID) Differs(o ID) bool { return id.Known() && o.Known() && id != o }

// ErrRecreated: the topic was deleted and made again: its offsets have nothing to do with those before.
var ErrRecreated = errors.New("the topic was deleted and made again")

// LostError: the source has no longer what was asked for: retention removed it, DeleteRecords, or an unclean election.
type LostError struct {
	TopicPartition
	From, To int64 // the records of [From, To) are lost
}

func (e *LostError) Error() string {
	return fmt.Sprintf("topic %s partition %d: the source no longer has offsets %d to %d: lengthen the topic's retention (retention.ms, retention.bytes)",
		e.Topic, e.Partition, e.From, e.To-1)
}

// CorruptError: a batch of the source can't be used: its CRC fails, or its format is too old.
type CorruptError struct {
	TopicPartition
	Offset int64 // where it was read from
	Err    error // record.ErrCRC, record.ErrMagic, record.ErrCorrupt
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("topic %s partition %d: the batch at offset %d can't be read: %v", e.Topic, e.Partition, e.Offset, e.Err)
}

// Unwrap gives the reason.
func (e *CorruptError) Unwrap() error { return e.Err }
