-- Waits for predictions and trainings. The script polls, or in a run with a journal the host polls, as one request. A
-- single failed poll does not end the wait for paid work.

local use = ...
local values, task, guard = use("values"), use("task"), use("guard")
local options_, output, sequence = use("workflow/options"), use("workflow/output"), use("workflow/sequence")

local error, rawget, tostring, type = error, rawget, tostring, type
local format, min, pcall = string.format, math.min, guard.pcall
local TERMINAL = output.TERMINAL

local FIRST, LONGEST, FACTOR = 0.25, 5, 1.5 -- the first and the longest pause in seconds, and how each pause grows
local JITTER = 0.2 -- the largest random extension of a pause, as a fraction of it
local PATIENCE = 5 -- failed polls in a row, each already retried, before a wait gives up
-- Codes of temporary failures of a poll.
local PASSING = { unreachable = true, server_error = true, rate_limited = true, insufficient_credit = true }

local M = {}

--- Get or cancel a job, after `seconds` if given. A created training's own links call it a prediction, so an id that is
--- not found among predictions is looked for among trainings.
function M.call_about(w, verb, kind, id, seconds)
  if w.trainings[id] then kind = "training" end
  local ok, answer = pcall(w.api[format("%s_%s", verb, kind)], { [kind .. "_id"] = id }, seconds)
  if not ok and kind == "prediction" and type(answer) == "table" and answer.status == 404 then
    local found, training = pcall(w.api[verb .. "_training"], { training_id = id })
    if found then
      w.trainings[id] = true
      return w:note("training", training)
    end
  end
  if not ok then error(answer, 0) end
  if output.is_prediction(answer) and answer.id ~= id then
    local name = format("%s_%s", verb, kind)
    w.raise({
      code = "api_error", status = 200, ["function"] = name,
      message = format("%s: the answer is about %s, not about %s", name, answer.id, id),
    })
  end
  return w:note(kind, answer)
end

function M.get(w, kind, id, seconds) return w:call_about("get", kind, id, seconds) end

-- Poll after `seconds`. A job has at most one poll in flight, which tasks that wait for the same job share.
local function poll(w, kind, id, seconds)
  local key = kind .. id
  if w.watchers[key] == 1 then return w:get(kind, id, seconds) end
  if seconds then w.sleep(seconds) end
  local shared = w.polls[key]
  if not shared then
    shared = task.shared(function()
      local ok, found = pcall(w.get, w, kind, id)
      w.polls[key] = nil
      if not ok then error(found, 0) end
      return found
    end)
    w.polls[key] = shared
  end
  return shared()
end

local function timed_out(w, name, kind, prediction, options)
  if w.trainings[prediction.id] then kind = "training" end
  local text = format("%s: %s is still %s after the timeout", name, output.about(prediction), prediction.status)
  local hint = format("it keeps running and costs money; cancel it: cancel_%s{ %s_id = %q }", kind, kind, prediction.id)
  if options.cancel_on_timeout then
    local ok, canceled = pcall(w.call_about, w, "cancel", kind, prediction.id)
    if ok then
      prediction, hint = canceled, "it was canceled; use a larger timeout"
    else
      hint = format("it could not be canceled: %s; it may keep running and cost money", tostring(canceled))
    end
  end
  w.raise({ code = "timed_out", message = text, ["function"] = name, hint = hint, prediction = prediction })
end

local function changed(before, after)
  return before.status ~= after.status or before.logs ~= after.logs or type(after.output) == "table"
    or before.output ~= after.output
end

--- Whether the next poll may succeed, because the failure of the API or of a proxy may be temporary.
function M.may_pass(w, failure)
  return type(failure) == "table" and (PASSING[rawget(failure, "code")] or rawget(failure, "status") ~= nil)
end

local function give_up(w, name, kind, prediction, failure)
  w.raise({
    code = output.code_of(failure) or "api_error",
    status = type(failure) == "table" and rawget(failure, "status") or nil,
    message = format("%s: cannot get the status of %s: %d polls in a row failed, the last with: %s", name,
      output.about(prediction), PATIENCE + 1, tostring(failure)),
    ["function"] = name,
    hint = format("it may keep running and cost money; wait again: wait(%q), or cancel it: cancel_%s{ %s_id = %q }",
      prediction.id, kind, kind, prediction.id),
    prediction = prediction,
  })
end

