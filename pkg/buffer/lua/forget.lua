-- Deletes a consumer that holds nothing pending: deleting one that does would drop what it holds from the group's view.
-- KEYS  1 the lane
-- ARGV  1 the group  2 the consumer
-- Returns 1 if it is gone, else 0.
local held = redis.pcall('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if held.err then
  return 1 -- no such lane or group
end
if #held > 0 then
  return 0
end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
