-- Requests to rendezvous sessions, for wrk.
-- Arguments after the URL: create, crowd (create, each from another address), write, poll or read; the file with a payload; the file with one session a line,
-- its path and its entity tag. To write, each thread has the session of its own number, and must have one connection
-- alone: wrk does not tell which one an answer belongs to. Prints one JSON object.

local threads = {}

function setup(thread)
   thread:set("number", #threads + 1)
   table.insert(threads, thread)
end

local function contents(path)
   local file = assert(io.open(path))
   local text = file:read("*a")
   file:close()
   return text
end

local function sessions(path)
   local found = {}
   for line in io.lines(path) do
      local path, etag = line:match("^(%S+) (%S+)$")
      table.insert(found, {path = path, etag = etag})
   end
   return found
end

function init(arguments)
   local operation, payload = arguments[1], contents(arguments[2])
   statuses = {}
   wrk.headers["Host"] = "example.test"
   if operation == "create" or operation == "crowd" then
      wrk.method, wrk.body = "POST", payload
      wrk.headers["Content-Type"] = "text/plain"
      if operation == "crowd" then
         crowd()
      end
   elseif operation == "write" then
      write(payload, sessions(arguments[3])[number])
   else
      read(operation == "poll", sessions(arguments[3]))
   end
end

-- As a proxy in front would tell it.
function crowd()
   local count = 0
   function request()
      count = count + 1
      local address = {10, math.floor(count / 65536) % 256, math.floor(count / 256) % 256, count % 256}
      wrk.headers["X-Forwarded-For"] = table.concat(address, ".")
      return wrk.format()
   end
end

-- One session after the other.
function read(conditional, sessions)
   local requests, turn = {}, 0
   for _, session in ipairs(sessions) do
      local condition = conditional and {["Host"] = "example.test", ["If-None-Match"] = session.etag} or nil
      table.insert(requests, wrk.format("GET", session.path, condition))
   end
   function request()
      turn = turn % #requests + 1
      return requests[turn]
   end
end

-- Each write has the tag that the one before was answered with, and a payload that differs from the one before.
function write(payload, session)
   local etag = session.etag
   local head = "PUT " .. session.path .. " HTTP/1.1\r\nHost: example.test\r\nContent-Type: text/plain\r\n"
      .. "Content-Length: " .. #payload .. "\r\nIf-Match: "
   local rest, count = payload:sub(9), 0
   function request()
      count = count + 1
      return head .. etag .. "\r\n\r\n" .. string.format("%08d", count) .. rest
   end
   function keep(headers)
      etag = headers["ETag"] or headers["etag"] or headers["Etag"] or "none"
   end
end

function response(status, headers)
   statuses[status] = (statuses[status] or 0) + 1
   if keep then
      keep(headers)
   end
end

function done(summary, latency)
   local total = {}
   for _, thread in ipairs(threads) do
      for status, count in pairs(thread:get("statuses")) do
         total[status] = (total[status] or 0) + count
      end
   end
   local parts = {}
   for status, count in pairs(total) do
      table.insert(parts, string.format('"%d": %d', status, count))
   end
   local errors = summary.errors
   io.write(string.format('{"seconds": %f, "p99_ms": %f, "broken": %d, "statuses": {%s}}\n',
      summary.duration / 1e6, latency:percentile(99) / 1e3,
      errors.connect + errors.read + errors.write + errors.timeout, table.concat(parts, ", ")))
end
