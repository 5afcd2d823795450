-- Makes a lane's group, and the lane if there is none. Only for a full Redis, which refuses the plain command.
-- KEYS  1 the lane
-- ARGV  1 the group
local r = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
if r.err and not string.find(r.err, 'BUSYGROUP') then
  return redis.error_reply(r.err)
end
return 1
