-- Pauses of connections, and what was measured as JSON at the end; for all load scripts.
-- Arguments: number of users, mean pause of a connection between answer and next request in ms, seed.

mean_pause_ms, seed, number = 0, 0, 0
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init(args)
  num_users, mean_pause_ms, seed = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
  math.randomseed(7919 * number + 104729 * seed)
  if mean_pause_ms <= 0 then delay = nil end
end

-- Exponential pauses: many connections together ask as independent visitors do.
function delay()
  return math.floor(-mean_pause_ms * math.log(1 - math.random()) + 0.5)
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
