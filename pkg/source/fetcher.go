package source

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/internal/wire"
)

// FetcherOptions of a Fetcher.
type FetcherOptions struct {
	ReadCommitted  bool
	PartitionBytes int           // of one partition in one answer; 0: 1 MiB. A larger batch comes alone
	AnswerBytes    int           // of one answer; 0: 4 MiB. Two a broker are in memory
	MaxWait        time.Duration // how long a broker waits for data; 0: 500 ms
	Report         Report        // by broker, and by partition
	Logger         *zap.Logger
}

// Fetcher follows partitions: one loop for each broker, that asks for all partitions it leads at once. While one answer
// is being worked on the next is under way. Leaders that move, brokers that go and come back cost a look at the topics,
// nothing else. Safe for concurrent use.
type Fetcher struct {
	cluster *wire.Cluster
	watch   *Watch
	o       FetcherOptions
	poke    chan struct{} // there are other feeds

	mu    sync.Mutex
	feeds map[TopicPartition]*Feed
	loops map[int32]*loop
}

// NewFetcher makes a Fetcher that does nothing until Run.
func NewFetcher(c *wire.Cluster, w *Watch, o FetcherOptions) *Fetcher {
	if o.PartitionBytes <= 0 {
		o.PartitionBytes = 1 << 20
	}
	if o.AnswerBytes <= 0 {
		o.AnswerBytes = 4 << 20
	}
	if o.MaxWait <= 0 {
		o.MaxWait = 500 * time.Millisecond
	}
	return &Fetcher{cluster: c, watch: w, o: o, poke: make(chan struct{}, 1), feeds: map[TopicPartition]*Feed{}, loops: map[int32]*loop{}}
}

// Follow makes the feed of a partition; a partition has at most one at a time. It gives nothing before its first SeekTo.
// id is the topic's id as the caller knows it.
func (f *Fetcher) Follow(tp TopicPartition, id ID) *Feed {
	d := &Feed{TopicPartition: tp, fetcher: f, id: id, leader: -1, idle: true, epoch: -1, ready: make(chan struct{}, 1), again: newBackoff(refusedLong)}
	d.count.init(tp.Topic)
	f.mu.Lock()
	f.feeds[tp] = d
	f.mu.Unlock()
	signal(f.poke)
	return d
}

// Run fetches until ctx is done; what it has fetched stays valid.
func (f *Fetcher) Run(ctx context.Context) {
	var loops sync.WaitGroup
	defer loops.Wait()
	for {
		view, changed := f.watch.View()
		if view != nil {
			for _, l := range f.apply(view) {
				loops.Go(func() { l.run(ctx) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-f.poke:
		}
	}
}

// apply gives each feed to the loop of its leader and returns the loops that are new.
func (f *Fetcher) apply(v *View) (started []*loop) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range f.loops {
		l.feeds = l.feeds[:0]
	}
	for _, d := range slices.SortedFunc(maps.Values(f.feeds), func(a, b *Feed) int { return a.TopicPartition.Compare(b.TopicPartition) }) {
		leader := d.apply(v)
		if leader < 0 {
			continue
		}
		l := f.loops[leader]
		if l == nil {
			l = newLoop(f, leader)
			f.loops[leader] = l
			started = append(started, l)
		}
		l.feeds = append(l.feeds, d)
	}
	for _, l := range f.loops {
		signal(l.wake)
	}
	return started
}

// signal wakes whoever waits on c, now or next.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
