-- Asks for recommendations for users drawn uniformly.
dofile(debug.getinfo(1, "S").source:match("^@(.*/)") .. "measured.lua")

function request()
  local user = math.random(0, num_users - 1)
  local body = string.format('{"user_id":"u%06d","k":20,"explain":false}', user)
  return wrk.format("POST", "/v1/recommendations", {["Content-Type"] = "application/json"}, body)
end
