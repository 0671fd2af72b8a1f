-- The helpers for workflows: run, create, wait, stream, each, download, cancel_all.

local use = ...
local output, sequence = use("workflow/output"), use("workflow/sequence")

local format, next, setmetatable = string.format, next, setmetatable

-- Each helper adds a method to a workflow `w`. The helpers share: `w.api`, the functions of the account, as
-- `f(arguments, seconds)`, which first waits `seconds` if given; `w.service(name, arguments)`, `w.raise(fields)`,
-- `w.mistake(function, message)`, `w.now()`, `w.sleep(seconds)`; `w.awaits()`, whether the host waits for a job as one
-- request; `w.started`, id -> kind of jobs created and not known to have ended; `w.creating`, creates in flight by
-- number; `w.begun`, the number of creates so far; `w.watchers` and `w.polls`, by kind and id; `w.trainings`, ids that
-- turned out to belong to trainings.
local PARTS = {
  use("workflow/create"), use("workflow/wait"), use("workflow/run"), use("workflow/stream"), use("workflow/pages"),
  use("workflow/files"),
}
local HELPERS = { "create", "wait", "run", "cancel_all", "stream", "each", "download" }

-- The functions of the account, for helpers. In a dry run, a helper must stop at its first request.
local function answering(api, raise)
  local function wrapped(name, call)
    return function(arguments, seconds)
      local answer = call(arguments, seconds)
      if output.is_request(answer) then
        raise({
          code = "dry_run", ["function"] = name,
          message = format("the next step needs the answer to %s, which a dry run does not send", name),
        })
      end
      return answer
    end
  end
  return setmetatable({}, {
    __index = function(known, name)
      local made = wrapped(name, api[name])
      known[name] = made
      return made
    end,
  })
end

--- The helpers of one account. `api` has its functions; `host` has `service(name, arguments)`, `raise(fields)`,
--- `mistake(function, message)`, `time()`, `sleep(seconds)` and `awaits()`, and is given `begin_anew(seed)`.
return function(host, api, account)
  host.begin_anew = sequence.begin_anew
  local w = {
    api = answering(api, host.raise), helpers = {}, started = {}, creating = {}, begun = 0, watchers = {}, polls = {}, trainings = {},
    raise = host.raise, mistake = host.mistake, now = host.time, sleep = host.sleep, awaits = host.awaits,
  }

  function w.service(name, arguments, helper)
    arguments.account = account
    return host.service(name, arguments, helper)
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
