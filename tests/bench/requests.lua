-- wrk's requests, from a file: method, path, headers and body, with tabs between them. Asked in turn, again from the
-- first after the last; or, where a number is given, that many and no more.

local prepared = {}
local number = 0
local most = 0
local answered = 0

function init(args)
  most = tonumber(args[2])
  for line in io.lines(args[1]) do
    local method, path, list, body = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$")
    local headers = {}
    for name, value in list:gmatch("([^\30\31]+)\30([^\31]*)") do
      headers[name] = value
    end
    prepared[#prepared + 1] = wrk.format(method, path, headers, body ~= "" and body or nil)
  end
  if most > 0 then
    response = function()
      answered = answered + 1
      if answered == most then
        -- wrk itself would go on sleeping until its time is over: whoever reads this interrupts it.
        wrk.thread:stop()
        io.write("reached\n")
        io.flush()
      end
    end
  end
end

function request()
  number = number + 1
  return prepared[(number - 1) % #prepared + 1]
end

function done(summary, latency)
  io.write(string.format(
    '\n{"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), summary.errors.connect,
    summary.errors.read, summary.errors.write, summary.errors.status, summary.errors.timeout))
end
