-- Running models until they end, and canceling what a script started.

local use = ...
local values, task, file, json = use("values"), use("task"), use("file"), use("json")
local options_, output = use("workflow/options"), use("workflow/output")

local next, rawget, tostring, type = next, rawget, tostring, type
local find, format, sub, sort = string.find, string.format, string.sub, table.sort

local MAX_LOGS = 1000 -- bytes of a failed prediction's logs in its error

local M = {}

--- Raises an error for a prediction that did not succeed.
function M.ended_badly(w, name, prediction)
  local id, web = output.about(prediction)
  local logs = type(prediction.logs) == "string" and sub(prediction.logs, -MAX_LOGS) or ""
  local why = prediction.error
  if output.is_table(why) then why = json.encode(why) end
  why = why ~= nil and why ~= "" and ": " .. tostring(why) or ""
  w.raise({
    code = "prediction_failed",
    message = format("%s: %s ended as %s%s", name, id, prediction.status, why),
    ["function"] = name,
    detail = logs ~= "" and logs or nil,
    hint = web and not find(web, "^http://emulator%.localhost/") and "see " .. web or nil,
    prediction = prediction,
  })
end

local function recall(w, plan, age)
  if age == nil then return nil end
  if type(age) ~= "string" then w.mistake("run", "expected an age such as 12h as `cache`, got " .. values.kind(age)) end
  return w.service("recall", { made_of = plan.arguments, input = plan.input, version = plan.version, age = age })
end

local function shown(w, plan, value)
  return output.shown(value, w:described(plan, value), function(url) return file.of_url(url, w.helpers.download) end)
end

local function progress_reporter(report)
  return report and function(seen) report(seen, output.progress(seen.logs)) end
end

--- Run a model and return its output, converted by its schema: text joined, files as values with `.url` and
--- `:save(path)`. The prediction is the second value. Raises an error with code "prediction_failed" if it does not
--- succeed. With `cache = "12h"` the result of an earlier identical prediction up to that age is accepted.
function M.run(w, ref, input, options)
  options = options_.checked("run", options, w.mistake)
  local timeout = options_.seconds("run", "timeout", options.timeout, w.mistake)
  local deadline = timeout and w.now() + timeout
  local wait = options.wait
  if wait == nil and timeout and timeout < w.WAIT then wait = timeout >= 1 and timeout end
  local prefer = w:prefer("run", wait)
  local plan = w:prepare("run", ref, input, options)
  local earlier = recall(w, plan, options.cache)
  if earlier then return shown(w, plan, earlier.output), earlier end
  local prediction
  prediction, plan = w:begin(plan, options, prefer)
  local on_update = progress_reporter(options.on_progress)
  if on_update then on_update(prediction) end
  -- If the API delayed its answer and the prediction still runs, the status may be old: poll at once.
  prediction = w:watch("run", "prediction", prediction, options, deadline, prefer and 0 or nil, on_update)
  if prediction.status ~= "succeeded" then w:ended_badly("run", prediction) end
  if options.cache then w.service("keep", { id = prediction.id }) end
  return shown(w, plan, prediction.output), prediction
end

-- The jobs that this script started and that may be running, including creates in flight.
local function all_started(w)
  w:settle()
  local list = {}
  for id, kind in next, w.started do
    list[#list + 1] = { id = id, status = "starting", urls = { get = "/" .. kind .. "s/" } }
  end
  sort(list, function(a, b) return a.id < b.id end) -- the order of a table's keys varies
  return list
end

--- Cancel predictions and trainings, given as a list of objects or ids; without a list, everything that this script
--- started and that may be running. Returns the API's answers in that order.
function M.cancel_all(w, list)
  if list == nil then
    list = all_started(w)
  elseif type(list) ~= "table" then
    w.mistake("cancel_all", "expected a list of predictions or ids, got " .. values.kind(list))
  elseif type(rawget(list, "id")) == "string" then
    w.mistake("cancel_all", "expected a list of predictions or ids, got one; write cancel_all { prediction }")
  end
  return task.parallel(list, function(item)
    if type(item) == "string" then item = { id = item } end
    if type(item) ~= "table" then
      w.mistake("cancel_all", "expected a list of predictions or ids, got a list with " .. values.kind(item))
    end
    if output.TERMINAL[item.status] then return item end
    return w:call_about("cancel", output.kind_of(item), item.id)
  end)
end

return M
