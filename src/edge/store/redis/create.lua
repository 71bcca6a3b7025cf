-- Lets a session in, unless there are as many as there may be, of all or of this visitor.
-- KEYS: the session, its protocol's order of expiry, its visitor's, and those of the other protocols. ARGV: name in these
-- orders, ttl in ms, most sessions, most of one visitor, most departures, then field names and values.
if redis.call('EXISTS', KEYS[1]) == 1 then return {'taken', 0, 0, 0} end
local name, ttl = ARGV[1], tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function text(number) return string.format('%.0f', number) end
local ends, later = text(now + ttl), '(' .. text(now)

local function live(order) return redis.call('ZCOUNT', order, later, '+inf') end

-- Takes some out that are not live, and says how many.
local function depart(order)
  local departed = redis.call('ZRANGEBYSCORE', order, '-inf', text(now), 'LIMIT', 0, ARGV[5])
  if #departed > 0 then redis.call('ZREM', order, unpack(departed)) end
  return #departed
end

-- The order itself expires too, `later_by` ms after the last session in it.
local function enter(order, later_by)
  redis.call('ZADD', order, ends, name)
  local stays = ttl + later_by
  if redis.call('PTTL', order) < stays then redis.call('PEXPIREAT', order, text(now + stays)) end
end

local departed = depart(KEYS[2])
depart(KEYS[3])
local ours = live(KEYS[2])
local all = ours
for other = 4, #KEYS do all = all + live(KEYS[other]) end

if all >= tonumber(ARGV[3]) then
  local next = now + ttl
  for at = 2, #KEYS do
    local first = redis.call('ZRANGEBYSCORE', KEYS[at], later, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if first[2] then next = math.min(next, tonumber(first[2])) end
  end
  return {'full', ours, departed, next - now}
end
if live(KEYS[3]) >= tonumber(ARGV[4]) then return {'crowded', ours, departed, ttl} end
redis.call('HSET', KEYS[1], 'visitor', KEYS[3], unpack(ARGV, 6))
redis.call('PEXPIREAT', KEYS[1], ends)
-- Time for a sweep, which counts what has expired.
enter(KEYS[2], 60000)
enter(KEYS[3], 0)
return {'created', ours + 1, departed, 0}