--- Polls once after `seconds`, with `look` if given. Returns the prediction and the number of failed polls in a row.
--- Raises an error if too many have failed.
function M.patient_poll(w, name, kind, prediction, failures, look, seconds)
  local ok, found = pcall(look or poll, w, kind, prediction.id, seconds)
  if ok and output.is_prediction(found) then return found, 0 end
  if ok then
    found = { code = "api_error", status = 200, message = "the answer is not a " .. kind }
  elseif not w:may_pass(found) then
    error(found, 0)
  end
  if failures == PATIENCE then give_up(w, name, kind, prediction, ok and found.message or found) end
  return prediction, failures + 1
end

-- Wait until the host returns the job, when it has ended or at the deadline. Like `call_about`, look for an unknown
-- prediction among trainings too.
local function await(w, kind, id, deadline)
  if w.trainings[id] then kind = "training" end
  local ok, found = pcall(w.service, "await", { id = id, kind = kind, deadline = deadline })
  if not ok and kind == "prediction" and type(found) == "table" and rawget(found, "status") == 404 then
    local is_training, training = pcall(w.service, "await", { id = id, kind = "training", deadline = deadline })
    if is_training then
      w.trainings[id] = true
      return w:note("training", training)
    end
  end
  if not ok then error(found, 0) end
  return w:note(kind, found)
end

local function await_end(w, name, kind, prediction, options, deadline)
  local failures, pause = 0, FIRST
  local function look(_, its_kind, id) return await(w, its_kind, id, deadline) end
  while true do
    prediction, failures = w:patient_poll(name, kind, prediction, failures, look)
    if TERMINAL[prediction.status] then return prediction end
    if deadline and w.now() >= deadline then timed_out(w, name, kind, prediction, options) end
    w.sleep(pause)
    pause = min(pause * FACTOR, LONGEST)
  end
end

-- Whether the host may wait for the job: it reports no changes, and polls at its own pace.
local function is_awaited(w, options, on_update)
  return w.awaits() and not on_update and options.interval == nil and options.max_interval == nil
end

--- Poll until the job has ended. `pause` is the first pause, in seconds.
function M.watch(w, name, kind, prediction, options, deadline, pause, on_update)
  if TERMINAL[prediction.status] then return prediction end
  if is_awaited(w, options, on_update) then return await_end(w, name, kind, prediction, options, deadline) end
  local first = options_.seconds(name, "interval", options.interval, w.mistake) or FIRST
  local longest = options_.seconds(name, "max_interval", options.max_interval, w.mistake) or LONGEST
  local key = kind .. prediction.id
  w.watchers[key] = (w.watchers[key] or 0) + 1
  pause = pause or first
  local failures = 0
  while not TERMINAL[prediction.status] do
    local rest = pause * (1 + JITTER * sequence.chance())
    if deadline then
      local left = deadline - w.now()
      if left <= 0 then timed_out(w, name, kind, prediction, options) end
      rest = min(rest, left)
    end
    local before = prediction
    prediction, failures = w:patient_poll(name, kind, prediction, failures, nil, rest > 0 and rest or nil)
    if on_update and changed(before, prediction) then on_update(prediction) end
    pause = pause == 0 and first or min(pause * FACTOR, longest)
  end
  w.watchers[key] = w.watchers[key] > 1 and w.watchers[key] - 1 or nil
  return prediction
end

local function checked_kind(w, kind)
  if kind ~= nil and kind ~= "prediction" and kind ~= "training" then
    w.mistake("wait", format('expected "prediction" or "training" as `kind`, got %s', tostring(kind)))
  end
  return kind
end

--- Wait until a prediction or training has ended, and return it, whether it succeeded or not. Takes the object, or
--- an id with `kind = "training"` for a training. After `timeout` (seconds) or at `deadline` (on the clock of
--- `time()`) it raises an error with code "timed_out", and cancels only with `cancel_on_timeout`.
--- `on_update(prediction)` is called after each change.
function M.wait(w, prediction, options)
  options = options_.checked("wait", options, w.mistake)
  local kind = checked_kind(w, options.kind)
  local timeout = options_.seconds("wait", "timeout", options.timeout, w.mistake, true)
  local deadline = options_.seconds("wait", "deadline", options.deadline, w.mistake, true)
  if timeout then deadline = min(deadline or w.now() + timeout, w.now() + timeout) end
  if type(prediction) == "string" then
    kind = kind or "prediction"
    prediction = w:get(kind, prediction)
  elseif type(prediction) ~= "table" or type(prediction.id) ~= "string" then
    w.mistake("wait", "expected a prediction, a training or an id, got " .. values.kind(prediction))
  end
  kind = kind or output.kind_of(prediction)
  return w:watch("wait", kind, prediction, options, deadline, nil, options.on_update)
end

return M
