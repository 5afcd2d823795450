package chaos

import (
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/windrow-io/windrow/e2e/job"
	"github.com/windrow-io/windrow/e2e/lab"
)

// What happens to Redis.
var redisScenarios = []scenario{
	{
		name: "redis emptied", does: "Redis is killed (-9) and comes back empty; FLUSHALL; the lanes cut away", expects: exactlyOnce, short: true,
		play: func(r *run) {
			r.usual()
			r.load(
				fault{"kill -9 of Redis, back empty", func() { r.Redis.Kill(); r.Redis.Start(r.t) }},
				fault{"FLUSHALL", func() { r.Redis.FlushAll(r.t) }},
				fault{"FLUSHALL", func() { r.Redis.FlushAll(r.t) }},
				r.lanesCut(), r.lanesCut(),
			)
		},
	},
	{
		name: "redis connections", does: "connections to Redis cut, replies lost, Redis out of reach", expects: exactlyOnce, short: true,
		play: func(r *run) {
			r.usual()
			proxy := lab.NewProxy(r.t, r.Redis.Addr)
			r.Env = append(r.Env, "REDIS_URL=redis://"+proxy.Addr)
			r.load(cut(proxy), repliesLost(proxy), repliesLost(proxy), refused(proxy), repliesLost(proxy))
		},
	},
	{
		name: "redis failover", does: "a replica that lacks the newest writes becomes the primary, with the old one gone", expects: exactlyOnce, short: true,
		play: func(r *run) {
			r.usual()
			// The replica replicates through a proxy of its own, which cuts it off a while before it is promoted.
			link := lab.NewProxy(r.t, r.Redis.Addr)
			replica := lab.RedisReplica(r.t, link.Addr)
			proxy := lab.NewProxy(r.t, r.Redis.Addr)
			r.Env = append(r.Env, "REDIS_URL=redis://"+proxy.Addr)
			r.load(fault{"the replica is cut off for 2 s of load, then promoted", func() {
				replica.Synced(r.t)
				link.Refuse()
				r.more(2 * perSecond * partitions)
				r.failOver(replica, proxy)
			}})
		},
	},
	aofKilled("everysec"), aofKilled("always"),
	{
		name: "redis out of memory", does: "Redis is at maxmemory while the workers are paused; ingest waits; then they go on", expects: exactlyOnce,
		play: func(r *run) {
			const maxmemory = 12 << 20
			r.usual("--maxmemory", fmt.Sprint(maxmemory), "--maxmemory-policy", "noeviction")
			r.limitRedis(maxmemory * 1.1)
			r.load(fault{"the workers paused until Redis refuses writes", func() {
				r.named("worker 1").Pause(r.t)
				r.named("worker 2").Pause(r.t)
				r.says("ingest 1", "redis is full")
				r.named("worker 1").Resume(r.t)
				r.named("worker 2").Resume(r.t)
			}})
		},
	},
	{
		name: "redis disk full", does: "the append-only file of Redis can't grow: it refuses writes until there is room again", expects: exactlyOnce,
		play: func(r *run) {
			r.on(lab.Kafka(r.t), lab.RedisWithDisk(r.t, "everysec"))
			r.load(fault{"the disk is full, until ingest says so", func() {
				r.Redis.FillDisk(r.t)
				r.says("ingest 1", "MISCONF")
				r.Redis.FreeDisk(r.t)
			}})
		},
	},
	{
		name: "direct lane, failover", does: "programs append to the direct lane; a replica that lacks the newest records becomes the primary before they are read", expects: "what the replica lacks is lost; all else exactly once",
		play: func(r *run) {
			r.usual()
			link := lab.NewProxy(r.t, r.Redis.Addr)
			replica := lab.RedisReplica(r.t, link.Addr)
			replica.Synced(r.t)
			proxy := lab.NewProxy(r.t, r.Redis.Addr)
			r.Env = append(r.Env, "REDIS_URL=redis://"+proxy.Addr)
			r.sent = []int{0}
			client := redis.NewClient(&redis.Options{Addr: proxy.Addr, MaxRetries: -1})
			defer client.Close()
			appends := func(n int) {
				for range n {
					r.Append(client, "*", job.Input{I: r.sent[0]})
					r.sent[0]++
				}
			}
			r.startAll("worker 1", "worker 2")
			appends(10 * countSize)
			r.settle(r.total())
			r.end("worker 1", "worker 2")

			const kept, lacking = 3 * countSize, 2 * countSize
			appends(kept)
			if n, err := r.client.Wait(r.t.Context(), 1, time.Minute).Result(); err != nil || n != 1 {
				r.t.Fatalf("WAIT: %d replicas, %v", n, err)
			}
			begun := time.Now()
			link.Refuse()
			appends(lacking)
			r.failOver(replica, proxy)
			r.startAll("worker 3", "worker 4")
			over, sent := time.Now(), r.sent[0]
			appends(10 * countSize)
			lab.WaitFor(r.t, job.Patience, "a window of what was appended since", func() bool { return !r.watch.reached(0, sent).IsZero() })
			r.struck(fmt.Sprintf("failover without the newest %d records", lacking), begun, over, r.watch.reached(0, sent).Sub(over))
			r.allBut(lacking)
		},
	},
}

// failOver kills Redis and makes a primary of its replica, to which the proxy then leads.
func (r *run) failOver(replica *lab.RedisServer, proxy *lab.Proxy) {
	r.t.Helper()
	r.Redis.Kill()
	replica.Promote(r.t)
	r.mu.Lock()
	r.redis = func() *lab.RedisServer { return replica }
	r.mu.Unlock()
	proxy.Retarget(replica.Addr)
}

// aofKilled is a Redis that is killed and comes back with what its append-only file holds.
func aofKilled(appendfsync string) scenario {
	return scenario{
		name: "redis killed, aof " + appendfsync, does: "kill -9 of a Redis that appends to a file; it comes back with it", expects: exactlyOnce,
		play: func(r *run) {
			r.usual("--appendonly", "yes", "--appendfsync", appendfsync)
			again := fault{"kill -9 of Redis, back with its file", func() { r.Redis.Kill(); r.Redis.Start(r.t) }}
			r.load(again, again)
		},
	}
}

func (r *run) lanesCut() fault {
	return fault{"XTRIM of every lane to nothing", func() {
		for _, lane := range r.Redis.Lanes(r.t, r.Stream) {
			if err := r.client.XTrimMaxLen(r.t.Context(), lane, 0).Err(); err != nil {
				r.t.Fatalf("XTRIM %s: %v", lane, err)
			}
		}
	}}
}

func cut(p *lab.Proxy) fault { return fault{"all connections cut", p.Cut} }

const outage = time.Second

func refused(p *lab.Proxy) fault {
	return fault{fmt.Sprintf("out of reach for %v", outage), func() {
		p.Refuse()
		time.Sleep(outage)
		p.Accept()
	}}
}

// repliesLost lets requests take effect, and loses their replies for a while.
func repliesLost(p *lab.Proxy) fault {
	const lost = 300 * time.Millisecond
	return fault{fmt.Sprintf("replies lost for %v", lost), func() {
		p.DropReplies()
		time.Sleep(lost)
		p.Accept()
	}}
}
