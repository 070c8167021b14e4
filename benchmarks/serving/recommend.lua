-- Asks for recommendations for users drawn uniformly; at the end prints what was measured as JSON.
-- Arguments: number of users, mean pause of a connection between answer and next request in ms.

local num_users, mean_pause_ms = 1, 0
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  num_users, mean_pause_ms = tonumber(args[1]), tonumber(args[2])
  math.randomseed(7919 * number + 104729 * tonumber(args[3]))
  if mean_pause_ms <= 0 then delay = nil end
end

-- Exponential pauses: many connections together ask as independent visitors do.
function delay()
  return math.floor(-mean_pause_ms * math.log(1 - math.random()) + 0.5)
end

function request()
  local user = math.random(0, num_users - 1)
  local body = string.format('{"user_id":"u%06d","k":20,"explain":false}', user)
  return wrk.format("POST", "/v1/recommendations", {["Content-Type"] = "application/json"}, body)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'MEASURED {"requests":%d,"duration_s":%.6f,"bytes":%d,"p50_ms":%.3f,"p90_ms":%.3f,' ..
    '"p99_ms":%.3f,"max_ms":%.3f,"failed":%d,"refused":%d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes,
    latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, errors.connect + errors.read + errors.write + errors.timeout, errors.status))
end
