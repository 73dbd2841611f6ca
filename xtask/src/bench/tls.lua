local escapes = { ['"'] = '\\"', ['\\'] = '\\\\', ['\n'] = '\\n', ['\r'] = '\\r', ['\t'] = '\\t' }
local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(c)
    return escapes[c] or string.format('\\u%04x', c:byte())
  end) .. '"'
end
local function object(headers)
  local members = {}
  for name, value in pairs(headers) do
    members[#members + 1] = quoted(name) .. ':' .. quoted(value)
  end
  return '{' .. table.concat(members, ',') .. '}'
end
local function hex(bytes)
  local digits = {}
  for n = 1, bytes do
    digits[n] = string.format('%02x', math.random(0, 255))
  end
  return table.concat(digits)
end
local function body(handle)
  local buffer = handle:body()
  if not buffer then
    return ''
  end
  local length = buffer:length()
  if length == 0 then
    return ''
  end
  return buffer:getBytes(0, length)
end
local function attribute(name, value)
  return '{"key":"' .. name .. '","value":{"stringValue":' .. quoted(value) .. '}}'
end
function envoy_on_request(handle)
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set('bench', 'method', handle:headers():get(':method') or '')
  metadata:set('bench', 'target', handle:headers():get(':path') or '')
  metadata:set('bench', 'host', handle:headers():get(':authority') or '')
  metadata:set('bench', 'headers', object(handle:headers()))
  metadata:set('bench', 'body', body(handle))
  metadata:set('bench', 'start', tostring(os.time()))
end
function envoy_on_response(handle)
  local request = handle:streamInfo():dynamicMetadata():get('bench')
  if not request then
    return
  end
  local attributes = {
    attribute('http.method', request.method),
    attribute('http.target', request.target),
    attribute('http.host', request.host),
    attribute('http.flavor', '1.1'),
    attribute('http.scheme', 'https'),
    '{"key":"http.status_code","value":{"intValue":' .. handle:headers():get(':status') .. '}}',
    attribute('http.request.headers', request.headers),
    attribute('http.response.headers', object(handle:headers())),
    attribute('http.request.body', request.body),
    attribute('http.response.body', body(handle)),
  }
  local payload = '{"resourceSpans":[{"resource":{"attributes":['
    .. attribute('service.name', 'bench')
    .. ']},"scopeSpans":[{"scope":{"name":"bench"},"spans":[{"traceId":"' .. hex(16)
    .. '","spanId":"' .. hex(8)
    .. '","name":"example-span","kind":1,"startTimeUnixNano":' .. request.start
    .. '000000000,"endTimeUnixNano":' .. tostring(os.time()) .. '000000000,"attributes":['
    .. table.concat(attributes, ',') .. ']}]}]}]}'
  handle:httpCall('collector', {
    [':method'] = 'POST',
    [':path'] = '/v1/traces',
    [':authority'] = 'collector',
    ['content-type'] = 'application/json',
  }, payload, 5000, ASYNCHRONOUS)
end
