package buffer_test

import (
	"context"
	"fmt"
	"log"

	"github.com/alicebob/miniredis/v2"

	"github.com/windrow-io/windrow/pkg/buffer"
)

// Any program appends records to a stream, and a pipeline makes windows of them as of records from Kafka. In another
// language the same is XADD windrow:{sensors/direct}:lane:direct/0 * data '{"c":21.5}' key d1
func ExampleBuffer_Append() {
	redis, err := miniredis.Run() // in the place of a Redis server
	if err != nil {
		log.Fatal(err)
	}
	defer redis.Close()

	stream, err := buffer.Open(buffer.Options{URL: "redis://" + redis.Addr(), Stream: "sensors"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = stream.Close() }()

	ctx := context.Background()
	for _, celsius := range []float64{21.5, 22} {
		reading := map[string]any{"c": celsius}
		if err := stream.Append(ctx, reading, buffer.WithKey([]byte("d1"))); err != nil {
			log.Fatal(err)
		}
	}

	// What a worker gets to see.
	r := stream.Reader("pipeline", "worker", buffer.Direct, []string{buffer.DirectLane})
	defer func() { _ = r.Close() }()
	turn, err := r.Read(ctx, 0, 10)
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range turn.Lanes[0].Entries {
		fmt.Printf("%s %s\n", e.Record.Key, e.Record.Value)
	}
	// Output:
	// d1 {"c":21.5}
	// d1 {"c":22}
}
