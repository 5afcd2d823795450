package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// pipeline is Windrow at work: ingest and workers on a buffer of a round's own.
type pipeline struct {
	b       *bench
	stream  string
	out     output
	redis   *redisServer
	before  time.Duration // processor time of Redis
	peak    func() (int64, error)
	parts   []*part
	profile sync.WaitGroup
}

// openPipeline makes the output and the buffer ready. Nothing runs yet.
func (b *bench) openPipeline(ctx context.Context, s *Series, stream string) (_ *pipeline, err error) {
	l := &pipeline{b: b, stream: stream, out: b.output(s, stream+".out")}
	defer func() {
		if err != nil {
			l.close(ctx)
		}
	}()
	if err := l.out.create(ctx); err != nil {
		return nil, err
	}
	if l.redis, err = openRedis(ctx, b.RedisURL); err != nil {
		return nil, err
	}
	if l.before, err = l.redis.cpu(ctx); err != nil {
		return nil, err
	}
	l.peak, err = l.redis.watchPeak(ctx)
	return l, err
}

func (l *pipeline) start(name, program string, settings ...string) error {
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	environ := append(l.b.Environ[:len(l.b.Environ):len(l.b.Environ)], "STREAM="+l.stream, "REDIS_URL="+l.redis.url, "LOG_LEVEL=warn", "PPROF=true", "HTTP_ADDR="+addr)
	p, err := startPart(name, append(l.b.Programs[:len(l.b.Programs):len(l.b.Programs)], program), append(environ, settings...))
	if err != nil {
		return err
	}
	p.url = "http://" + addr
	l.parts = append(l.parts, p)
	if l.b.Profile != "" {
		l.profile.Go(func() { l.take(p, "/debug/pprof/profile?seconds=10", "cpu.pprof") })
	}
	return nil
}

// startIngest starts ingest on a topic.
func (l *pipeline) startIngest(topic string, settings ...string) error {
	return l.start("ingest", "ingest", append([]string{"KAFKA_TOPICS=" + topic}, settings...)...)
}

// startWorkers starts the workers.
func (l *pipeline) startWorkers(s *Series) error {
	for i := range s.Workers {
		name := fmt.Sprintf("process-%d", i+1)
		settings := append(s.shape.settings(s.Params), "PIPELINE="+l.stream, "JOURNAL_TOPIC="+l.stream+".journal", "WORKER="+name)
		settings = append(settings, l.out.settings()...)
		if err := l.start(name, "process", settings...); err != nil {
			return err
		}
	}
	return nil
}

func (l *pipeline) workers() []*part { return l.parts[1:] }

// failed is an error if a program has ended.
func (l *pipeline) failed() error {
	for _, p := range l.parts {
		if err := p.failed(); err != nil {
			return err
		}
	}
	return nil
}

// cpu is the processor time that each program has used so far, Redis last.
func (l *pipeline) cpu(ctx context.Context) (all []Use, err error) {
	for _, p := range l.parts {
		t, err := cpuTime(p.pid())
		if err != nil {
			return nil, err
		}
		all = append(all, Use{Program: p.name, CPU: t.Seconds()})
	}
	t, err := l.redis.cpu(ctx)
	return append(all, Use{Program: "redis", CPU: (t - l.before).Seconds()}), err
}

// add adds memory and allocations, for so many records, to what cpu returned, whose seconds become those per million.
func (l *pipeline) add(ctx context.Context, uses []Use, records int) (err error) {
	for i, p := range l.parts {
		m, err := p.metrics(ctx)
		if err != nil {
			return err
		}
		u := &uses[i]
		u.Allocs, u.AllocBytes = m["go_memstats_mallocs_total"]/float64(records), m["go_memstats_alloc_bytes_total"]/float64(records)
		if u.Peak, err = peakMemory(p.pid()); err != nil {
			return err
		}
	}
	for i := range uses {
		uses[i].CPU *= 1e6 / float64(records)
	}
	uses[len(l.parts)].Peak, err = l.peak()
	return err
}

// wait waits until so many windows are in the output, all committed, and returns when that was and what each program had
// used by then. Asking the programs costs them processor time, and reading the output costs it everybody: its size
// tells first when it is worth while.
func (l *pipeline) wait(ctx context.Context, windows int) (done time.Time, used []Use, err error) {
	what := fmt.Sprintf("%d windows", windows)
	err = until(ctx, what, func() (bool, error) {
		n, err := l.out.some(ctx)
		return n >= windows, errors.Join(err, l.failed()) // markers count as well
	})
	if err != nil {
		return done, nil, err
	}
	err = until(ctx, what+" to be emitted", func() (bool, error) {
		n, err := l.metric(ctx, "windrow_process_windows_total")
		return int(n) >= windows, err
	})
	if err != nil {
		return done, nil, err
	}
	err = until(ctx, "the last transaction", func() (bool, error) {
		if err := l.out.settled(ctx); err != nil {
			return false, errors.Join(err, l.failed())
		}
		done = time.Now()
		if used, err = l.cpu(ctx); err != nil {
			return false, err
		}
		n, err := l.out.count(ctx) // between two transactions nothing is undecided either
		return n >= windows, errors.Join(err, l.failed())
	})
	return done, used, err
}

// metric is the sum of a metric over the workers.
func (l *pipeline) metric(ctx context.Context, name string) (sum float64, err error) {
	for _, p := range l.workers() {
		m, err := p.metrics(ctx)
		if err != nil {
			return 0, errors.Join(err, l.failed())
		}
		sum += m[name]
	}
	return sum, nil
}

// stop ends the programs in good order.
func (l *pipeline) stop() (err error) {
	l.profile.Wait()
	if l.b.Profile != "" {
		for _, p := range l.parts {
			l.take(p, "/debug/pprof/heap", "heap.pprof")
			l.take(p, "/metrics", "metrics.txt")
		}
	}
	for _, p := range l.parts {
		err = errors.Join(err, p.stop())
	}
	return err
}

// close ends what still runs and deletes what the round has left.
func (l *pipeline) close(ctx context.Context) {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for _, p := range l.parts {
		p.kill()
	}
	if l.redis != nil {
		if err := l.redis.forget(clean, l.stream); err != nil {
			l.b.Progress("keys of stream %s are left in Redis: %v", l.stream, err)
		}
		l.redis.close()
	}
	if err := errors.Join(l.out.drop(clean), l.b.kafka.forget(clean, l.stream)); err != nil {
		l.b.Progress("what begins with %s is not deleted yet: %v", l.stream, err)
	}
}

// take writes a page of a program into the folder for profiles, as soon as its server answers.
func (l *pipeline) take(p *part, page, file string) {
	ctx := context.Background()
	var body []byte
	err := until(ctx, p.name+page, func() (bool, error) {
		var err error
		body, err = p.get(ctx, page)
		return err == nil, p.failed()
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(l.b.Profile, l.stream+"-"+p.name+"-"+file), body, 0o600)
	}
	if err != nil {
		l.b.Progress("no profile: %v", err)
	}
}
