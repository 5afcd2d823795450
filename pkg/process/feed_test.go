package process

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/windrow-io/windrow/pkg/buffer"
	"github.com/windrow-io/windrow/pkg/record"
	"github.com/windrow-io/windrow/pkg/source"
)

// fakeLane is a lane in a buffer that forgets: entries may be cut away, the group may run ahead of the reader.
type fakeLane struct {
	entries  []buffer.Entry
	tail     int64
	group    int // entries before it were given to the group
	rescan   bool
	at       int // where a scan stands
	nextSeq  int64
	appended int64
}

type fakeBuffer struct {
	name  string // of the lane
	lane  *fakeLane
	turns []buffer.Turn // two alternate: what a turn aliases is overwritten by the next
}

func (f *fakeBuffer) AddLane(string) { f.lane.rescan, f.lane.at = true, 0 }
func (f *fakeBuffer) Rescan(string)  { f.lane.rescan, f.lane.at = true, 0 }
func (f *fakeBuffer) Release()       {}
func (f *fakeBuffer) Close() error   { return nil }
func (f *fakeBuffer) batch(from, to int64) []byte {
	var raw []byte
	for from < to {
		var b record.Builder
		n := min(to-from, 3)
		for i := range n {
			b.Add(1, nil, []byte(fmt.Sprint(from+i)))
		}
		sealed, err := b.Seal(record.Producer{ID: -1, Epoch: -1}, -1, false, record.None)
		if err != nil {
			panic(err)
		}
		one := append([]byte(nil), sealed...)
		for i := range 8 {
			one[i] = byte(uint64(from) >> (56 - 8*i))
		}
		raw = append(raw, one...)
		from += n
	}
	return raw
}

func (f *fakeBuffer) append(n int64) {
	l := f.lane
	l.nextSeq++
	l.entries = append(l.entries, buffer.Entry{Ms: 1000, Seq: l.nextSeq, From: l.tail, Next: l.tail + n, Bytes: l.appended, Batches: f.batch(l.tail, l.tail+n)})
	l.appended += int64(len(l.entries[len(l.entries)-1].Batches))
	l.tail += n
}

func (f *fakeBuffer) Read(_ context.Context, _ time.Duration, count int) (*buffer.Turn, error) {
	l := f.lane
	lt := buffer.LaneTurn{Lane: f.name, Tail: l.tail, High: l.tail, Rescan: l.rescan}
	at := &l.group
	if l.rescan {
		at = &l.at
	}
	*at = min(*at, len(l.entries))
	end := min(*at+count, len(l.entries))
	for _, e := range l.entries[*at:end] {
		e.Batches = append([]byte(nil), e.Batches...)
		lt.Entries = append(lt.Entries, e)
	}
	*at = end
	lt.Cut = end < len(l.entries)
	if l.rescan && !lt.Cut {
		l.rescan = false
	}
	for _, old := range f.turns {
		for i := range old.Lanes {
			for j := range old.Lanes[i].Entries {
				clear(old.Lanes[i].Entries[j].Batches) // what was read before is no longer valid
			}
		}
	}
	f.turns = []buffer.Turn{{Now: 2000, Lanes: []buffer.LaneTurn{lt}}}
	return &f.turns[0], nil
}

type fakeSource struct {
	f     *fakeBuffer
	start int64
	reads int
}

func (s *fakeSource) Read(_ context.Context, p source.Range, buf []byte) ([]byte, int64, error) {
	s.reads++
	if p.From < s.start {
		return nil, p.From, &source.LostError{TopicPartition: p.TopicPartition, From: p.From, To: min(s.start, p.To)}
	}
	// Whole batches, beginning before and ending beyond what was asked for.
	from := max(p.From-p.From%3, s.start)
	to := min(p.To, p.From+5)
	return append(buf[:0], s.f.batch(from, to+2)...), to, nil
}

