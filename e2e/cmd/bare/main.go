// Command bare is what Windrow is measured against: a plain franz-go loop, consume → group 100 → produce, without
// guarantees. It reads all partitions of a topic and writes JSON arrays of a partition's records.
//
//	bare BROKERS IN OUT RECORDS    ends after that many records and prints "cpu=<s> rss=<MiB>"
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/twmb/franz-go/pkg/kgo"
)

const windowSize = 100

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: bare BROKERS IN OUT RECORDS")
		os.Exit(2)
	}
	records, err := strconv.Atoi(os.Args[4])
	if err == nil {
		err = loop(os.Args[1], os.Args[2], os.Args[3], records)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("cpu=%.3f rss=%d\n", float64(u.Utime.Nano()+u.Stime.Nano())/1e9, u.Maxrss/1024)
}

func loop(broker, in, out string, records int) error {
	ctx := context.Background()
	c, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(in), kgo.DefaultProduceTopic(out),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer c.Close()
	waiting := map[int32][][]byte{}
	failed := make(chan error, 1)
	for n := 0; n < records; {
		c.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			n++
			w := append(waiting[r.Partition], r.Value)
			if len(w) == windowSize {
				c.Produce(ctx, &kgo.Record{Value: array(w)}, func(_ *kgo.Record, err error) {
					if err != nil {
						select {
						case failed <- err:
						default:
						}
					}
				})
				w = w[:0]
			}
			waiting[r.Partition] = w
		})
	}
	if err := c.Flush(ctx); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func array(values [][]byte) []byte {
	n := 2
	for _, v := range values {
		n += len(v) + 1
	}
	b := append(make([]byte, 0, n), '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	return append(b, ']')
}
