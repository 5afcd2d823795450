package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/windrow-io/windrow/pkg/buffer"
)

// redisServer is the Redis of a round: the given one, or a redis-server of its own.
type redisServer struct {
	url    string
	client redis.UniversalClient
	server *part  // nil: it was given
	dir    string // of the server
}

// openRedis connects to the Redis at the URL; without one it starts a redis-server, which keeps nothing on disk.
func openRedis(ctx context.Context, url string) (_ *redisServer, err error) {
	r := &redisServer{url: url}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if url == "" {
		if err := r.start(); err != nil {
			return nil, err
		}
	}
	if r.client, err = buffer.Client(r.url); err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	if r.server == nil {
		if err := r.client.Ping(ctx).Err(); err != nil {
			return nil, fmt.Errorf("REDIS_URL: %w", err)
		}
		return r, nil
	}
	return r, until(ctx, "redis-server", func() (bool, error) {
		return r.client.Ping(ctx).Err() == nil, r.server.failed()
	})
}

func (r *redisServer) start() error {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("REDIS_URL is not set, and there is no redis-server to start: set it, or install Redis (7.0 or newer)")
	}
	addr, err := freeAddress()
	if err != nil {
		return err
	}
	if r.dir, err = os.MkdirTemp("", "windrow-bench"); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	r.server, err = startPart("redis-server", []string{program, "--bind", host, "--port", port, "--dir", r.dir, "--save", "", "--appendonly", "no"}, nil)
	r.url = "redis://" + addr
	return err
}

func (r *redisServer) close() {
	if r.client != nil {
		r.client.Close()
	}
	if r.server != nil {
		r.server.kill() // it has nothing to save
	}
	if r.dir != "" {
		os.RemoveAll(r.dir)
	}
}

// each visits the masters.
func (r *redisServer) each(ctx context.Context, visit func(context.Context, *redis.Client) error) error {
	switch c := r.client.(type) {
	case *redis.ClusterClient:
		var one sync.Mutex // the client visits them at the same time
		return c.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
			one.Lock()
			defer one.Unlock()
			return visit(ctx, c)
		})
	case *redis.Client:
		return visit(ctx, c)
	}
	return fmt.Errorf("a Redis client of an unknown kind, %T", r.client)
}

// info is the sum over the masters of fields of INFO.
func (r *redisServer) info(ctx context.Context, section string, fields ...string) (sum float64, err error) {
	return sum, r.each(ctx, func(ctx context.Context, c *redis.Client) error {
		text, err := c.Info(ctx, section).Result()
		if err != nil {
			return err
		}
		for _, f := range fields {
			v, err := field(text, f)
			if err != nil {
				return err
			}
			n, err := strconv.ParseFloat(v, 64)
			if err != nil {
				return err
			}
			sum += n
		}
		return nil
	})
}

func field(info, name string) (string, error) {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return v, nil
		}
	}
	return "", fmt.Errorf("redis tells nothing of %s", name)
}

// cpu is the processor time that the servers have used since they started, whoever they worked for.
func (r *redisServer) cpu(ctx context.Context) (time.Duration, error) {
	seconds, err := r.info(ctx, "cpu", "used_cpu_sys", "used_cpu_user")
	return time.Duration(seconds * 1e9), err
}

// version is that of one of the servers.
func (r *redisServer) version(ctx context.Context) (v string, err error) {
	return v, r.each(ctx, func(ctx context.Context, c *redis.Client) error {
		text, err := c.Info(ctx, "server").Result()
		if err != nil {
			return err
		}
		v, err = field(text, "redis_version")
		return err
	})
}

// watchPeak watches how much memory the servers use until it is asked for the peak. Their own record of it counts if it
// was broken meanwhile: it may be from before.
func (r *redisServer) watchPeak(ctx context.Context) (peak func() (int64, error), err error) {
	before, err := r.info(ctx, "memory", "used_memory_peak")
	if err != nil {
		return nil, err
	}
	watching, end := context.WithCancel(ctx)
	seen := make(chan float64, 1)
	go func() {
		most := 0.0
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			if now, err := r.info(watching, "memory", "used_memory"); err == nil {
				most = max(most, now)
			}
			select {
			case <-tick.C:
			case <-watching.Done():
				seen <- most
				return
			}
		}
	}()
	return func() (int64, error) {
		end()
		most := <-seen
		after, err := r.info(ctx, "memory", "used_memory_peak")
		if after > before {
			most = after
		}
		return int64(most), err
	}, nil
}

// forget deletes a stream's keys.
func (r *redisServer) forget(ctx context.Context, stream string) error {
	return r.each(ctx, func(ctx context.Context, c *redis.Client) error {
		for _, pattern := range []string{"windrow:" + stream + "*", "windrow:{" + stream + "/*"} {
			keys := c.Scan(ctx, 0, pattern, 1000).Iterator()
			for keys.Next(ctx) {
				if err := c.Unlink(ctx, keys.Val()).Err(); err != nil {
					return err
				}
			}
			if err := keys.Err(); err != nil {
				return err
			}
		}
		return nil
	})
}
