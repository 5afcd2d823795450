package kafka

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The vectors are those of Kafka's own UtilsTest.
func TestMurmur2IsJavas(t *testing.T) {
	for key, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string":                       -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%q) is %d, want %d", key, got, want)
		}
	}
}

func TestPartitionIsThatOfOtherClients(t *testing.T) {
	other := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	for i := range 2000 {
		key := fmt.Appendf([]byte{byte(i)}, "%023d", i)[:i%24]
		for _, n := range []int32{1, 2, 3, 12, 100, 1 << 20} {
			if got, want := int(partitionOf(key, n)), other.Partition(&kgo.Record{Key: key}, int(n)); got != want {
				t.Fatalf("key %q of %d partitions: %d, want %d", key, n, got, want)
			}
		}
	}
}
