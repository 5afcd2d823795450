package journal

import (
	"errors"
	"fmt"
	"math/rand"
	"sync/atomic"
	"testing"

	"github.com/windrow-io/windrow/e2e/lab"
	"github.com/windrow-io/windrow/internal/wire"
	"github.com/windrow-io/windrow/pkg/journal"
)

// behindFrames is a Kafka of the test's own that all clients reach through the proxy only.
func behindFrames(t *testing.T) (*lab.KafkaServer, *frames) {
	t.Helper()
	proxy := newFrames(t)
	k := lab.Kafka(t, lab.NotStarted(), lab.Property("broker.session.timeout.ms", "30000"), lab.Property("advertised.listeners", "PLAINTEXT://"+proxy.addr))
	proxy.target = k.Addr
	k.Start(t)
	return k, proxy
}

// A call whose request or reply is lost on its way, at each call of a transaction: what Commit says is true, and Take tells
// the rest.
func TestLostOnTheWay(t *testing.T) {
	t.Parallel()
	k, proxy := behindFrames(t)
	for _, c := range []struct {
		api       int
		fate      fate
		committed bool
		want      error
	}{
		{apiEnd, replyLost, true, journal.ErrUnknown},
		{apiEnd, neverComes, false, journal.ErrUnknown},
		{apiProduce, replyLost, false, nil},
		{apiProduce, neverComes, false, nil},
		{apiAdd, replyLost, false, nil},
		{apiAdd, neverComes, false, nil},
	} {
		t.Run(fmt.Sprintf("call-%d-fate-%d", c.api, c.fate), func(t *testing.T) {
			ctx := t.Context()
			p := newPipeline(t, k, journal.Options{})
			o, _ := p.take("t/0", 0)
			must(t, o.Commit(ctx, []wire.Batch{p.output(0, "before")}, []journal.Decision{decision(1)}, 0))
			var hit atomic.Int32
			proxy.set(func(api int) fate {
				if api == c.api && hit.Add(1) == 1 {
					return c.fate
				}
				return pass
			})
			err := o.Commit(ctx, []wire.Batch{p.output(0, "lost")}, []journal.Decision{decision(2)}, 0)
			proxy.set(nil)
			if err == nil || errors.Is(err, journal.ErrUnknown) != (c.want == journal.ErrUnknown) || !wire.Retry(err) {
				t.Fatalf("got %v", err)
			}
			if n := hit.Load(); n != 1 {
				t.Fatalf("the call was sent %d times", n)
			}
			o, h := p.take("t/0", 0)
			want, wrote := &journal.History{Decisions: []journal.Decision{decision(1)}}, []string{"before"}
			if c.committed {
				want.Decisions = append(want.Decisions, decision(2))
				wrote = append(wrote, "lost")
			}
			wantHistory(t, h, want)
			must(t, o.Commit(ctx, []wire.Batch{p.output(0, "after")}, []journal.Decision{decision(3)}, 0))
			p.wantWritten(append(wrote, "after")...)
		})
	}
}

// Fifty times the owner is cut off at a random request, which arrives or does not; the next owner goes on from what it
// reads back. In the end the output is what the journal says, each window once.
func TestCrashPoints(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	k, proxy := behindFrames(t)
	p := newPipeline(t, k, journal.Options{})
	random := rand.New(rand.NewSource(42))
	var written []string // that must be in the output
	var base *journal.Checkpoint
	var decisions []journal.Decision // behind base
	known, unknown := int64(0), 0
	for crash := range 50 {
		hint := int64(0)
		if base != nil && crash%2 == 0 {
			hint = base.Offset
		}
		o, h := p.take("t/0", hint)
		wantHistory(t, h, &journal.History{Checkpoint: base, Decisions: decisions})
		left := int32(1 + random.Intn(20)) // requests until the crash
		how := fate(1 + random.Intn(2))
		proxy.set(func(api int) fate {
			if api != apiAdd && api != apiProduce && api != apiEnd {
				return pass
			}
			if n := atomic.AddInt32(&left, -1); n == 0 {
				return how
			} else if n < 0 {
				return neverComes
			}
			return pass
		})
		for {
			d := decision(known + 1)
			value := fmt.Sprintf("window %04d", d.K)
			var err error
			var c *journal.Checkpoint
			if random.Intn(4) == 0 {
				c = checkpoint(known, make([]byte, random.Intn(2<<20)))
				random.Read(c.State)
				err = o.Checkpoint(ctx, c)
			} else {
				err = o.Commit(ctx, []wire.Batch{p.output(random.Intn(outputs), value), p.output(random.Intn(outputs), value+" too")}, []journal.Decision{d}, 0)
			}
			if err != nil {
				proxy.set(nil)
				if errors.Is(err, journal.ErrFenced) {
					t.Fatalf("crash %d: %v", crash, err)
				}
				if !errors.Is(err, journal.ErrUnknown) {
					break // not committed, for good
				}
				unknown++
				if how != replyLost {
					break
				}
				// Delivered, the reply lost: the journal is to say that it was committed.
			}
			if c != nil {
				base, decisions = c, nil
				if err != nil {
					_, h := p.take("t/0", 0)
					if h.Checkpoint == nil {
						t.Fatalf("crash %d: the checkpoint is not there", crash)
					}
					base.Offset = h.Checkpoint.Offset
				}
			} else {
				known++
				decisions = append(decisions, d)
				written = append(written, value, value+" too")
			}
			if err != nil {
				break
			}
		}
	}
	t.Logf("%d decisions, %d outcomes unknown", known, unknown)
	if unknown == 0 || known < 50 {
		t.Error("the crashes are not where they should be")
	}
	p.wantWritten(written...)
}
