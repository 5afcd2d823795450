package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/pause"
	"github.com/windrow-io/windrow/internal/wire"
)

// Report is told how a part fares: nil, or what it is waiting for. Parts of parts have names of their own.
type Report func(part string, err error)

// Topic is a topic to be read.
type Topic struct {
	wire.Topic
	Named bool // it is named, not matched by a regular expression
	Early bool // it was there at the first look
}

// View is what a look at the cluster showed.
type View struct {
	Topics map[string]*Topic // those that exist and are to be read
	Looked time.Time         // when the look began
}

// Partitions lists the partitions of all topics, in order.
func (v *View) Partitions() []TopicPartition {
	var all []TopicPartition
	for _, t := range v.Topics {
		for _, p := range t.Partitions {
			all = append(all, TopicPartition{t.Name, p.ID})
		}
	}
	slices.SortFunc(all, TopicPartition.Compare)
	return all
}

// Watch looks at the cluster's topics again and again, and at once when somebody has reason to think that the last view
// is out of date. Safe for concurrent use.
type Watch struct {
	cluster *wire.Cluster
	topics  *Topics
	every   time.Duration
	report  Report
	log     *zap.Logger
	ask     chan struct{}

	mu      sync.Mutex
	view    *View
	changed chan struct{}
	seen    map[string]bool // topics of the first look
}

// watchEvery is how often the topics are looked at unless something calls for it; watchPause is the shortest time between.
const (
	watchEvery = 5 * time.Second
	watchPause = 100 * time.Millisecond
)

// NewWatch makes a Watch that does nothing until Run. every is how often to look, 0 for 5 s; report hears of a cluster
// that can't be reached and of named topics that don't exist.
func NewWatch(c *wire.Cluster, t *Topics, every time.Duration, report Report, log *zap.Logger) *Watch {
	if every <= 0 {
		every = watchEvery
	}
	return &Watch{cluster: c, topics: t, every: every, report: report, log: log, ask: make(chan struct{}, 1), changed: make(chan struct{})}
}

// View returns the last view, nil before the first, and a channel that is closed when there is a newer one.
func (w *Watch) View() (*View, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view, w.changed
}

// Refresh asks for a new look soon.
func (w *Watch) Refresh() {
	select {
	case w.ask <- struct{}{}:
	default:
	}
}

// Run looks until ctx is done.
func (w *Watch) Run(ctx context.Context) {
	again := newBackoff(w.every)
	for {
		err := w.look(ctx)
		if ctx.Err() != nil {
			return
		}
		w.report("", err)
		due, ask := w.every, w.ask
		if urgent(err) {
			due, ask = again.Next(), nil
		} else {
			again.Reset()
			if !pause.For(ctx, watchPause) {
				return
			}
		}
		t := time.NewTimer(due)
		select {
		case <-ctx.Done():
		case <-ask:
		case <-t.C:
		}
		t.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// MissingError: the cluster answers, but has not all the topics that are to be read.
type MissingError struct {
	List  string   // as configured
	Names []string // named and not there; none: no topic at all matches
}

func (e *MissingError) Error() string {
	if len(e.Names) == 0 {
		return fmt.Sprintf("no topic matches KAFKA_TOPICS=%s yet", e.List)
	}
	return fmt.Sprintf("topic %s does not exist: create it, or correct KAFKA_TOPICS", strings.Join(e.Names, ", "))
}

// urgent reports whether to look again soon. A missing topic is no reason to.
func urgent(err error) bool { return err != nil && !errors.As(err, new(*MissingError)) }

func (w *Watch) look(ctx context.Context) error {
	names := w.topics.names
	if len(w.topics.patterns) > 0 {
		names = nil
	}
	began := time.Now()
	all, err := w.cluster.Topics(ctx, names...)
	if err != nil {
		return err
	}
	v := &View{Topics: map[string]*Topic{}, Looked: began}
	var trouble error
	for i := range all {
		match, named := w.topics.Match(&all[i])
		switch t := all[i]; {
		case !match || errors.Is(t.Err, kafka.UnknownTopicOrPartition):
		case t.Err != nil:
			// Whether the topic still exists isn't known: keep to what the last view says of it.
			trouble = fmt.Errorf("topic %s: %w", t.Name, t.Err)
			if old, _ := w.View(); old != nil && old.Topics[t.Name] != nil {
				v.Topics[t.Name] = old.Topics[t.Name]
			}
		default:
			v.Topics[t.Name] = &Topic{Topic: t, Named: named}
		}
	}
	w.publish(v)
	if trouble != nil {
		return trouble
	}
	m := &MissingError{List: w.topics.text}
	for _, n := range w.topics.names {
		if v.Topics[n] == nil {
			m.Names = append(m.Names, n)
		}
	}
	if len(m.Names) > 0 {
		return m
	}
	if len(v.Topics) == 0 {
		return m
	}
	return nil
}

func (w *Watch) publish(v *View) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil {
		w.seen = map[string]bool{}
		for n := range v.Topics {
			w.seen[n] = true
		}
	}
	for n, t := range v.Topics {
		t.Early = w.seen[n]
	}
	w.view = v
	close(w.changed)
	w.changed = make(chan struct{})
}

// newBackoff is the pause after something that failed.
func newBackoff(limit time.Duration) pause.Backoff {
	return pause.Backoff{Min: min(50*time.Millisecond, limit), Max: limit}
}
