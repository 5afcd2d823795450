// Command flaky is a worker whose handler fails: always for every shard's window 2, twice for window 4, for good at once
// for window 6. It wants nothing written of window 8.
package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/windrow-io/windrow/pkg/process"
	"github.com/windrow-io/windrow/pkg/window"
)

var (
	mu    sync.Mutex
	calls = map[string]int{} // window → how often it was handled
)

func count(w *window.Window) int {
	mu.Lock()
	defer mu.Unlock()
	calls[w.ID(0)]++
	return calls[w.ID(0)]
}

func handle(_ context.Context, w *window.Window) (any, error) {
	n := count(w)
	switch {
	case w.Seq == 2:
		return nil, errors.New("this window is cursed")
	case w.Seq == 4 && n <= 2:
		return nil, fmt.Errorf("call %d fails", n)
	case w.Seq == 6:
		return nil, process.Refuse(errors.New("this window is refused"))
	case w.Seq == 8:
		return nil, nil
	}
	return w, nil
}

func main() { process.Main(process.WithHandler(handle)) }
