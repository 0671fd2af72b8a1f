-- The helpers for workflows: run, create, wait, stream, each, download, cancel_all.

local use = ...
local sequence = use("workflow/sequence")

-- In this order: later ones use what earlier ones add.
local PARTS = {
  use("workflow/create"), use("workflow/wait"), use("workflow/run"), use("workflow/stream"), use("workflow/pages"),
  use("workflow/files"),
}

--- The helpers of one account. `api` has its functions; `host` provides `service(name, arguments)`, `raise(fields)`,
--- `mistake(function, message)`, `time()` and `sleep(seconds)`, and gets `begin_anew(seed)`.
return function(host, api, account)
  host.begin_anew = sequence.begin_anew
  local w = {
    api = api, helpers = {},
    raise = host.raise, mistake = host.mistake, now = host.time, sleep = host.sleep,
  }

  function w.service(name, arguments)
    arguments.account = account
    return host.service(name, arguments)
  end

  for i = 1, #PARTS do
    PARTS[i](w)
  end
  return w.helpers
end
