package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A check looks at every window of an output and says what is wrong with it, or with all of them together.
type check interface {
	window(w *window) error
	end() error
}

// window is a window as Windrow or the bare loop writes it.
type window struct {
	Shard     string // of Windrow: <topic>/<partition>
	Partition int    // of the bare loop
	Key       string
	Start     millis
	Count     int
	Data      json.RawMessage
}

// millis are Unix milliseconds, which are a date in MongoDB.
type millis int64

func (m *millis) UnmarshalJSON(text []byte) error {
	var date struct {
		Date time.Time `json:"$date"`
	}
	if err := json.Unmarshal(text, &date); err == nil {
		*m = millis(date.Date.UnixMilli())
		return nil
	}
	return json.Unmarshal(text, (*int64)(m))
}

// readWindow reads a window; the bare loop's count windows are the array of their records alone.
func readWindow(value []byte) (w *window, err error) {
	w = new(window)
	if len(value) > 0 && value[0] == '[' {
		w.Data = value
		return w, nil
	}
	if err := json.Unmarshal(value, w); err != nil {
		return nil, err
	}
	if _, partition, ok := strings.Cut(w.Shard, "/"); ok {
		w.Partition, err = strconv.Atoi(partition)
	}
	return w, err
}

// datum is what tells a record.
type datum struct {
	Partition int
	N         int
	TS        int64
	Device    string
}

// onceEach finds records that are missing or there twice.
type onceEach struct {
	p     Params
	seen  []bool
	count int
}

func newOnceEach(p Params) *onceEach { return &onceEach{p: p, seen: make([]bool, p.Records)} }

func (o *onceEach) add(d datum) error {
	i := o.p.index(int32(d.Partition), d.N)
	switch {
	case d.N < 0 || d.Partition < 0 || d.Partition >= o.p.Partitions || i >= len(o.seen):
		return fmt.Errorf("there is a record %d of partition %d, which nobody wrote", d.N, d.Partition)
	case o.seen[i]:
		return fmt.Errorf("record %d of partition %d is there twice", d.N, d.Partition)
	}
	o.seen[i] = true
	o.count++
	return nil
}

func (o *onceEach) end() error {
	if o.count != o.p.Records {
		return fmt.Errorf("%d of %d records are there", o.count, o.p.Records)
	}
	return nil
}

// countCheck wants every record once, in windows of the right size.
type countCheck struct{ *onceEach }

func (c countCheck) window(w *window) error {
	var data []datum
	if err := json.Unmarshal(w.Data, &data); err != nil {
		return err
	}
	if len(data) != c.p.Window {
		return fmt.Errorf("a window has %d records, not %d", len(data), c.p.Window)
	}
	for _, d := range data {
		if err := c.add(d); err != nil {
			return err
		}
	}
	return nil
}

// place is a window by event time.
type place struct {
	partition int
	key       string
	start     int64
}

// start is where the window of a record begins.
func (p Params) start(ts int64) int64 { return ts - ts%p.Interval.Milliseconds() }

// places are the windows that a job's records make, each with the number of its records and the sum of their values, in
// hundredths.
func (p Params) places() map[place][2]int {
	all := map[place][2]int{}
	for i := range p.Records {
		at := place{i % p.Partitions, p.key(i), p.start(at(i))}
		n := all[at]
		all[at] = [2]int{n[0] + 1, n[1] + reading(i)}
	}
	return all
}

// listCheck wants every record once, in the one window of its partition, key and time.
type listCheck struct {
	*onceEach
	places map[place][2]int
}

func (c listCheck) window(w *window) error {
	if w.Key == closingKey {
		return nil
	}
	at := place{w.Partition, w.Key, int64(w.Start)}
	if _, ok := c.places[at]; !ok {
		return fmt.Errorf("there is a window %+v twice, or too many", at)
	}
	delete(c.places, at)
	var data []datum
	if err := json.Unmarshal(w.Data, &data); err != nil {
		return err
	}
	for _, d := range data {
		if (place{d.Partition, d.Device, c.p.start(d.TS)}) != at {
			return fmt.Errorf("record %d of partition %d is in the window %+v", d.N, d.Partition, at)
		}
		if err := c.add(d); err != nil {
			return err
		}
	}
	return nil
}

// foldCheck wants one aggregate for each partition, key and interval, and the right one.
type foldCheck struct{ places map[place][2]int }

func (c foldCheck) window(w *window) error {
	if w.Key == closingKey {
		return nil
	}
	at := place{w.Partition, w.Key, int64(w.Start)}
	want, ok := c.places[at]
	if !ok {
		return fmt.Errorf("there is a window %+v twice, or too many", at)
	}
	delete(c.places, at)
	var got struct {
		N        int
		Sum, Avg float64
	}
	if err := json.Unmarshal(w.Data, &got); err != nil {
		return err
	}
	sum := float64(want[1]) / 100
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Abs(b) }
	if got.N != want[0] || w.Count != got.N || !near(got.Sum, sum) || !near(got.Avg, sum/float64(want[0])) {
		return fmt.Errorf("the window %+v of %d records says %+v, not n %d, sum %.2f", at, w.Count, got, want[0], sum)
	}
	return nil
}

func (c foldCheck) end() error {
	for at := range c.places {
		return fmt.Errorf("%d windows are missing, one of them %+v", len(c.places), at)
	}
	return nil
}
