-- The helpers for workflows: run, create, wait, stream, each, download, cancel_all.

local use = ...
local sequence = use("workflow/sequence")

local next = next

-- What each adds is a method of a workflow `w`. Between them they use: `w.api`, the functions of the account;
-- `w.service(name, arguments)`, `w.raise(fields)`, `w.mistake(function, message)`, `w.now()`, `w.sleep(seconds)`;
-- `w.started`, id -> kind of what was created and not seen to end; `w.creating`, creates in flight by number, `w.begun`
-- of them so far; `w.watchers`, `w.polls` by kind and id; `w.trainings`, ids that turned out to be trainings.
local PARTS = {
  use("workflow/create"), use("workflow/wait"), use("workflow/run"), use("workflow/stream"), use("workflow/pages"),
  use("workflow/files"),
}
local HELPERS = { "create", "wait", "run", "cancel_all", "stream", "each", "download" }

--- The helpers of one account. `api` has its functions; `host` gives `service(name, arguments)`, `raise(fields)`,
--- `mistake(function, message)`, `time()` and `sleep(seconds)`, and is given `begin_anew(seed)`.
return function(host, api, account)
  host.begin_anew = sequence.begin_anew
  local w = {
    api = api, helpers = {}, started = {}, creating = {}, begun = 0, watchers = {}, polls = {}, trainings = {},
    raise = host.raise, mistake = host.mistake, now = host.time, sleep = host.sleep,
  }

  function w.service(name, arguments)
    arguments.account = account
    return host.service(name, arguments)
  end

  for i = 1, #PARTS do
    for name, method in next, PARTS[i] do
      w[name] = method
    end
  end
  for i = 1, #HELPERS do
    local method = w[HELPERS[i]]
    w.helpers[HELPERS[i]] = function(...) return method(w, ...) end
  end
  return w.helpers
end
