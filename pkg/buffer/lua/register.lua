-- Adds lanes to a shard, in order, each once.
-- KEYS  1 the shards
-- ARGV  1 the shard  2… its lanes
-- Returns how many were added.
local have = redis.call('HGET', KEYS[1], ARGV[1])
local all, known, added = {}, {}, 0
if have then
  for lane in string.gmatch(have, '%S+') do
    all[#all + 1] = lane
    known[lane] = true
  end
end
for i = 2, #ARGV do
  if not known[ARGV[i]] then
    all[#all + 1] = ARGV[i]
    known[ARGV[i]] = true
    added = added + 1
  end
end
if added > 0 or not have then
  redis.call('HSET', KEYS[1], ARGV[1], table.concat(all, ' '))
end
return added
