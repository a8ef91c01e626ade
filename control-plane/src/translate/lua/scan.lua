-- Copies the top-level string member "model" of a JSON request body into a header, and lets the route be chosen again.
--
-- Runs only on routes whose filter context asks for it:
--   need   "optional": the route serves the request without a model too, so nothing here ever refuses it;
--          "required": only routes that match a model are left, so a body without one is an error.
--   limit  bytes that a body may have (the virtual host's request_body_buffer_limit).
--   base   whether to set x-gateway-base-model-name too, from the virtual host's metadata; unknown names map to themselves.
--
-- The scanner steps over strings with plain finds and over nested values by counting brackets. It is strict about the
-- top-level object only: there, proxy and model server must not be able to read different models.

local byte, char, find, lower, sub = string.byte, string.char, string.find, string.lower, string.sub
local floor, concat = math.floor, table.concat

local MAX_MODEL = 256
local MAX_STEPS = 200000

local REFUSALS = {
  model_required = { 400, 'The request names no model. Send a JSON object with a string member \\"model\\" and content-type application/json.' },
  invalid_json = { 400, 'The request body is not a valid JSON object, so its model cannot be read.' },
  duplicate_model = { 400, 'The request body has more than one member \\"model\\".' },
  invalid_model = { 400, 'The member \\"model\\" must be a non-empty string of at most 256 bytes, without control characters or spaces around it.' },
  body_too_complex = { 400, 'The request body has too many JSON tokens for its model to be read.' },
  unsupported_encoding = { 415, 'The request body is compressed, so its model cannot be read. Send it without content-encoding.' },
}

local SIMPLE = { [34] = '"', [92] = '\\', [47] = '/', [98] = '\b', [102] = '\f', [110] = '\n', [114] = '\r', [116] = '\t' }

local function utf8_of(c)
  if c < 0x80 then return char(c) end
  if c < 0x800 then return char(0xC0 + floor(c / 0x40), 0x80 + c % 0x40) end
  if c < 0x10000 then return char(0xE0 + floor(c / 0x1000), 0x80 + floor(c / 0x40) % 0x40, 0x80 + c % 0x40) end
  return char(0xF0 + floor(c / 0x40000), 0x80 + floor(c / 0x1000) % 0x40, 0x80 + floor(c / 0x40) % 0x40, 0x80 + c % 0x40)
end

-- The code unit of the \uXXXX whose backslash is at i, or nil.
local function unit(s, i)
  if byte(s, i) ~= 92 or byte(s, i + 1) ~= 117 or not find(s, '^%x%x%x%x', i + 2) then return nil end
  return tonumber(sub(s, i + 2, i + 5), 16)
end

-- The text of a JSON string without its quotes, or nil when an escape is wrong.
local function unescape(s)
  if not find(s, '\\', 1, true) then return s end
  local out, n, i = {}, 0, 1
  while true do
    local b = find(s, '\\', i, true)
    n = n + 1
    out[n] = sub(s, i, (b or 0) - 1)
    if not b then return concat(out) end
    local c = SIMPLE[byte(s, b + 1) or 0]
    i = b + 2
    if not c then
      local u = unit(s, b)
      if not u or (u >= 0xDC00 and u <= 0xDFFF) then return nil end
      i = b + 6
      if u >= 0xD800 and u <= 0xDBFF then
        local v = unit(s, i)
        if not v or v < 0xDC00 or v > 0xDFFF then return nil end
        u = 0x10000 + (u - 0xD800) * 0x400 + (v - 0xDC00)
        i = i + 6
      end
      c = utf8_of(u)
    end
    n = n + 1
    out[n] = c
  end
end

-- Whether s is UTF-8: shortest forms, no surrogates, at most U+10FFFF.
local function is_utf8(s)
  local i, n = 1, #s
  while i <= n do
    local c = byte(s, i)
    local need, low, high = 0, 0x80, 0xBF
    if c >= 0x80 then
      if c >= 0xC2 and c <= 0xDF then need = 1
      elseif c >= 0xE0 and c <= 0xEF then need = 2
      elseif c >= 0xF0 and c <= 0xF4 then need = 3
      else return false end
      if c == 0xE0 then low = 0xA0 elseif c == 0xED then high = 0x9F elseif c == 0xF0 then low = 0x90 elseif c == 0xF4 then high = 0x8F end
    end
    for k = 1, need do
      local d = byte(s, i + k)
      if not d or d < low or d > high then return false end
      low, high = 0x80, 0xBF
    end
    i = i + need + 1
  end
  return true
end

-- The index of the quote that closes the string whose text starts at i, or nil.
local function close_of(s, i)
  while true do
    local q = find(s, '"', i, true)
    if not q then return nil end
    local b = q - 1
    while b >= i and byte(s, b) == 92 do b = b - 1 end
    if (q - 1 - b) % 2 == 0 then return q end
    i = q + 1
  end
end

-- The index after the nested value that opens at i, and the steps left; or nil and the reason.
local function skip_nested(s, i, steps)
  local depth = 0
  while true do
    local a = find(s, '["{}%[%]]', i)
    if not a then return nil, 'invalid_json' end
    steps = steps - 1
    if steps < 0 then return nil, 'body_too_complex' end
    local c = byte(s, a)
    if c == 34 then
      a = close_of(s, a + 1)
      if not a then return nil, 'invalid_json' end
    elseif c == 123 or c == 91 then
      depth = depth + 1
    else
      depth = depth - 1
      if depth == 0 then return a + 1, steps end
    end
    i = a + 1
  end
end

local function is_model_key(raw)
  -- "model" written with six-character escapes only has 30 bytes.
  return raw == 'model' or (#raw <= 30 and find(raw, '\\', 1, true) and unescape(raw) == 'model')
end

-- The model from the raw text of its string, or nil and the reason. Only what survives as a header's value: hops trim
-- spaces around it.
local function model_from(raw)
  local m = #raw <= 6 * MAX_MODEL and unescape(raw)
  if not m or m == '' or #m > MAX_MODEL or find(m, '%c') or find(m, '^ ') or find(m, ' $') or not is_utf8(m) then return nil, 'invalid_model' end
  return m
end

-- The model; or nil when the object has none; or nil and the reason.
local function model_of(s)
  local i = find(s, '[^ \t\r\n]')
  if not i or byte(s, i) ~= 123 then return nil, 'invalid_json' end
  local model, steps, first = nil, MAX_STEPS, true
  i = find(s, '[^ \t\r\n]', i + 1)
  while true do
    if not i then return nil, 'invalid_json' end
    local c = byte(s, i)
    if c == 125 and first then break end
    if c ~= 34 then return nil, 'invalid_json' end
    first = false
    steps = steps - 2
    if steps < 0 then return nil, 'body_too_complex' end
    local e = close_of(s, i + 1)
    if not e then return nil, 'invalid_json' end
    local is_model = is_model_key(sub(s, i + 1, e - 1))
    if is_model and model then return nil, 'duplicate_model' end
    i = find(s, '[^ \t\r\n]', e + 1)
    if not i or byte(s, i) ~= 58 then return nil, 'invalid_json' end
    i = find(s, '[^ \t\r\n]', i + 1)
    if not i then return nil, 'invalid_json' end
    c = byte(s, i)
    if c == 34 then
      e = close_of(s, i + 1)
      if not e then return nil, 'invalid_json' end
      if is_model then
        local reason
        model, reason = model_from(sub(s, i + 1, e - 1))
        if not model then return nil, reason end
      end
      i = e + 1
    elseif is_model then
      return nil, 'invalid_model'
    elseif c == 123 or c == 91 then
      i, steps = skip_nested(s, i, steps)
      if not i then return nil, steps end
    else
      local _, last = find(s, '^[%w%.%+%-]+', i)
      if not last then return nil, 'invalid_json' end
      i = last + 1
    end
    i = find(s, '[^ \t\r\n]', i)
    if not i then return nil, 'invalid_json' end
    c = byte(s, i)
    if c == 125 then break end
    if c ~= 44 then return nil, 'invalid_json' end
    i = find(s, '[^ \t\r\n]', i + 1)
  end
  if find(s, '[^ \t\r\n]', i + 1) then return nil, 'invalid_json' end
  return model
end

-- Whether to look into the body at all; or false and the reason.
local function wants_body(headers, required, limit)
  local method = headers:get(':method')
  if method ~= 'POST' and method ~= 'PUT' and method ~= 'PATCH' then return false end
  local encoding = headers:get('content-encoding')
  if encoding and lower(encoding) ~= 'identity' then return false, 'unsupported_encoding' end
  local kind = headers:get('content-type')
  local length = tonumber(headers:get('content-length') or '')
  if kind then
    kind = lower(kind)
    if not find(kind, '^%s*application/json%s*$') and not find(kind, '^%s*application/json%s*;')
      and not find(kind, '^%s*application/[%w%.%-_]+%+json') then
      return false, 'model_required'
    end
  elseif not required and not length then
    -- Of unknown kind and length, and somebody takes it as it is: not held back.
    return false
  end
  -- Where the route takes the request as it is, a body that cannot be held streams through.
  if not required and length and length > limit then return false end
  return true
end

local function refuse(handle, reason)
  local refusal = REFUSALS[reason]
  handle:respond(
    { [':status'] = tostring(refusal[1]), ['content-type'] = 'application/json', ['x-signalbox-reason'] = reason },
    '{"error":{"message":"' .. refusal[2] .. '","type":"invalid_request_error","param":"model","code":"' .. reason .. '"}}'
  )
end

function envoy_on_request(handle)
  -- Objects of the handle die when the script waits for the body: what is needed later is read first.
  local context = handle:filterContext()
  local required, base = context:get('need') == 'required', context:get('base')
  local wanted, reason = wants_body(handle:headers(), required, context:get('limit'))
  local model
  if wanted then
    local body = handle:body()
    if body then
      model, reason = model_of(body:getBytes(0, body:length()))
    end
    if not model and not reason then reason = 'model_required' end
  end
  if model then
    local headers = handle:headers()
    headers:replace('x-gateway-model-name', model)
    if base then
      headers:replace('x-gateway-base-model-name', handle:virtualHost():metadata():get('base:' .. model) or model)
    end
    handle:clearRouteCache()
  elseif reason and required then
    refuse(handle, reason)
  elseif reason then
    handle:streamInfo():dynamicMetadata():set('signalbox', 'model_reason', reason)
  end
end