func newFeed(t *testing.T) (*feed, *fakeBuffer, *fakeSource) {
	b := &fakeBuffer{name: "t/0", lane: &fakeLane{}}
	src := &fakeSource{f: b}
	f := &feed{reader: b, refill: src, log: zap.NewNop(), count: firstCount, clock: &clock{},
		gone: func(_ string, _, to int64) (int64, error) { return to, nil }, id: func(context.Context, string) source.ID { return source.ID{} },
		undec: func(r *record.Record, err error) { t.Errorf("undecodable at %d: %v", r.Offset, err) }}
	if err := f.add("t/0", 0, true); err != nil {
		t.Fatal(err)
	}
	return f, b, src
}

// drain takes all that was read and checks that it goes on at *next without gap.
func drain(t *testing.T, f *feed, next *int64) {
	t.Helper()
	l := f.lanes[0]
	for r := range f.records(l, l.read, nil) {
		if r.Offset != *next {
			t.Fatalf("offset %d came after %d", r.Offset, *next-1)
		}
		if want := fmt.Sprint(r.Offset); string(r.Value) != want {
			t.Fatalf("offset %d holds %q", r.Offset, r.Value)
		}
		*next++
	}
	if l.taken != *next {
		t.Fatalf("position %d after the record %d", l.taken, *next-1)
	}
	f.drop()
}

// A feed gives every record once, in order, whatever the buffer forgets and wherever the group stands.
func TestFeedHasNoGaps(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		f, b, src := newFeed(t)
		var next int64
		for range 60 {
			switch rnd.IntN(8) {
			case 0, 1, 2:
				b.append(1 + rnd.Int64N(7))
			case 3: // entries are cut away, read or not
				n := rnd.IntN(len(b.lane.entries) + 1)
				b.lane.entries = b.lane.entries[n:]
				b.lane.group, b.lane.at = max(b.lane.group-n, 0), max(b.lane.at-n, 0)
			case 4: // a zombie's read moves the group
				b.lane.group = rnd.IntN(len(b.lane.entries) + 1)
			case 5: // Redis is emptied; ingest goes on where it was
				if rnd.IntN(3) == 0 {
					b.lane.entries, b.lane.group, b.lane.at = nil, 0, 0
				}
			default:
				if _, err := f.fill(context.Background(), 0); err != nil {
					t.Fatal(err)
				}
				drain(t, f, &next)
			}
		}
		for i := 0; next < b.lane.tail; i++ {
			if i > 1000 {
				t.Fatalf("seed %d: stuck at %d of %d", seed, next, b.lane.tail)
			}
			if _, err := f.fill(context.Background(), 0); err != nil {
				t.Fatal(err)
			}
			drain(t, f, &next)
		}
		_ = src
	}
}

// In a replay what was read stays until it is taken, however many reads come between, and is taken piece by piece.
func TestFeedReplaysAcrossEntryBorders(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		f, b, _ := newFeed(t)
		for b.lane.tail < 100 {
			b.append(1 + rnd.Int64N(9))
		}
		f.keep = true
		var next int64
		l := f.lanes[0]
		for next < 100 {
			to := min(next+1+rnd.Int64N(20), 100)
			for l.read < to {
				if _, err := f.fill(context.Background(), 0); err != nil {
					t.Fatal(err)
				}
			}
			for r := range f.records(l, to, nil) {
				if r.Offset != next || string(r.Value) != fmt.Sprint(next) {
					t.Fatalf("seed %d: offset %d with %q, want %d", seed, r.Offset, r.Value, next)
				}
				next++
			}
			if next != to || l.taken != to {
				t.Fatalf("seed %d: took up to %d, position %d, want %d", seed, next, l.taken, to)
			}
		}
	}
}

