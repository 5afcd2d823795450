package e2e

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
	"github.com/windrow-io/windrow/pkg/emit"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/sink/windowjson"
	"github.com/windrow-io/windrow/pkg/window"
	"github.com/windrow-io/windrow/pkg/window/windowtest"
)

// The stories that package window's tests tell come out of real servers as they are written, byte for byte: each as far as
// its windows don't depend on when records come, or on how many are read at a time.
func TestStories(t *testing.T) {
	t.Parallel()
	kafka, redis := lab.Kafka(t), lab.Redis(t)
	paths, err := filepath.Glob("../pkg/window/testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var told, untold []string
	emitters := map[string]int{}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		s := newTale(windowtest.Read(t, path))
		if s == nil {
			untold = append(untold, name)
			continue
		}
		told = append(told, fmt.Sprintf("%s (%d windows)", name, s.windows))
		emitters[s.settings.Emitter]++
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.tell(t, job.On(t, kafka, redis))
		})
	}
	for _, name := range emit.Names() {
		clock := name == emit.NameFixed || name == emit.NameRelaxed || name == emit.NameSample
		if clock != (emitters[name] == 0) {
			t.Errorf("%d stories of %s are told", emitters[name], name)
		}
	}
	t.Logf("told are %s; not told are %s", strings.Join(told, ", "), strings.Join(untold, ", "))
}

// tale is a story without its times.
type tale struct {
	settings window.Settings
	records  []record.Record
	flushed  bool // at its end
	windows  int  // that the story has
}

// newTale takes the times out of a story, as far as what comes out stays the same; nil: that is nothing.
func newTale(s *windowtest.Story) *tale {
	for n := len(s.Blocks); n > 0; n-- {
		if w := timeless(s.Blocks[:n]); w != nil {
			return w
		}
	}
	return nil
}

// timeless is the tale of these blocks; nil: they have none.
func timeless(blocks []*windowtest.Block) *tale {
	w := &tale{settings: blocks[0].Settings}
	var windows, rejects []string
	for i, b := range blocks {
		switch {
		case b.Cmd == "settings" && i == 0, b.Cmd == "":
		case b.Cmd == "step" && !w.flushed:
			w.records = append(w.records, b.Records...)
		case b.Cmd == "flush":
			w.flushed = true
		default:
			return nil
		}
		for _, line := range strings.Split(b.Want, "\n") {
			switch {
			case strings.HasPrefix(line, "window "):
				windows = append(windows, line)
			case strings.HasPrefix(line, "reject "):
				rejects = append(rejects, line)
			}
		}
	}
	for i := range w.records {
		if r := &w.records[i]; r.Topic != "t" || r.Offset != int64(i) || r.Timestamp > time.Now().UnixMilli() {
			return nil // not those of one partition, or not to be had from Kafka
		}
	}
	s := &w.settings
	switch {
	case len(windows) == 0 || len(w.records) == 0:
		return nil
	case !slices.Contains(emit.Names(), s.Emitter) || s.StateMaxBytes > 0:
		return nil // can't be configured
	case s.EmitEarly > 0:
		return nil // the clock has its say
	}
	w.windows = len(windows)
	if window.EventTimed(s.Emitter) && s.EventTime == "" && !w.flushed {
		// The last record closes what the story leaves to the clock.
		later := 2*(s.Interval+s.Gap) + s.MaxLength + s.WatermarkDelay + s.AllowedLateness
		if s.Calendar != "" {
			later += 62 * 24 * time.Hour
		}
		end := w.records[len(w.records)-1].Clone()
		end.Offset++
		for i := range w.records {
			end.Timestamp = max(end.Timestamp, w.records[i].Timestamp+later.Milliseconds())
		}
		w.records = append(w.records, end)
	}
	together, apart := &written{}, &written{}
	if m, hurried := w.play(false, together); m.NeedsReceived() || hurried {
		return nil
	}
	w.play(true, apart)
	if !slices.Equal(together.Full, apart.Full) || !slices.Equal(rejects, together.rejects) ||
		len(windows) > len(together.windows) || !slices.Equal(windows, together.windows[:len(windows)]) {
		return nil
	}
	return w
}

// written is what comes out: as stories write it, as sinks do, and of what goes to the dead letters the offsets and why.
type written struct {
	windowtest.Tape
	windows, rejects []string
	lines            []string
	dead             []string
}

func (o *written) Window(w *window.Window) {
	o.Tape.Window(w)
	o.windows = append(o.windows, o.Short[len(o.Short)-1])
	o.lines = append(o.lines, string(windowjson.Append(nil, w)))
}

func (o *written) Reject(r *record.Record, reason error) {
	o.Tape.Reject(r, reason)
	o.rejects = append(o.rejects, o.Short[len(o.Short)-1])
	o.dead = append(o.dead, fmt.Sprintf("%d: %v", r.Offset, reason))
}

