-- Writes fields of the trim hash. Only for a full Redis, which refuses the plain command.
-- KEYS  1 the trim hash
-- ARGV  field, value, field, value, …
return redis.call('HSET', KEYS[1], unpack(ARGV))
