-- What a workflow is written with: run, create, wait, stream, each, download, cancel_all. All of it on top of the
-- functions of the API and the scheduler; the host adds what needs it: how a model is run, event streams, files.

local use = ...
local values, task, guard, file, json = use("values"), use("task"), use("guard"), use("file"), use("json")

local error, next, pairs, rawequal, rawget = error, next, pairs, rawequal, rawget
local setmetatable, tonumber, tostring, type = setmetatable, tonumber, tostring, type
local byte, find, format, gmatch = string.byte, string.find, string.format, string.gmatch
local gsub, match, sub = string.gsub, string.match, string.sub
local concat, sort, min, floor, fmod = table.concat, table.sort, math.min, math.floor, math.fmod
local pcall, files, null = guard.pcall, values.files, values.null

local TERMINAL = { succeeded = true, failed = true, canceled = true, aborted = true }
local WAIT = 10 -- seconds for which a create is asked to hold its answer
local CROWD = 64 -- requests under way, beyond which none is asked to: each takes a connection for as long
local FIRST, LONGEST, FACTOR = 0.25, 5, 1.5 -- seconds between two polls, and how they grow
local JITTER = 0.2 -- how much longer a pause may be
local LOST_PAUSE = 0.5 -- seconds before a stream that gave nothing is followed again; doubled with each
local BARREN = 3 -- connections in a row that give nothing new, before the prediction is asked how it stands
local HELD = 10 -- seconds; a connection that was open for longer was ended by the server for its silence
local KNOWN_EVENTS = { output = true, logs = true, error = true, done = true }
local SETTLED = 4 -- seconds after which a prediction that was created is listed
local PATIENCE = 5 -- polls in a row that fail though each was tried again, before a wait gives up
local PASSING = { unreachable = true, server_error = true, rate_limited = true } -- failures of a poll
-- Failures of a create that may have been done all the same.
local UNKNOWN = { uncertain = true, server_error = true, internal_error = true, system_error = true }
local MAX_LOGS = 1000 -- bytes of a failed prediction's logs that its error tells

local last_stream = 0 -- the host knows a stream by its number, whatever account it is of

-- Numbers that differ from process to process, and leave math.random to the script.
local dice = tonumber(match(tostring({}), "0x(%x+)"), 16) % 2147483647
local function chance()
  dice = fmod(dice * 16807, 2147483647)
  return dice / 2147483647
end

-- Options -----------------------------------------------------------------------------------------------------------

local function words(text)
  local set = {}
  for word in gmatch(text, "%S+") do
    set[word] = true
  end
  return set
end

local SENT = { "cancel_after", "webhook", "webhook_events_filter" } -- as they are, with a create
local CREATE = words("cancel_after webhook webhook_events_filter validate")
local STREAM = CREATE
local RUN = words("cache cancel_after cancel_on_timeout interval max_interval on_progress timeout validate wait "
  .. "webhook webhook_events_filter")
local WAITS = words("timeout deadline cancel_on_timeout on_update interval max_interval kind")
local EACH = words("limit")
local DOWNLOAD = words("overwrite")

