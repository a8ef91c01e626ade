-- Lets the route be chosen again among the virtual hosts of the part that the request's host belongs to. Names and sum
-- are those of route_parts.rs. Hosts are as Envoy compares them: in lower case, without a port.

local byte, gsub, lower = string.byte, string.gsub, string.lower

function envoy_on_request(handle)
  local headers = handle:headers()
  local host = lower((gsub(headers:get(':authority') or '', ':%d+$', '')))
  local sum = 0
  -- No hostname is longer.
  if #host <= 253 then
    for i = 1, #host do sum = (sum * 31 + byte(host, i)) % 4294967291 end
  end
  local whole = headers:get('x-signalbox-routes')
  headers:replace('x-signalbox-routes', whole .. '/' .. sum % 128)
  handle:clearRouteCache()
end
