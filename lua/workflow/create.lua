-- Starts predictions: planning how to run the model, sending the create, and finding the result of a lost answer.

local use = ...
local values, task, guard = use("values"), use("task"), use("guard")
local options_, output = use("workflow/options"), use("workflow/output")

local error, next, rawget, type = error, next, rawget, type
local format, floor, pcall = string.format, math.floor, guard.pcall

local MAX_REF = 600 -- bytes of a reference to a model
local WAIT = 10 -- seconds that the API is asked to delay the answer to a create
local CROWD = 64 -- with more requests in flight, no answer is delayed, since a delayed answer occupies a connection
local SETTLED = 4 -- seconds after which a new prediction is listed
local SENT = { "cancel_after", "lifetime", "webhook", "webhook_events_filter" } -- options that are sent unchanged
-- Failures of a create that may have been executed.
local UNKNOWN = { uncertain = true, server_error = true, internal_error = true, system_error = true }

local M = { WAIT = WAIT }

function M.note(w, kind, prediction)
  output.named(prediction)
  if output.is_prediction(prediction) then
    w.started[prediction.id] = not output.TERMINAL[prediction.status] and kind or nil
  end
  return prediction
end

--- The header Prefer for the option `wait`.
function M.prefer(w, name, wait)
  if wait == nil then wait = task.busy() < CROWD and WAIT end
  if wait == true then wait = 60 end
  if wait == false then return nil end
  if type(wait) ~= "number" or wait < 1 or wait > 60 then
    w.mistake(name, format("expected 1 to 60 seconds, true or false as `wait`, got %s", values.amount(wait)))
  end
  return format("wait=%d", floor(wait))
end

-- The input with the changes of a plan. The script's own table is unchanged.
local function changed(input, changes)
  local copied = {}
  local function own(holder, key)
    local item = rawget(holder, key)
    if not copied[item] then
      item = values.copy(item)
      copied[item] = true
      holder[key] = item
    end
    return item
  end
  local top = values.copy(input)
  for i = 1, #changes do
    local change = changes[i]
    local path, holder = change.path, top
    for j = 1, #path - 1 do
      holder = own(holder, path[j])
    end
    holder[path[#path]] = change.digits and values.integer(change.digits) or change.value
  end
  return top
end

local function send(w, plan, options, prefer)
  local arguments = { input = plan.input, prefer = prefer }
  for name, value in next, plan.arguments do
    arguments[name] = value
  end
  for i = 1, #SENT do
    arguments[SENT[i]] = options[SENT[i]]
  end
  return w:note("prediction", w.api[plan["function"]](arguments))
end

-- Send the create in a separate task: if the waiting task is canceled, the created prediction is still recorded.
local function sent(w, plan, options, prefer)
  w.begun = w.begun + 1
  local number, answer = w.begun, task.shared(function() return send(w, plan, options, prefer) end)
  w.creating[number] = answer
  local ok, prediction = pcall(answer)
  w.creating[number] = nil
  return ok, prediction
end

--- Waits for the creates in flight.
function M.settle(w)
  for number = 1, w.begun do
    if w.creating[number] then pcall(w.creating[number]) end
    w.creating[number] = nil
  end
end

-- Find the prediction of a create without an answer. The create is never sent again.
local function reclaim(w, plan, input, since)
  for pause = 0, SETTLED, SETTLED / 2 do
    w.sleep(pause)
    local asked = { ["function"] = plan["function"], made_of = plan.arguments, input = input, since = since }
    local ok, found = pcall(w.service, "reclaim", asked)
    if ok and found then return found end
  end
end

local function planned(w, name, ref, question)
  local plan = w.service("plan", question, name)
  plan.ref, plan.input = ref, plan.changes and changed(question.input, plan.changes) or question.input
  return plan
end

--- The plan for running the model, after its input is checked.
function M.prepare(w, name, ref, input, options)
  if type(ref) ~= "string" then w.mistake(name, "expected a model such as owner/name, got " .. values.kind(ref)) end
  if input == nil then input = {} end
  if type(input) ~= "table" then w.mistake(name, "expected a table as input, got " .. values.kind(input)) end
  local is_list, count = values.shape(input)
  if is_list and count > 0 then w.mistake(name, "expected a table of named inputs, got a list") end
  if #ref > MAX_REF then w.mistake(name, format("expected a model such as owner/name, got a text of %d bytes", #ref)) end
  local validate = options.validate ~= false
  local plan = planned(w, name, ref, { ref = ref, input = input, validate = validate })
  plan.unread = not validate
  return plan
end

--- The schema's description of an output. If the input was not checked, the schema is read once an output needs it.
function M.described(w, plan, value)
  if plan.unread and (output.is_table(value) or output.is_url(value)) then
    plan.unread = false
    local ok, found = pcall(w.service, "plan", { ref = plan.ref, input = {}, validate = false, describe = true })
    if ok then plan.output = found.output end
  end
  return plan.output
end

local function is_no_official_model(failure)
  return type(failure) == "table" and (failure.status == 404 or failure.status == 422)
end

--- Create a prediction; return it with its plan, which describes the output.
function M.begin(w, plan, options, prefer)
  local since, input = w.now(), plan.input
  local ok, prediction = sent(w, plan, options, prefer)
  if not ok and plan.unsure and is_no_official_model(prediction) then
    plan = planned(w, "run", plan.ref, { ref = plan.ref, input = input, validate = false, resolve = true })
    ok, prediction = sent(w, plan, options, prefer)
  end
  if not ok then
    local found = UNKNOWN[output.code_of(prediction)] and reclaim(w, plan, input, since)
    if not found then error(prediction, 0) end
    prediction = found
  end
  return w:note("prediction", prediction), plan
end

--- Start a prediction and return it at once. `ref` is owner/name, owner/name:version, a version id, or
--- deployments/owner/name.
function M.create(w, ref, input, options)
  options = options_.checked("create", options, w.mistake)
  return (w:begin(w:prepare("create", ref, input, options), options))
end

return M