// play plays the records at one moment, all in one Step or each in one of its own. It is hurried if time might have closed
// what is flushed.
func (w *tale) play(apart bool, o *written) (m *window.Machine, hurried bool) {
	topic := w.records[0].Topic
	m, err := window.New(w.settings, topic+"/0")
	if err != nil {
		panic(err) // the story is told elsewhere
	}
	now := time.Now().UnixMilli()
	n := len(w.records)
	if apart {
		n = 1
	}
	for from := 0; from < len(w.records); from += n {
		if m.NeedsLanes() {
			m.Lanes([]window.Lane{{Topic: topic, AtEnd: from+n == len(w.records), Got: true}})
		}
		m.Step(now, window.Each(w.records[from:from+n]), o)
	}
	if w.flushed {
		hurried = m.Deadline() > 0
		m.Flush(o)
	}
	return m, hurried
}

// tell runs the tale through real servers and compares what comes out with what the pure machine makes of it.
func (w *tale) tell(t *testing.T, on *job.Job) {
	// The records are older than Kafka would keep them.
	on.Kafka.CreateTopic(t, on.Topic, 1, "retention.ms", "-1")
	on.Kafka.CreateTopic(t, on.Out, 1)
	on.Kafka.CreateTopic(t, on.Out+".dead", 1)
	here := &tale{settings: w.settings, flushed: w.flushed}
	here.settings.Stream, here.settings.Pipeline = on.Stream, "p"
	var produced []*kgo.Record
	for i := range w.records {
		r := w.records[i].Clone()
		r.Topic = on.Topic
		here.records = append(here.records, r)
		produced = append(produced, &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Timestamp: time.UnixMilli(r.Timestamp)})
	}
	want := &written{}
	m, _ := here.play(false, want)
	on.Kafka.Produce(t, produced)
	var args []string
	if w.flushed {
		args = []string{"--partial=flush"}
	}
	p := on.Once(args, environment(t, w.settings)...)
	if code := p.Wait(t, job.Patience); code != 0 {
		t.Fatalf("the run ended with code %d:\n%s", code, p.Log())
	}

	// While it runs time passes, and may close more: these would come next.
	next := &written{}
	if m.NeedsLanes() {
		m.Lanes([]window.Lane{{Topic: on.Topic, AtEnd: true}})
	}
	m.Step(time.Now().Add(time.Hour).UnixMilli(), nil, next)
	all := append(want.lines, next.lines...)
	var got []string
	for _, r := range on.Kafka.Consume(t, on.Out).ToEnd() {
		got = append(got, string(r.Value))
	}
	if len(got) < len(want.lines) || len(got) > len(all) || !slices.Equal(got, all[:len(got)]) {
		t.Errorf("came\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want.lines, "\n"))
	}
	var dead []string
	for _, l := range letters(t, on.Kafka.Consume(t, on.Out+".dead").ToEnd()) {
		dead = append(dead, fmt.Sprintf("%d: %s", l.Origin.Offset, l.Error))
	}
	if !slices.Equal(dead, want.dead) {
		t.Errorf("dead letters are\n%s\nwant\n%s", strings.Join(dead, "\n"), strings.Join(want.dead, "\n"))
	}
}

// variables are those that the fields of window.Settings come from.
var variables = map[string]string{
	"Emitter": "EMITTER", "Size": "WINDOW_SIZE", "Bytes": "WINDOW_BYTES", "When": "WINDOW_WHEN", "Open": "WINDOW_OPEN", "Interval": "WINDOW_INTERVAL",
	"Timeout": "WINDOW_TIMEOUT", "Key": "WINDOW_KEY", "Slide": "WINDOW_SLIDE", "SlideSize": "WINDOW_SLIDE", "Offset": "WINDOW_OFFSET",
	"Calendar": "WINDOW_CALENDAR", "Zone": "WINDOW_TIMEZONE", "Gap": "WINDOW_GAP", "MaxLength": "WINDOW_MAX_LENGTH", "EmitEmpty": "EMIT_EMPTY",
	"CatchUp": "CATCH_UP", "EventTime": "EVENT_TIME", "EventTimeFormat": "EVENT_TIME_FORMAT", "WatermarkDelay": "WATERMARK_DELAY",
	"WatermarkIdle": "WATERMARK_IDLE", "MaxFuture": "MAX_FUTURE", "Late": "LATE", "AllowedLateness": "ALLOWED_LATENESS", "EmitEarly": "EMIT_EARLY",
	"OrderBy": "ORDER_BY", "Dedupe": "DEDUPE", "DedupeWithin": "DEDUPE_WITHIN", "DedupeMax": "DEDUPE_MAX", "MaxKeys": "MAX_KEYS",
	"KeyTimeout": "KEY_TIMEOUT", "BadField": "BAD_FIELD", "Aggregate": "AGGREGATE", "Filter": "FILTER", "Map": "MAP", "Query": "WINDOW_QUERY",
	"Ready": "WINDOW_READY",
}

// environment is what gives these settings.
func environment(t *testing.T, s window.Settings) (env []string) {
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		defaults := name == "WatermarkDelay" || name == "WatermarkIdle" || name == "MaxFuture"
		switch {
		case name == "Stream" || name == "Pipeline" || v.Field(i).IsZero() && !(defaults && window.EventTimed(s.Emitter)):
		case variables[name] == "":
			t.Fatalf("no variable is known for %s", name)
		default:
			env = append(env, fmt.Sprintf("%s=%v", variables[name], v.Field(i)))
		}
	}
	return env
}