// What source and buffer have both lost is passed over, and said.
func TestFeedSaysWhatIsLost(t *testing.T) {
	f, b, src := newFeed(t)
	var lost [][2]int64
	f.gone = func(_ string, from, to int64) (int64, error) {
		lost = append(lost, [2]int64{from, to})
		return to, nil
	}
	b.lane.tail = 10
	src.start = 6
	b.append(4)
	next := int64(6)
	f.lanes[0].read, f.lanes[0].taken = 0, 0
	for i := 0; f.lanes[0].taken < 14; i++ {
		if i > 20 {
			t.Fatalf("stuck at %d", f.lanes[0].taken)
		}
		if _, err := f.fill(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		for r := range f.records(f.lanes[0], f.lanes[0].read, nil) {
			if r.Offset != next {
				t.Fatalf("offset %d, want %d", r.Offset, next)
			}
			next++
		}
	}
	if len(lost) != 1 || lost[0] != [2]int64{0, 6} || f.losses != 1 {
		t.Errorf("said to be lost: %v (%d losses), want [0, 6)", lost, f.losses)
	}
}

// A source that is away is an error: the owner comes back later.
func TestFeedPassesTheSourcesErrors(t *testing.T) {
	f, b, _ := newFeed(t)
	away := errors.New("away")
	f.refill = refillFunc(func() error { return away })
	b.lane.tail = 10
	var err error
	for range 5 {
		if _, err = f.fill(context.Background(), 0); err != nil {
			break
		}
	}
	if !errors.Is(err, away) {
		t.Errorf("got %v", err)
	}
}

type refillFunc func() error

func (f refillFunc) Read(_ context.Context, p source.Range, _ []byte) ([]byte, int64, error) {
	return nil, p.From, f()
}

// A lane is read to its end only if nothing says that the source has more: idle is not the same as nothing to read.
func TestWhetherALaneIsAtItsEnd(t *testing.T) {
	end := lane{joined: true, read: 10, tail: 10, high: 10}
	for _, c := range []struct {
		name  string
		alter func(l *lane)
		want  bool
	}{
		{"read to the end", func(*lane) {}, true},
		{"not joined yet", func(l *lane) { l.joined = false }, false},
		{"the last read was cut off", func(l *lane) { l.cut = true }, false},
		{"something was missed", func(l *lane) { l.rescan = true }, false},
		{"it is being refilled", func(l *lane) { l.refillTo = 11 }, false},
		{"the buffer has more", func(l *lane) { l.tail, l.high = 11, 11 }, false},
		{"the source has more than the buffer", func(l *lane) { l.high = 11 }, false},
		{"nothing is known of the source", func(l *lane) { l.tail, l.high = -1, -1 }, false},
		{"direct, read", func(l *lane) { l.direct, l.tail, l.high = true, -1, -1 }, true},
		{"direct, cut off", func(l *lane) { l.direct, l.cut = true, true }, false},
	} {
		l := end
		if c.alter(&l); l.atEnd() != c.want {
			t.Errorf("%s: %v", c.name, !c.want)
		}
	}
}

// A replay reads what it needs from the buffer, also when more lies before it there than one read brings: of the direct lane
// nothing else has it.
func TestReplayPassesOverWhatWasProcessed(t *testing.T) {
	for _, name := range []string{"t/0", buffer.DirectLane} {
		f, b, src := newFeed(t)
		f.lanes, f.keep = nil, true
		f.gone = func(lane string, from, to int64) (int64, error) {
			t.Errorf("lane %s: [%d, %d) is said to be lost", lane, from, to)
			return to, nil
		}
		b.name = name
		for range 5 * firstCount {
			b.append(3)
		}
		done := b.lane.tail - 6
		if err := f.add(name, done, true); err != nil {
			t.Fatal(err)
		}
		o := &owner{feed: f}
		if err := o.read(t.Context(), name, done+3); err != nil {
			t.Fatal(err)
		}
		if l := f.lanes[0]; l.read < done+3 || src.reads > 0 {
			t.Errorf("lane %s: read up to %d, %d times from the source; up to %d were in the buffer", name, l.read, src.reads, b.lane.tail)
		}
	}
}
