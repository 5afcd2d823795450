-- Takes a lease that is free or already the holder's.
-- KEYS  1 the lease
-- ARGV  1 the holder  2 milliseconds
-- Returns 1 if it is the holder's now, else 0.
local have = redis.call('GET', KEYS[1])
if have and have ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
