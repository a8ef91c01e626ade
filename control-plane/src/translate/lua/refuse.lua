-- Answers the share of an invalid backend: the weighted entry's filter context holds the finished answer.

function envoy_on_request(handle)
  local context = handle:filterContext()
  handle:respond(
    { [':status'] = context:get('status'), ['content-type'] = 'application/json', ['x-signalbox-reason'] = context:get('reason') },
    context:get('body')
  )
end
