// Command slow is a worker whose handler takes its time and tells which process took it, and when.
package main

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/windrow-io/windrow/pkg/process"
	"github.com/windrow-io/windrow/pkg/window"
)

const takes = 50 * time.Millisecond

type result struct {
	Shard  string            `json:"shard"`
	Seq    int64             `json:"seq"`
	Worker int               `json:"worker"` // process id
	Began  int64             `json:"began"`  // Unix microseconds
	Ended  int64             `json:"ended"`
	Data   []json.RawMessage `json:"data"`
}

func handle(ctx context.Context, w *window.Window) (any, error) {
	r := result{Shard: w.Shard, Seq: w.Seq, Worker: os.Getpid(), Began: time.Now().UnixMicro()}
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for i := range w.Records {
		r.Data = append(r.Data, w.Records[i].Value)
	}
	r.Ended = time.Now().UnixMicro()
	return r, nil
}

func main() { process.Main(process.WithHandler(handle)) }
