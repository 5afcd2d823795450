-- Writes a field of the trim hash unless it is there.
-- KEYS  1 the trim hash
-- ARGV  1 the field  2 its value
-- Returns 1 if it was not, else 0.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  return 0 -- a write that changes nothing would be refused when Redis is full
end
return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
