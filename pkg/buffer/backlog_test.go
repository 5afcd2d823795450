package buffer

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/windrow-io/windrow/internal/await"
)

// The direct lane's budget refuses what Append would add, and shows what others have added. Nothing that is in the lane goes
// before every pipeline has processed it; then there is room again.
func TestDirectBudget(t *testing.T) {
	both(t, func(t *testing.T, b *Buffer, c *redis.Client) {
		ctx := t.Context()
		b.budget.max = 256 << 10
		key := b.laneKey(Direct, DirectLane)
		record := bytes.Repeat([]byte("x"), 1000)
		length := func() int64 { return must1(c.XLen(ctx, key).Result())(t) }
		noError(t, b.Enroll(ctx, "p"))
		noError(t, b.Enroll(ctx, "q"))

		var err error
		appended := int64(0)
		for ; err == nil && appended < 1000; appended++ {
			err = b.Append(ctx, record)
		}
		appended-- // the last one was refused
		if !errors.Is(err, ErrDirectFull) || appended < 100 || appended > 256 {
			t.Fatalf("%d records of 1000 bytes were taken, then: %v", appended, err)
		}
		equal(t, length(), appended)
		for _, words := range []string{"DIRECT_MAX_BYTES", "does not run", "HDEL 'windrow:{s/direct}:trim' 'p direct/0'"} {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("the error does not say %q: %v", words, err)
			}
		}

		// Of other clients nothing is refused, and nothing lost.
		for range 300 {
			noError(t, c.XAdd(ctx, &redis.XAddArgs{Stream: key, Values: []any{"data", record}}).Err())
		}
		equal(t, length(), appended+300)
		l := must1(b.Backlog(ctx))(t)
		if !errors.Is(l.Full(), ErrDirectFull) || l.Bytes < (appended+300)*1000 || l.Records != appended+300 || l.Lag["p"] <= 0 || l.Lag["q"] <= 0 {
			t.Errorf("%+v: %v", l, l.Full())
		}

		end := must1(b.DirectEnd(ctx))(t)
		publish := func(p string, position int64) {
			t.Helper()
			noError(t, b.Publish(ctx, p, Direct, []Mark{{Lane: DirectLane, Position: position}}, time.Minute, nil))
		}
		publish("p", end)
		equal(t, length(), appended+300)
		l = must1(b.Backlog(ctx))(t)
		if l.Lag["p"] != 0 || l.Lag["q"] <= 0 || !strings.Contains(l.Full().Error(), "pipeline q is") {
			t.Errorf("%+v: %v", l, l.Full())
		}
		publish("q", end)
		equal(t, length(), 0)
		equal(t, must1(b.Backlog(ctx))(t).Full(), nil)
		await.True(t, "there is room again", func() bool { return b.Append(ctx, record) == nil })
		equal(t, length(), 1)
	})
}

// A pipeline that was enrolled keeps what it has not processed, also while it does not run, and although nothing is known of
// its journal. Enrolling again takes nothing back.
func TestEnrolled(t *testing.T) {
	both(t, func(t *testing.T, b *Buffer, c *redis.Client) {
		ctx := t.Context()
		noError(t, b.Enroll(ctx, "q"))
		var ends []int64
		for range 4 {
			noError(t, b.Append(ctx, []byte("x")))
			ends = append(ends, must1(b.DirectEnd(ctx))(t))
		}
		length := func() int64 { return must1(c.XLen(ctx, b.laneKey(Direct, DirectLane)).Result())(t) }
		publish := func(p string, n int) {
			t.Helper()
			noError(t, b.Publish(ctx, p, Direct, []Mark{{Lane: DirectLane, Position: ends[n-1]}}, 0, nil)) // nobody else runs
		}
		publish("p", 4)
		equal(t, length(), 4)
		publish("q", 1)
		equal(t, length(), 3)
		noError(t, b.Enroll(ctx, "q"))
		publish("p", 4)
		equal(t, length(), 3)
		publish("q", 4)
		equal(t, length(), 0)
	})
}

// What is said of a full lane is what helps.
func TestFullSaysWhatHelps(t *testing.T) {
	full := func(l Backlog) string {
		l.Bytes, l.max, l.trimKey = 300<<20, 256<<20, "windrow:{s/direct}:trim"
		return l.Full().Error()
	}
	for words, l := range map[string]Backlog{
		"start one":      {},
		"add workers":    {first: "p", silent: time.Second, Lag: map[string]time.Duration{"p": time.Minute}},
		"does not run":   {first: "p", silent: time.Hour, Lag: map[string]time.Duration{"p": time.Hour}},
		"HDEL 'windrow:": {first: "p", Lag: map[string]time.Duration{"p": time.Hour}},
		"has a journal":  {first: "p", silent: time.Second, Lag: map[string]time.Duration{"p": 0}},
	} {
		if text := full(l); !strings.Contains(text, words) {
			t.Errorf("%+v: %q does not say %q", l, text, words)
		}
	}
	if err := (Backlog{Bytes: 1, max: 2}).Full(); err != nil {
		t.Error(err)
	}
}
