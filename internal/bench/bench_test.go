package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func small(s shape) Params {
	p := Params{Partitions: 4, Records: 2400, Bytes: 200, Window: 100, Keys: 12, Workers: 2}
	if s != shapeCount {
		p.Interval = 100 * time.Millisecond
	}
	return p
}

// loopOutput is what the bare loop makes of a job's records.
func loopOutput(s shape, p Params) (windows [][]byte) {
	g := s.gatherer(p, func(_, value []byte) { windows = append(windows, value) })
	for n := range p.Records / p.Partitions {
		for partition := range int32(p.Partitions) {
			g.add(partition, p.value(partition, n, at(p.index(partition, n))))
		}
	}
	if p.Interval > 0 {
		for partition := range int32(p.Partitions) {
			g.add(partition, p.closing(partition))
		}
	}
	return windows
}

func checked(c check, windows [][]byte) error {
	for _, value := range windows {
		w, err := readWindow(value)
		if err == nil {
			err = c.window(w)
		}
		if err != nil {
			return err
		}
	}
	return c.end()
}

var shapes = []shape{shapeCount, shapeFold, shapeList}

func TestTheLoopsOutputIsRight(t *testing.T) {
	for _, s := range shapes {
		p := small(s)
		windows := loopOutput(s, p)
		if got, want := len(windows), s.windows(p); got != want || want == 0 {
			t.Errorf("%s: %d windows, want %d", s, got, want)
		}
		if err := checked(s.check(p), windows); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// A check that can't fail would let any speed be had.
func TestWrongOutputIsFound(t *testing.T) {
	replace := func(value []byte, old, by string) []byte { return []byte(strings.Replace(string(value), old, by, 1)) }
	for _, s := range shapes {
		p := small(s)
		for name, spoil := range map[string]func([][]byte) [][]byte{
			"a window is missing":   func(ws [][]byte) [][]byte { return ws[1:] },
			"a window comes twice":  func(ws [][]byte) [][]byte { return append(ws, ws[3]) },
			"a record is changed":   func(ws [][]byte) [][]byte { ws[2] = replace(ws[2], `"n":`, `"n":7`); return ws },
			"another partition":     func(ws [][]byte) [][]byte { ws[2] = replace(ws[2], `"partition":`, `"partition":3`); return ws },
			"a window is cut short": func(ws [][]byte) [][]byte { ws[0] = ws[0][:len(ws[0])/2]; return ws },
		} {
			if err := checked(s.check(p), spoil(loopOutput(s, p))); err == nil {
				t.Errorf("%s: %s, and nothing is said", s, name)
			}
		}
	}
	wrong := strings.Replace(string(loopOutput(shapeFold, small(shapeFold))[0]), `"sum":`, `"sum":1`, 1)
	if err := checked(shapeFold.check(small(shapeFold)), [][]byte{[]byte(wrong)}); err == nil || !strings.Contains(err.Error(), "sum") {
		t.Errorf("a wrong sum: %v", err)
	}
}

func TestRecords(t *testing.T) {
	for _, size := range []int{minBytes, 200, 1 << 20} {
		p := Params{Partitions: 256, Records: 1 << 20, Bytes: size, Keys: 1_000_000}
		v := p.value(255, 1_000_000, time.Now().UnixMicro())
		var d datum
		if err := json.Unmarshal(v, &d); err != nil || d.Partition != 255 || d.N != 1_000_000 || d.Device != p.key(p.index(255, 1_000_000)) {
			t.Errorf("%.150s is %+v, %v", v, d, err)
		}
		if len(v) != size {
			t.Errorf("%d bytes, want %d: %.200s", len(v), size, v)
		}
	}
}

func TestPercentiles(t *testing.T) {
	var ds []time.Duration
	for i := range 1000 {
		ds = append(ds, time.Duration(1000-i)*time.Millisecond)
	}
	if got, want := *percentiles(ds), (Latency{500, 900, 990, 999, 1000}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := *percentiles(ds[:1]), (Latency{1, 1, 1, 1, 1}); got != want {
		t.Errorf("of one: %+v, want %+v", got, want)
	}
}

// sample is a series of three rounds.
func sample() *Series {
	s := &Series{Job: "count", Compression: "lz4", Sink: "kafka", Params: small(shapeCount), Sides: []*Side{{Name: Bare}, {Name: Windrow}}}
	for i, cpu := range []float64{1, 2, 4} {
		s.Sides[0].Rounds = append(s.Sides[0].Rounds, &Round{Start: .5, Rate: 1e6, CPU: cpu, Programs: []Use{{Program: "loop", CPU: cpu, Peak: 50 << 20, Allocs: 2}}})
		s.Sides[1].Rounds = append(s.Sides[1].Rounds, &Round{Start: 1, Rate: 5e5, CPU: cpu * float64(i+1), Programs: []Use{
			{Program: "ingest", CPU: cpu, Peak: 30 << 20, Allocs: 1}, {Program: "redis", CPU: cpu * float64(i), Peak: 8 << 20},
		}})
	}
	s.setRatios()
	return s
}

func TestRatiosAreThoseOfNeighbours(t *testing.T) {
	want := []Ratio{{Bare, "records/s", .5, .5, .5}, {Bare, "CPU", 2, 1, 3}}
	if got := sample().Ratios; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestReportIsReadAsItWasWritten(t *testing.T) {
	want := &Report{Version: "1", Time: time.Unix(1, 0).UTC(), CPUs: 2, Series: []*Series{sample()}}
	var b bytes.Buffer
	if err := want.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	got, err := ReadReport(&b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if _, err := ReadReport(strings.NewReader(`{"speed": 1}`)); err == nil {
		t.Error("anything is a report")
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	sample().Write(&b)
	want := `count, lz4, kafka: 2400 records of 200 bytes, 4 partitions, windows of 100, 2 workers; rounds: 3
                            start s      records/s  CPU-s/million       peak MiB  allocs/record   bytes/record
bare                            0.5        1000000          2.000             50           2.00               
windrow                         1.0         500000          4.000             38           1.00               
  ingest                                                    2.000             30           1.00               
  redis                                                     2.000              8                              
to bare                    records/s 0.50 × (0.50–0.50)
to bare                    CPU 2.00 × (1.00–3.00)

`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestOptionsAreCheckedAtOnce(t *testing.T) {
	problems := strings.Join(Options{Jobs: []string{"count", "sums"}, Compressions: []string{"brotli"}, Sinks: []string{"mongo", "stdout"}, Rate: 1, Seconds: 1, Records: -1}.Check(), "\n")
	for _, want := range []string{`"sums"`, `"brotli"`, "MONGO_URL", `"stdout"`, "--rounds 0", "--records -1"} {
		if !strings.Contains(problems, want) {
			t.Errorf("%s is not named in %s", want, problems)
		}
	}
	if p := (Options{Jobs: JobNames(), Compressions: compressions, Sinks: []string{"kafka"}, Rate: 1, Seconds: 1, Rounds: 1}).Check(); len(p) > 0 {
		t.Errorf("good options: %q", p)
	}
}

func TestEveryJobHasWholeWindows(t *testing.T) {
	for _, j := range jobs {
		for _, records := range []int{0, 1, 12_345} {
			p := j.sized(Options{Records: records}, 0)
			if p.Records%p.Partitions != 0 || j.shape == shapeCount && p.Records%(p.Partitions*p.Window) != 0 || p.Records == 0 {
				t.Errorf("%s, %d records asked for: %+v", j.name, records, p)
			}
		}
	}
}

func TestUseOfAProcess(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err == nil && before <= 0 {
		t.Errorf("it has used %v", before)
	}
	peak, perr := peakMemory(os.Getpid())
	if perr == nil && peak < 1<<20 {
		t.Errorf("it has had %d bytes", peak)
	}
	if fmt.Sprint(err) != fmt.Sprint(perr) {
		t.Errorf("%v, %v", err, perr)
	}
}
