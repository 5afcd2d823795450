-- Claims a stream, or finds out its settings.
-- KEYS  1 the settings
-- ARGV  1 shards  2 shard key  3 start  4 group  5 isolation
-- Returns them as they are now, in this order; the last three are replaced if shards and shard key agree.
local names = { 'shards', 'shard_key', 'start', 'group', 'isolation' }
local have = redis.call('HMGET', KEYS[1], unpack(names))
for i = 2, #names do
  have[i] = have[i] or ''
end
if have[1] and (have[1] ~= ARGV[1] or have[2] ~= ARGV[2]) then
  return have
end
local write = { 'HSET', KEYS[1] }
for i = 1, #names do
  if have[i] ~= ARGV[i] then -- a write that changes nothing would be refused when Redis is full
    write[#write + 1] = names[i]
    write[#write + 1] = ARGV[i]
  end
end
if not have[1] then
  write[#write + 1] = 'created'
  write[#write + 1] = redis.call('TIME')[1]
end
if #write > 2 then
  redis.call(unpack(write))
end
return ARGV
