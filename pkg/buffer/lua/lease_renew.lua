-- Prolongs a lease that is still the holder's. PEXPIRE passes when Redis is full.
-- KEYS  1 the lease
-- ARGV  1 the holder  2 milliseconds
-- Returns 1 if it is, else 0.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
