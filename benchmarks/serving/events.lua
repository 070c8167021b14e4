-- Tells views of users and items drawn uniformly, 50 at a time, each with an id of its own: the seed
-- must be another one for every load that one event log takes in.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "measured.lua")

local batch, num_items, num_told = 50, 10000, 0

function request()
  local events = {}
  for each = 1, batch do
    num_told = num_told + 1
    events[each] = string.format(
      '{"event_id":"e%d-%d-%d","user_id":"u%06d","event_type":"view","item_id":"i%07d"}',
      seed, number, num_told, math.random(0, num_users - 1), math.random(0, num_items - 1))
  end
  local body = '{"events":[' .. table.concat(events, ",") .. "]}"
  return wrk.format("POST", "/v1/events", {["Content-Type"] = "application/json"}, body)
end
