package window

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"

	"github.com/windrow-io/windrow/pkg/record"
)

// never is before every moment.
const never = math.MinInt64

// Lane is what its owner knows of a lane when a Step is made (Machine.Lanes).
type Lane struct {
	Topic     string
	Partition int32
	AtEnd     bool // the Step leaves nothing of the source unread, as far as is known
	Got       bool // the Step has records of it
}

// watermark is the time that events have reached: nothing that happened before is waited for.
//
// Each lane has a mark: its greatest event time less the delay, and the time of the system that has passed since then
// while the lane was read to the source's end. The watermark is the least mark of the lanes that hold it back: those not
// read to the end, since what they hold may be old; and those that had records not long ago. If none does it is the
// greatest mark. It never goes back.
type watermark struct {
	delay, idle, future int64 // milliseconds

	value int64
	at    int64 // of the last Step
	lanes []laneMark
	last  int // index of the lane looked up last
	hold  int // index of the lane whose mark is the least of those that hold the watermark back; -1: not known
}

type laneMark struct {
	topic     string
	partition int32
	base      int64 // its mark at the end of the last Step
	fresh     int64 // … by the records of this Step
	active    int64 // the last Step that had records of it
	was       bool  // at the end after the last Step
	atEnd     bool  // after this Step
	got       bool  // this Step has records of it
	named     bool  // in set
}

func (l *laneMark) compare(m *laneMark) int {
	return cmp.Or(cmp.Compare(l.topic, m.topic), cmp.Compare(l.partition, m.partition))
}

func (l *laneMark) mark() int64 { return max(l.base, l.fresh) }

// holds reports whether the lane holds the watermark back at the moment at.
func (w *watermark) holds(l *laneMark, at int64) bool {
	return !l.atEnd || l.got || l.active != never && at-l.active < w.idle
}

// set takes what is known of the lanes. Lanes of one partition (a topic that was made again) count as one; those not named
// are no more.
func (w *watermark) set(lanes []Lane) {
	w.hold = -1
	for i := range w.lanes {
		l := &w.lanes[i]
		l.atEnd, l.got, l.named = true, false, false
	}
	named := 0
	for i := range lanes {
		l := w.lane(lanes[i].Topic, lanes[i].Partition)
		l.atEnd = l.atEnd && lanes[i].AtEnd
		l.got = l.got || lanes[i].Got
		if !l.named {
			l.named = true
			named++
		}
	}
	if named < len(w.lanes) {
		w.lanes = slices.DeleteFunc(w.lanes, func(l laneMark) bool { return !l.named })
		w.last = 0
	}
}

// lane returns the lane of a partition; one that is new counts as read to its end.
func (w *watermark) lane(topic string, partition int32) *laneMark {
	for range w.lanes { // they come in order, or again and again
		if l := &w.lanes[w.last]; l.partition == partition && l.topic == topic {
			return l
		}
		if w.last++; w.last == len(w.lanes) {
			w.last = 0
		}
	}
	n := laneMark{topic: topic, partition: partition, base: never, fresh: never, active: never, atEnd: true}
	i, _ := slices.BinarySearchFunc(w.lanes, n, func(a, b laneMark) int { return a.compare(&b) })
	w.lanes = slices.Insert(w.lanes, i, n)
	w.hold, w.last = -1, i
	return &w.lanes[i]
}

// see takes the event time of a record that is read at the moment now, and reports whether the watermark rose. A record
// too far in the future moves nothing.
func (w *watermark) see(r *record.Record, event, now int64) (rose, future bool) {
	l := w.lane(r.Topic, r.Partition)
	if !l.got {
		l.got, w.hold = true, -1
	}
	if event-now > w.future {
		return false, true
	}
	m := event - w.delay
	if m <= l.mark() {
		return false, false
	}
	l.fresh = m
	if w.hold >= 0 && l != &w.lanes[w.hold] {
		return false, false
	}
	return w.rise(now), false
}

// rise lets the watermark rise to where the lanes allow it.
func (w *watermark) rise(at int64) bool {
	w.hold = -1
	least, greatest := int64(math.MaxInt64), int64(never)
	for i := range w.lanes {
		l := &w.lanes[i]
		m := l.mark()
		greatest = max(greatest, m)
		if w.holds(l, at) && m < least {
			least, w.hold = m, i
		}
	}
	if w.hold < 0 {
		least = greatest
	}
	if least <= w.value {
		return false
	}
	w.value = least
	return true
}

// pass ends a Step: the time that has passed moves the lanes that were at the end, and still are.
func (w *watermark) pass(now int64) {
	for i := range w.lanes {
		l := &w.lanes[i]
		if l.was && l.atEnd && l.base != never {
			l.base += now - w.at
		}
		l.base, l.fresh = l.mark(), never
		if l.got {
			l.active = now
		}
		l.was, l.got = l.atEnd, false
	}
	w.at = now
	w.rise(now)
}

// reaches is when time alone lets the watermark reach the moment, or changes which lanes hold it back; 0: it does not.
func (w *watermark) reaches(moment int64) int64 {
	least, greatest, idle := int64(math.MaxInt64), int64(never), int64(math.MaxInt64)
	for i := range w.lanes {
		l := &w.lanes[i]
		if !l.was {
			return 0
		}
		m := l.mark()
		greatest = max(greatest, m)
		if w.holds(l, w.at) {
			least = min(least, m)
			idle = min(idle, l.active+w.idle)
		}
	}
	if least == math.MaxInt64 {
		least = greatest
	}
	if len(w.lanes) == 1 {
		idle = math.MaxInt64 // it alone counts, idle or not
	}
	if least == never {
		if idle == math.MaxInt64 {
			return 0
		}
		return max(idle, w.at+1)
	}
	at := w.at + moment - least
	return max(min(at, idle), w.at+1)
}

func (w *watermark) snapshot(dst []byte) []byte {
	dst = appendMoment(dst, w.value)
	dst = binary.AppendVarint(dst, w.at)
	dst = binary.AppendUvarint(dst, uint64(len(w.lanes)))
	for i := range w.lanes {
		l := &w.lanes[i]
		dst = appendText(dst, l.topic)
		dst = binary.AppendVarint(dst, int64(l.partition))
		dst = appendMoment(dst, l.base)
		dst = appendMoment(dst, l.active)
		var flags byte
		if l.was {
			flags = 1
		}
		dst = append(dst, flags)
	}
	return dst
}

func (w *watermark) restore(r *reader) {
	w.value, w.at = r.moment(), r.time()
	for range r.count() {
		l := laneMark{topic: string(r.text()), partition: int32(r.varint()), base: r.moment(), active: r.moment(), fresh: never}
		flags := r.byte()
		if l.was = flags == 1; flags > 1 {
			r.fail()
		}
		l.atEnd = l.was
		if n := len(w.lanes); n > 0 && w.lanes[n-1].compare(&l) >= 0 {
			r.fail()
		}
		if r.err != nil {
			return
		}
		w.lanes = append(w.lanes, l)
	}
}

// appendMoment appends a moment that may be none.
func appendMoment(dst []byte, ms int64) []byte {
	if ms == never {
		return append(dst, 0)
	}
	return binary.AppendVarint(append(dst, 1), ms)
}

func (r *reader) moment() int64 {
	switch r.byte() {
	case 0:
		return never
	case 1:
		return r.time()
	}
	r.fail()
	return 0
}
