-- Ends a session.
-- KEYS: the session, the order of expiry. ARGV: its name in that order, protocol, now in ms.
local field = redis.call('HMGET', KEYS[1], 'protocol', 'expires', 'visitor')
if field[1] ~= ARGV[2] or tonumber(ARGV[3]) >= tonumber(field[2]) then return {'absent', 0} end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', field[3], ARGV[1])
return {'removed', redis.call('ZCARD', KEYS[2])}
