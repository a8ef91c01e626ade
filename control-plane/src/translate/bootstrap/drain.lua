-- Answers when the proxy may end: endpoints had LEAST_SECONDS to disappear and no request is active, or MOST_SECONDS
-- are over.
local function call(handle, cluster, method, path)
  local headers = { [":method"] = method, [":path"] = path, [":authority"] = cluster }
  local answer, body = handle:httpCall(cluster, headers, nil, 3000)
  -- An answer without a body has none to give: no statistics is no active request.
  if answer[":status"] ~= "200" then return nil end
  return body or ""
end

local function active(handle)
  local stats = call(handle, "admin", "GET", "/stats?filter=http.https?-.*downstream_rq_active")
  if stats == nil then return nil end
  local sum = 0
  for value in string.gmatch(stats, ": (%d+)") do sum = sum + tonumber(value) end
  return sum
end

function envoy_on_request(handle)
  call(handle, "admin", "POST", "/drain_listeners?inboundonly&graceful&skip_exit")
  for second = 1, MOST_SECONDS do
    call(handle, "status", "GET", "/sleep")
    if second >= LEAST_SECONDS and active(handle) == 0 then break end
  end
end
