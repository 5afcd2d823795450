-- Claims a stream, or finds out its settings.
-- KEYS  1 the settings
-- ARGV  1 shards  2 shard key  3 start  4 group
-- Returns shards, shard key, start, group as they are now; start and group are replaced if shards and shard key agree.
local have = redis.call('HMGET', KEYS[1], 'shards', 'shard_key', 'start', 'group')
if not have[1] then
  local t = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'shards', ARGV[1], 'shard_key', ARGV[2], 'start', ARGV[3], 'group', ARGV[4], 'created', t[1])
  return { ARGV[1], ARGV[2], ARGV[3], ARGV[4] }
end
if have[1] ~= ARGV[1] or (have[2] or '') ~= ARGV[2] then
  return { have[1], have[2] or '', have[3] or '', have[4] or '' }
end
if have[3] ~= ARGV[3] or have[4] ~= ARGV[4] then -- a write would be refused when Redis is full
  redis.call('HSET', KEYS[1], 'start', ARGV[3], 'group', ARGV[4])
end
return { ARGV[1], ARGV[2], ARGV[3], ARGV[4] }
