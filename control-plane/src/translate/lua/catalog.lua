-- Answers GET /v1/models/{id}. The route's metadata holds the finished JSON of every model; the route itself is the 404.

function envoy_on_request(handle)
  local path = handle:headers():get(':path') or ''
  local id = string.match(path, '^/v1/models/([^?#]+)')
  if not id then return end
  id = string.gsub(id, '%%(%x%x)', function(hex) return string.char(tonumber(hex, 16)) end)
  local model = handle:metadata():get('model:' .. id)
  if model then
    handle:respond({ [':status'] = '200', ['content-type'] = 'application/json' }, model)
  end
end
