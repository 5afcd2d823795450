package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// The example services process every window once, whenever they are there: the shards wait for them, and drop nothing. What
// they refuse goes to the dead letters.
func TestHandlerServices(t *testing.T) {
	t.Parallel()
	port := lab.Port(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	socket := filepath.Join(t.TempDir(), "handler.sock")
	for name, service := range map[string]struct {
		url   string
		start func(t *testing.T) *lab.Program
	}{
		"Go": {"unix://" + socket, func(t *testing.T) *lab.Program {
			return lab.StartWith(t, "handler", []string{"-listen", "unix:" + socket})
		}},
		"Python": {"http://" + address, func(t *testing.T) *lab.Program {
			return lab.StartCommand(t, "handler.py", []string{"python3", "../examples/handler/handler.py", fmt.Sprint(port)})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testHandlerService(t, service.url, service.start)
		})
	}
}

func testHandlerService(t *testing.T, url string, start func(t *testing.T) *lab.Program) {
	const partitions, n, size = 2, 200, 10
	w := newWorld(t, partitions)
	settings := []string{"EMITTER=count", fmt.Sprintf("WINDOW_SIZE=%d", size), "HANDLER_URL=" + url, "HANDLER_ATTEMPTS=1"}
	ingest := w.Ingest()
	workers := []*lab.Program{w.Worker(settings...), w.Worker(settings...)}
	w.Produce(partitions, 0, n)
	for _, worker := range workers {
		worker.NotReady(t, job.Patience, "the handler can't be reached")
		if calls, _ := worker.Metric("windrow_process_handler_unreachable_total"); calls == 0 {
			t.Errorf("%s counts no call that did not reach the handler", worker.Name)
		}
	}
	start(t)
	bad := &kgo.Record{Topic: w.Topic, Value: []byte(`{"nothing":1}`)}
	w.Kafka.Produce(t, []*kgo.Record{bad, bad, bad, bad, bad, bad, bad, bad, bad, bad})
	out, dead := w.Kafka.Consume(t, w.Out), w.Kafka.Consume(t, w.Out+".dead")
	out.Until(job.Patience, "all results", func() bool { return len(out.Records) >= partitions*n/size })
	dead.Until(job.Patience, "the dead letter", func() bool { return len(dead.Records) >= 1 })
	for _, worker := range workers {
		worker.Ready(t)
	}
	lab.Stop(t, append(workers, ingest)...)

	var got, want []float64
	ids := map[string]bool{}
	for _, r := range out.ToEnd() {
		var res struct {
			Window string
			Count  int
			Sum    float64
		}
		if err := json.Unmarshal(r.Value, &res); err != nil {
			t.Fatalf("%v: %s", err, r.Value)
		}
		if id, _ := lab.Header(r, "windrow-id"); id != res.Window || ids[id] || res.Count != size {
			t.Errorf("the result %s is of window %s, or came twice", r.Value, id)
		}
		ids[res.Window] = true
		got = append(got, res.Sum)
	}
	for p := range partitions {
		for i, r := range w.Inputs(p, 0, n) {
			var in job.Input
			if err := json.Unmarshal(r.Value, &in); err != nil {
				t.Fatal(err)
			}
			if i%size == 0 {
				want = append(want, 0)
			}
			want[len(want)-1] += float64(in.Value)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("sums %v, want %v", got, want)
	}
	letters := dead.ToEnd()
	if len(letters) != 1 || !strings.Contains(string(letters[0].Value), "422") || !strings.Contains(string(letters[0].Value), `"attempts":1`) {
		t.Errorf("%d dead letters, of which the first is %.300s", len(letters), letters[0].Value)
	}
}
