-- Compares and replaces; what is recognised as a repetition is told again. HSET leaves the key's expiry as it is.
-- KEYS: the session. ARGV: protocol, now in ms, media type, payload, next revision, kind of retry (`unknown`,
-- `content`, `name`), name (16 bytes, or empty), length of a full history, `any` or `one_of`, then the revisions expected.
local field = redis.call('HMGET', KEYS[1], 'protocol', 'expires', 'revision', 'modified', 'previous', 'history')
local protocol, expires, present, modified = field[1], field[2], field[3], field[4]
local previous, history = field[5], field[6] or ''
if protocol ~= ARGV[1] or tonumber(ARGV[2]) >= tonumber(expires) then return {'absent', '', '0', '0'} end
local retry, name = ARGV[6], ARGV[7]
local NAME, REVISION, REFUSED = 16, 32, string.rep('-', 32)

if retry == 'name' then
  for at = 1, #history, NAME + REVISION do
    if string.sub(history, at, at + NAME - 1) == name then
      local told = string.sub(history, at + NAME, at + NAME + REVISION - 1)
      if told == REFUSED then return {'stale', present, modified, expires} end
      return {'written', told, modified, expires}
    end
  end
end

local function expected(revision)
  if ARGV[9] == 'any' then return true end
  for at = 10, #ARGV do
    if ARGV[at] == revision then return true end
  end
  return false
end

local answer, verdict
if expected(present) then
  if retry ~= 'unknown' then redis.call('HSET', KEYS[1], 'previous', present) end
  redis.call('HSET', KEYS[1], 'media_type', ARGV[3], 'payload', ARGV[4], 'revision', ARGV[5], 'modified', ARGV[2])
  answer, verdict = {'written', ARGV[5], ARGV[2], expires}, ARGV[5]
else
  answer, verdict = {'stale', present, modified, expires}, REFUSED
  if retry == 'content' and previous and expected(previous) then
    local held = redis.call('HMGET', KEYS[1], 'media_type', 'payload')
    if held[1] == ARGV[3] and held[2] == ARGV[4] then answer[1] = 'written' end
  end
end
if retry == 'name' then
  redis.call('HSET', KEYS[1], 'history', string.sub(history .. name .. verdict, -tonumber(ARGV[8])))
end
return answer
