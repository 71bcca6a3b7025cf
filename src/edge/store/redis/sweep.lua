-- Takes out the names of some sessions that have expired, which Redis has removed itself, and counts the others.
-- KEYS: an order of expiry. ARGV: most departures.
local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
local departed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
if #departed > 0 then redis.call('ZREM', KEYS[1], unpack(departed)) end
return {redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf'), #departed}