local function listed(set)
  local names = {}
  for name in pairs(set) do
    names[#names + 1] = name
  end
  sort(names)
  return concat(names, ", ")
end

-- An output as scripts know it ------------------------------------------------------------------------------------

local function is_table(value) return type(value) == "table" and not rawequal(value, null) end

local function copy(value)
  if not is_table(value) then return value end
  local made = {}
  for key, item in next, value do
    made[key] = copy(item)
  end
  return (next(made) == nil and values.shape(value)) and values.array(made) or made
end

-- Changes the strings that stand at a place, a list of names where "*" is every item.
local function change_at(value, place, at, change)
  if at > #place then return type(value) == "string" and change(value) or value end
  if not is_table(value) then return value end
  local step = place[at]
  if step == "*" then
    for key, item in next, value do
      value[key] = change_at(item, place, at + 1, change)
    end
  elseif value[step] ~= nil then
    value[step] = change_at(value[step], place, at + 1, change)
  end
  return value
end

local function joined(parts)
  for i = 1, #parts do
    if type(parts[i]) ~= "string" then return nil end
  end
  return concat(parts)
end

local function shown(output, kind, places, as_file)
  if kind == "concatenate" and is_table(output) then return joined(output) or output end
  if #places == 0 then return output end
  output = copy(output)
  for i = 1, #places do
    output = change_at(output, places[i], 1, as_file)
  end
  return output
end

-- Whether an answer is what it is asked for: something on the way may have answered instead.
local function is_prediction(value)
  return is_table(value) and type(value.id) == "string" and type(value.status) == "string"
end

-- The last progress bar in the logs: percent, step, steps.
local function progress_of(logs)
  local found
  for percent, step, steps in gmatch(sub(logs or "", -4000), "(%d+)%%%s*|[^\n|]*|%s*(%d+)/(%d+)") do
    found = { percent = tonumber(percent), step = tonumber(step), steps = tonumber(steps) }
  end
  return found
end

-- A sum of bytes, and of those before them: what is compared with it need not be kept.
local function summed(text, sum)
  for i = 1, #text do
    sum = (sum * 31 + byte(text, i)) % 2147483647
  end
  return sum
end

local function rawcode(failure) return type(failure) == "table" and rawget(failure, "code") end

local Event = { __metatable = "event" }
function Event.__tostring(event) return event.event == "output" and event.data or "" end
function Event.__concat(left, right) return tostring(left) .. tostring(right) end

-- For one account -----------------------------------------------------------------------------------------------

--- The helpers of one account. `api` has its functions; `host` gives `service(name, arguments)`, `raise(fields)`,
--- `mistake(function, message)`, `time()` and `sleep(seconds)`, and takes `begin_anew(seed)`, after which chance and
--- numbers are as they are every time after that seed.
return function(host, api, account)
  local raise, mistake, now, sleep = host.raise, host.mistake, host.time, host.sleep
  function host.begin_anew(seed)
    dice, last_stream = seed % 2147483646 + 1, 0
  end
  local M = {}

  local function service(name, arguments)
    arguments.account = account
    return host.service(name, arguments)
  end

  local function checked(name, options, known)
    if options == nil then return {} end
    if type(options) ~= "table" then mistake(name, format("expected a table of options, got %s", values.kind(options))) end
    for option in next, options do
      if not known[option] then
        local near = type(option) == "string" and use("advice").nearest(option, known)
        local rest = near and format("did you mean `%s`?", near) or "there are " .. listed(known)
        mistake(name, format("unknown option `%s`; %s", values.scrub(tostring(option)), rest))
      end
    end
    return options
  end

  local function positive(name, option, value, or_zero)
    if value == nil then return nil end
    if type(value) ~= "number" or not (value > 0 or (or_zero and value == 0)) then
      mistake(name, format("expected seconds as `%s`, got %s", option, values.amount(value)))
    end
    return value
  end

  -- Creating ------------------------------------------------------------------------------------------------------

  local started = {} -- id -> kind, of what was created here and not seen to end

  local function note(kind, prediction)
    if is_prediction(prediction) then started[prediction.id] = not TERMINAL[prediction.status] and kind or nil end
    return prediction
  end

  local function prefer_of(name, wait)
    if wait == nil then wait = task.busy() < CROWD and WAIT end
    if wait == true then wait = 60 end
    if wait == false then return nil end
    if type(wait) ~= "number" or wait < 1 or wait > 60 then
      mistake(name, format("expected 1 to 60 seconds, true or false as `wait`, got %s", values.amount(wait)))
    end
    return format("wait=%d", floor(wait))
  end

  local creating, begun = {}, 0 -- creates that are on their way, in their order, and how many there were

  local function send(plan, options, prefer)
    local arguments = { input = plan.input, prefer = prefer }
    for name, value in next, plan.arguments do
      arguments[name] = value
    end
    for i = 1, #SENT do
      arguments[SENT[i]] = options[SENT[i]]
    end
    local prediction = api[plan["function"]](arguments)
    if not is_prediction(prediction) then
      raise({
        code = "uncertain",
        message = format("%s: the API's answer names no prediction. The prediction may have been created; it is not "
          .. "created again by itself", plan["function"]),
        ["function"] = plan["function"],
        hint = "look for it first: list_predictions",
      })
    end
    return note("prediction", prediction)
  end

  -- Sends it in a task of its own: where the one that waits is canceled, what it made is known all the same.
  local function sent(plan, options, prefer)
    begun = begun + 1
    local number, answer = begun, task.shared(function() return send(plan, options, prefer) end)
    creating[number] = answer
    local ok, prediction = pcall(answer)
    creating[number] = nil
    return ok, prediction
  end

  -- Waits for the creates that are on their way.
  local function settle()
    for number = 1, begun do
      if creating[number] then pcall(creating[number]) end
      creating[number] = nil
    end
  end

  local function is_no_official_model(failure)
    return type(failure) == "table" and (failure.status == 404 or failure.status == 422)
  end


  -- Looking for a create that was not answered -----------------------------------------------------------------------

  -- The prediction that a create without an answer has made after all. It is never created again.
  local function reclaim(plan, input, since)
    for pause = 0, SETTLED, SETTLED / 2 do
      sleep(pause)
      local asked = { ["function"] = plan["function"], made_of = plan.arguments, input = input, since = since }
      local ok, found = pcall(service, "reclaim", asked)
      if ok and found then return found end
    end
  end

  local function planned(ref, question)
    local plan = service("plan", question)
    plan.ref, plan.input = ref, question.input
    return plan
  end

  -- How the model is run, once what it is given is found to be right.
  local function prepare(name, ref, input, options)
    if type(ref) ~= "string" then mistake(name, "expected a model such as owner/name, got " .. values.kind(ref)) end
    if input == nil then input = {} end
    if type(input) ~= "table" then mistake(name, "expected a table as input, got " .. values.kind(input)) end
    return planned(ref, { ref = ref, input = input, validate = options.validate ~= false })
  end

  -- Creates a prediction; gives it with what is known of its output.
  local function create(plan, options, prefer)
    local since, input = now(), plan.input
    local ok, prediction = sent(plan, options, prefer)
    if not ok and plan.unsure and is_no_official_model(prediction) then
      plan = planned(plan.ref, { ref = plan.ref, input = input, validate = false, resolve = true })
      ok, prediction = sent(plan, options, prefer)
    end
    if not ok then
      local found = UNKNOWN[rawcode(prediction)] and reclaim(plan, input, since)
      if not found then error(prediction, 0) end
      prediction = found
    end
    return note("prediction", prediction), plan
  end

  --- Starts a prediction and does not wait for it. `ref` is owner/name, owner/name:version, a version's id, or
  --- deployments/owner/name.
  function M.create(ref, input, options)
    options = checked("create", options, CREATE)
    return (create(prepare("create", ref, input, options), options))
  end

  -- Waiting -------------------------------------------------------------------------------------------------------

  local watchers, polls = {}, {} -- by kind and id

  local trainings = {} -- ids of those that nothing told to be one

  -- Gets or cancels. A created training's own links call it a prediction: what is none is looked for among trainings.
  local function call_about(verb, kind, id)
    if trainings[id] then kind = "training" end
    local ok, answer = pcall(api[format("%s_%s", verb, kind)], { [kind .. "_id"] = id })
    if not ok and kind == "prediction" and type(answer) == "table" and answer.status == 404 then
      local found, training = pcall(api[verb .. "_training"], { training_id = id })
      if found then
        trainings[id] = true
        return note("training", training)
      end
    end
    if not ok then error(answer, 0) end
    return note(kind, answer)
  end

  local function get(kind, id) return call_about("get", kind, id) end

  -- One poll in flight for each: who waits for the same shares it.
  local function poll(kind, id)
    local key = kind .. id
    if watchers[key] == 1 then return get(kind, id) end
    local shared = polls[key]
    if not shared then
      shared = task.shared(function()
        local ok, found = pcall(get, kind, id)
        polls[key] = nil
        if not ok then error(found, 0) end
        return found
      end)
      polls[key] = shared
    end
    return shared()
  end

  local function about(prediction)
    local urls = prediction.urls
    local web = type(urls) == "table" and urls.web
    return prediction.id .. (web and format(" (%s)", web) or ""), web
  end

  local function timed_out(name, kind, prediction, options)
    if trainings[prediction.id] then kind = "training" end
    local text = format("%s: %s is still %s when its time is over", name, about(prediction), prediction.status)
    local hint = format("it goes on, and costs; cancel it: cancel_%s{ %s_id = %q }", kind, kind, prediction.id)
    if options.cancel_on_timeout then
      local ok, canceled = pcall(call_about, "cancel", kind, prediction.id)
      if ok then
        prediction, hint = canceled, "it was canceled; a larger timeout gives it more time"
      else
        hint = format("it could not be canceled: %s; it may go on, and cost", tostring(canceled))
      end
    end
    raise({ code = "timed_out", message = text, ["function"] = name, hint = hint, prediction = prediction })
  end

  local function changed(before, after)
    return before.status ~= after.status or before.logs ~= after.logs or type(after.output) == "table"
      or before.output ~= after.output
  end

  -- Whether a look may succeed the next time: what the API, or something on the way, answered may pass.
  local function may_pass(failure)
    return type(failure) == "table" and (PASSING[rawget(failure, "code")] or rawget(failure, "status") ~= nil)
  end

  local function looked_in_vain(name, kind, prediction, failure)
    raise({
      code = rawcode(failure) or "api_error",
      status = type(failure) == "table" and rawget(failure, "status") or nil,
      message = format("%s: cannot see how %s stands: %d looks in a row failed, the last: %s", name, about(prediction),
        PATIENCE + 1, tostring(failure)),
      ["function"] = name,
      hint = format("it may go on, and cost; wait again: wait(%q), or cancel it: cancel_%s{ %s_id = %q }", prediction.id,
        kind, kind, prediction.id),
      prediction = prediction,
    })
  end

  -- A poll that fails does not end the wait for what is paid for, unless it goes on failing.
  local function patient_poll(name, kind, prediction, failures)
    local ok, found = pcall(poll, kind, prediction.id)
    if ok and is_prediction(found) then return found, 0 end
    if ok then
      found = { code = "api_error", status = 200, message = "the answer is no " .. kind }
    elseif not may_pass(found) then
      error(found, 0)
    end
    if failures == PATIENCE then looked_in_vain(name, kind, prediction, ok and found.message or found) end
    return prediction, failures + 1
  end

  -- Polls until it has ended. `pause` is the first, in seconds.
  local function watch(name, kind, prediction, options, deadline, pause, on_update)
    local first = positive(name, "interval", options.interval) or FIRST
    local longest = positive(name, "max_interval", options.max_interval) or LONGEST
    local key = kind .. prediction.id
    watchers[key] = (watchers[key] or 0) + 1
    pause = pause or first
    local failures = 0
    while not TERMINAL[prediction.status] do
      local rest = pause * (1 + JITTER * chance())
      if deadline then
        local left = deadline - now()
        if left <= 0 then timed_out(name, kind, prediction, options) end
        rest = min(rest, left)
      end
      if rest > 0 then sleep(rest) end
      local before = prediction
      prediction, failures = patient_poll(name, kind, prediction, failures)
      if on_update and changed(before, prediction) then on_update(prediction) end
      pause = pause == 0 and first or min(pause * FACTOR, longest)
    end
    watchers[key] = watchers[key] > 1 and watchers[key] - 1 or nil
    return prediction
  end

  local function kind_of(prediction)
    local urls = prediction.urls
    local link = type(urls) == "table" and urls.get
    return type(link) == "string" and find(link, "/trainings/", 1, true) and "training" or "prediction"
  end

  --- Waits until a prediction or training has ended, however it ends, and returns it as it is then. Takes it, or its
  --- id with `kind = "training"` where it is one. With `timeout` (seconds) or `deadline` (as `time()` tells it) it
  --- raises, code "timed_out", and leaves it alone unless `cancel_on_timeout`. `on_update(prediction)` sees changes.
  function M.wait(prediction, options)
    options = checked("wait", options, WAITS)
    local kind = options.kind
    if kind ~= nil and kind ~= "prediction" and kind ~= "training" then
      mistake("wait", format('expected "prediction" or "training" as `kind`, got %s', tostring(kind)))
    end
    local timeout = positive("wait", "timeout", options.timeout, true)
    local deadline = positive("wait", "deadline", options.deadline, true)
    if timeout then deadline = min(deadline or now() + timeout, now() + timeout) end
    if type(prediction) == "string" then
      kind = kind or "prediction"
      prediction = get(kind, prediction)
    elseif type(prediction) ~= "table" or type(prediction.id) ~= "string" then
      mistake("wait", "expected a prediction, a training or an id, got " .. values.kind(prediction))
    end
    kind = kind or kind_of(prediction)
    return watch("wait", kind, prediction, options, deadline, nil, options.on_update)
  end

  -- Earlier answers -----------------------------------------------------------------------------------------------

  local function recall(plan, age)
    if age == nil then return nil end
    if type(age) ~= "string" then mistake("run", "expected an age such as 12h as `cache`, got " .. values.kind(age)) end
    return service("recall", { made_of = plan.arguments, input = plan.input, version = plan.version, age = age })
  end

  -- Running -------------------------------------------------------------------------------------------------------

  local function ended_badly(name, prediction)
    local id, web = about(prediction)
    local logs = type(prediction.logs) == "string" and sub(prediction.logs, -MAX_LOGS) or ""
    local why = prediction.error ~= nil and ": " .. tostring(prediction.error) or ""
    raise({
      code = "prediction_failed",
      message = format("%s: %s ended as %s%s", name, id, prediction.status, why),
      ["function"] = name,
      detail = logs ~= "" and logs or nil,
      hint = web and "see " .. web or nil,
      prediction = prediction,
    })
  end

  local function as_file(url) return file.of_url(url, M.download) end

  --- Runs a model and returns its output as its schema means it: text joined, files as values with `.url` and
  --- `:save(path)`. The prediction is the second value. Raises, code "prediction_failed", where it does not succeed.
  --- With `cache = "12h"` the answer of an earlier prediction of the same, not older than that, is as good.
  function M.run(ref, input, options)
    options = checked("run", options, RUN)
    local timeout = positive("run", "timeout", options.timeout)
    local deadline = timeout and now() + timeout
    local wait = options.wait
    if wait == nil and timeout and timeout < WAIT then wait = timeout >= 1 and timeout end
    local prefer = prefer_of("run", wait)
    local plan = prepare("run", ref, input, options)
    local earlier = recall(plan, options.cache)
    if earlier then return shown(earlier.output, plan.output.kind, plan.output.files, as_file), earlier end
    local prediction
    prediction, plan = create(plan, options, prefer)
    local report = options.on_progress
    local on_update = report and function(seen) report(seen, progress_of(seen.logs)) end
    if on_update then on_update(prediction) end
    -- A blocking answer that is not terminal may be late already: look at once.
    prediction = watch("run", "prediction", prediction, options, deadline, prefer and 0 or nil, on_update)
    if prediction.status ~= "succeeded" then ended_badly("run", prediction) end
    if options.cache then service("keep", { id = prediction.id }) end
    return shown(prediction.output, plan.output.kind, plan.output.files, as_file), prediction
  end

  --- Cancels predictions and trainings, given as a list of them or of ids; all that this script has started and not
  --- seen to end where none is given, also what is just being created. Returns what the API answered, in that order.
  function M.cancel_all(list)
    if list == nil then
      settle()
      list = {}
      for id, kind in next, started do
        list[#list + 1] = { id = id, status = "starting", urls = { get = "/" .. kind .. "s/" } }
      end
      sort(list, function(a, b) return a.id < b.id end) -- a table gives its keys in another order each time
    elseif type(list) ~= "table" then
      mistake("cancel_all", "expected a list of predictions or ids, got " .. values.kind(list))
    elseif type(rawget(list, "id")) == "string" then
      mistake("cancel_all", "expected a list of predictions or ids, got one; give it as cancel_all { prediction }")
    end
    return task.parallel(list, function(item)
      if type(item) == "string" then item = { id = item } end
      if type(item) ~= "table" then
        mistake("cancel_all", "expected a list of predictions or ids, got one with " .. values.kind(item))
      end
      if TERMINAL[item.status] then return item end
      return call_about("cancel", kind_of(item), item.id)
    end)
  end

  -- Streams -------------------------------------------------------------------------------------------------------

  -- The text that the prediction has and the stream has not given: so many bytes, with that sum, are given already.
  local function untold(prediction, told)
    local output = prediction.output
    local whole = is_table(output) and joined(output) or output
    if type(whole) ~= "string" then return (output == nil or told.size > 0) and "" or json.encode(output) end
    if #whole < told.size or summed(sub(whole, 1, told.size), 0) ~= told.sum then
      raise({
        code = "unreachable",
        message = format("stream: the stream of %s was lost, and what it gave is not how its output begins",
          about(prediction)),
        ["function"] = "stream",
        prediction = prediction,
      })
    end
    return sub(whole, told.size + 1)
  end

  --- Starts a prediction, or takes one, and gives its output while it comes: `for event in stream(ref, input) do`.
  --- An event has `event` ("output", "logs", "done"), `data` and `id`; as text it is its output. A failure is raised.
  --- `:text()` waits for all of it, `:close()` leaves it, `.prediction` is what was started.
  function M.stream(ref, input, options)
    options = checked("stream", options, STREAM)
    local prediction = type(ref) == "table" and ref or create(prepare("stream", ref, input, options), options)
    local url = type(prediction.urls) == "table" and prediction.urls.stream
    last_stream = last_stream + 1
    local number, told = last_stream, { size = 0, sum = 0 }
    local queue, from, over = {}, 1, false
    -- Where the stream stands: the last id, how many events came after the one that brought it, and in all. `follows`
    -- is the first of those events, `first` the id of the very first event.
    local place = { count = 0, total = 0 }
    local barren, began = 0, 0 -- connections in a row that brought nothing new; since when this one is
    local fruitful, resumed, concluded = false, false, false

    local function put(name, data, id)
      queue[#queue + 1] = setmetatable({ event = name, data = data, id = id }, Event)
      if name == "output" then told.size, told.sum = told.size + #data, summed(data, told.sum) end
    end

    local function finish_by_polling()
      url = nil
      prediction = watch("stream", "prediction", prediction, {}, nil, 0)
      local rest = untold(prediction, told)
      if rest ~= "" then put("output", rest) end
      local ending = { succeeded = "{}", failed = '{"reason":"error"}' }
      put("done", ending[prediction.status] or '{"reason":"canceled"}')
    end

    -- How many events of a new connection were had before, given its first one. A server that knows the last id goes on
    -- after the event that brought it; any other begins anew.
    local function repeats(event)
      if place.total == 0 then return 0 end
      if not place.id then return place.total end
      if event.id == place.id then return place.first == place.id and place.total or place.count + 1 end
      if event.id ~= "" then return event.id == place.first and place.total or 0 end
      return place.follows == event.event .. "\n" .. event.data and place.count or 0
    end

    local function advance(event, fresh)
      place.total = place.total + 1
      if event.id ~= "" and event.id ~= place.id then
        place.id, place.count, place.follows = event.id, 0, nil
      else
        place.count = place.count + 1
        if place.count == 1 then place.follows = event.event .. "\n" .. event.data end
      end
      if fresh then place.first = event.id end
    end

    local function take(events)
      for i = 1, #events do
        local event = events[i]
        if place.skip == nil then place.skip = repeats(event) end
        if place.skip > 0 then
          place.skip = place.skip - 1
        else
          advance(event, place.total == 0)
          if KNOWN_EVENTS[event.event] then put(event.event, event.data, event.id ~= "" and event.id or place.id or "") end
        end
      end
      return #queue > 0
    end

    -- Whether to follow on after a connection that ended. One that was cut is made again at once; those that bring
    -- nothing new after growing pauses; then the prediction is asked how it stands.
    local function go_on()
      if barren == 0 then return true end
      if barren <= BARREN then
        sleep(LOST_PAUSE * 2 ^ (barren - 1))
        return true
      end
      if now() - began < HELD then return false end
      prediction = patient_poll("stream", "prediction", prediction, 0)
      return not TERMINAL[prediction.status] -- the server ends connections that say nothing for half a minute
    end

    local function follow()
      local ok, answer = pcall(service, "follow", { stream = number, url = url, after = place.id })
      if ok then return answer end
      local status = type(answer) == "table" and answer.status
      if status == 404 or status == 410 then return nil end
      if place.total == 0 or not may_pass(answer) then error(answer, 0) end
      return { events = {}, over = true }
    end

    local function refill()
      queue, from = {}, 1
      while url do
        local answer = follow()
        if not answer then break end
        if answer.begun then
          resumed, place.skip, began, fruitful = resumed or place.total > 0, nil, now(), false
        end
        if take(answer.events) then
          fruitful, barren = true, 0
          return
        end
        if answer.over then
          if not fruitful then barren = barren + 1 end
          fruitful = false
          if not go_on() then break end
        end
      end
      finish_by_polling()
    end

    -- The end: what the prediction came to, and what a connection that was cut may have kept.
    local function conclude(event)
      over = true
      local ok, ended = pcall(watch, "stream", "prediction", prediction, {}, nil, 0)
      prediction = ok and ended or prediction
      local reason = match(event.data, '"reason"%s*:%s*"(%w+)"')
      if reason and not (ok and prediction.status == "succeeded") then
        if not TERMINAL[prediction.status] then prediction.status = reason == "error" and "failed" or "canceled" end
        ended_badly("stream", prediction)
      end
      local matches, rest = pcall(untold, prediction, told)
      if not (resumed and ok and matches) or rest == "" or concluded then return event end
      over, concluded, queue, from = false, true, {}, 1
      put("output", rest)
      queue[2], from = event, 2
      return queue[1]
    end

    local function next_event()
      if over then return nil end
      if from > #queue then refill() end
      local event = queue[from]
      from = from + 1
      if event.event == "done" then return conclude(event) end
      if event.event == "error" then
        over = true
        local ok, fields = pcall(json.decode, event.data)
        local seen, found = pcall(get, "prediction", prediction.id)
        if seen and is_prediction(found) then prediction = found end
        if prediction.error == nil then
          prediction.error = ok and type(fields) == "table" and fields.detail or event.data
        end
        if prediction.status ~= "failed" then prediction.status = "failed" end
        ended_badly("stream", prediction)
      end
      return event
    end

    local methods = {}

    function methods.text()
      local parts = {}
      for event in next_event do
        if event.event == "output" then parts[#parts + 1] = event.data end
      end
      return concat(parts)
    end

    --- Leaves the stream. The prediction goes on.
    function methods.close()
      if not over then service("leave", { stream = number }) end
      over = true
    end

    return setmetatable({}, {
      __call = next_event,
      __index = function(_, name) return name == "prediction" and prediction or methods[name] end,
      __metatable = "stream",
    })
  end

  -- Pages ---------------------------------------------------------------------------------------------------------

  --- Goes over all items of a list, page after page as they are needed: `for model in each("list_models") do`.
  --- `options.limit` is the most items.
  function M.each(name, arguments, options)
    options = checked("each", options, EACH)
    if type(name) ~= "string" then mistake("each", "expected the name of a function, got " .. values.kind(name)) end
    local call, given = api[name], {}
    for key, value in next, arguments or {} do
      given[key] = value
    end
    local page, at, count, limit, seen = nil, 0, 0, options.limit, {}
    if given.cursor ~= nil then seen[given.cursor] = true end
    return function()
      while count ~= limit do
        if page and at < #page then
          at, count = at + 1, count + 1
          return page[at]
        end
        if page and not given.cursor then return nil end
        local answer = call(given)
        page, at = type(answer) == "table" and rawget(answer, "results"), 0
        if type(page) ~= "table" then mistake("each", format("%s has no pages", name)) end
        given.cursor = type(answer.next) == "string" and service("cursor", { next = answer.next }) or nil
        if given.cursor ~= nil then
          if seen[given.cursor] then
            raise({
              code = "api_error", ["function"] = "each",
              message = format("each: the pages of %s go round in a circle: the next was read before", name),
            })
          end
          seen[given.cursor] = true
        end
      end
    end
  end

  -- Files ---------------------------------------------------------------------------------------------------------

  local function name_in(url, before)
    local name = match(gsub(url, "[?#].*$", ""), "([^/]+)$")
    return before .. (find(url, "^data:") and "output" or name or "output")
  end

  local function save(name, url, path, options, mode)
    if type(url) ~= "string" then mistake(name, "expected a URL, or an output that is one, got " .. values.kind(url)) end
    return service("download", { url = url, path = path, mode = options.overwrite and "replace" or mode })
  end

  --- Saves a file that a prediction made under a path that the script may write to. Takes its URL, its value, or a list
  --- of them with a path that ends in "/". Returns `{ path, size, sha256, content_type }`, or a list of those.
  --- A file that the run did not write is never replaced, unless `overwrite = true`: it is an error, and below "dir/" a
  --- free name is taken.
  function M.download(what, path, options)
    options = checked("download", options, DOWNLOAD)
    if options.overwrite ~= nil and type(options.overwrite) ~= "boolean" then
      mistake("download", "expected true or false as `overwrite`, got " .. values.kind(options.overwrite))
    end
    if type(path) ~= "string" then mistake("download", "expected a path to save to, got " .. values.kind(path)) end
    local is_directory = sub(path, -1) == "/"
    if type(what) == "table" and not files[what] and values.shape(what) then
      if not is_directory then mistake("download", 'expected a path that ends in "/" for a list of files') end
      return task.parallel(what, function(item, index)
        local one = files[item] and files[item].url or item
        return save("download", one, path .. name_in(tostring(one), index .. "-"), options, "free")
      end)
    end
    local url = files[what] and files[what].url or what
    if is_directory and type(url) == "string" then path = path .. name_in(url, "") end
    return save("download", url, path, options, is_directory and "free" or nil)
  end

  return M
end
