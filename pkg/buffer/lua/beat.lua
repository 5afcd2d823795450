-- Writes a worker's heartbeat and forgets the workers that are silent.
-- KEYS  1 the workers
-- ARGV  1 the worker  2 milliseconds after which a silent one is forgotten
-- Returns the workers that live.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
-- A score ahead of the clock is from before the clock went back (a failover): it would keep a dead worker alive.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')
redis.call('ZADD', KEYS[1], now, ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)
