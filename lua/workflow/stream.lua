-- Follows a prediction's output while it is written, even if connections break or servers repeat or withhold text.

local use = ...
local guard, json, values = use("guard"), use("json"), use("values")
local options_, output, sequence = use("workflow/options"), use("workflow/output"), use("workflow/sequence")
local place_ = use("workflow/place")

local error, setmetatable, tostring, type = error, setmetatable, tostring, type
local format, match, concat, pcall = string.format, string.match, table.concat, guard.pcall
local TERMINAL = output.TERMINAL

local LOST_PAUSE = 0.5 -- seconds before reconnecting a stream without new events; doubled each time
local BARREN = 3 -- connections in a row without new events before the prediction's status is requested
local HELD = 10 -- seconds; the server ends connections that were silent for longer
local KNOWN_EVENTS = { output = true, logs = true, error = true, done = true }

local Event = { __metatable = "event" }
function Event.__tostring(event) return event.event == "output" and event.data or "" end
function Event.__concat(left, right) return tostring(left) .. tostring(right) end

-- One stream of a prediction, with its plan if the script started the prediction. `queue` from `from` on holds events
-- for the script, and `barren` counts connections in a row without new events. The current connection began at `began`,
-- and is `fruitful` if it had new events.
local function new(prediction, plan)
  local url = type(prediction.urls) == "table" and prediction.urls.stream
  return {
    prediction = prediction, plan = plan,
    url = url, streams = url and true or false,
    number = sequence.next_stream(),
    place = place_.start(),
    queue = {}, from = 1, over = false,
    barren = 0, began = 0, fruitful = false, resumed = false, concluded = false,
  }
end

local function put(s, name, data, id)
  s.queue[#s.queue + 1] = setmetatable({ event = name, data = data, id = id }, Event)
  if name == "output" then place_.give(s.place, data) end
end

local function take(s, events)
  for i = 1, #events do
    local event = events[i]
    if place_.take(s.place, event) and KNOWN_EVENTS[event.event] then
      put(s, event.event, event.data, event.id ~= "" and event.id or s.place.id or "")
    end
  end
  return #s.queue > 0
end

local M = {}

-- Whether the items of a list are parts of one text: according to the schema, or because the server streams them.
local function is_one_text(w, s, list)
  local described = s.plan and w:described(s.plan, list)
  if described and (described.kind == "concatenate" or described.files[1]) then return described.kind == "concatenate" end
  return s.streams
end

local function lost(w, s)
  w.raise({
    code = "unreachable",
    message = format("stream: the stream of %s was lost, and the text so far is not the start of its output",
      output.about(s.prediction)),
    ["function"] = "stream",
    prediction = s.prediction,
  })
end

-- The items that the stream lacked: all items, unless they are texts of which the script has received some.
local function missing_items(w, s, list)
  local items, size, whole = {}, 0, output.joined(list)
  if s.place.size > 0 and not whole then return items end
  if whole and not place_.rest(s.place, whole) then lost(w, s) end
  for i = 1, #list do
    local item = type(list[i]) == "string" and list[i] or json.encode(list[i])
    if size >= s.place.size then items[#items + 1] = item end
    size = size + #item
  end
  return items
end

-- The texts of the prediction's output that the stream lacked, one for each new event.
local function missing(w, s)
  local value = s.prediction.output
  if value == nil then return {} end
  if output.is_table(value) and #value > 0 then
    local whole = output.joined(value)
    if not whole or not is_one_text(w, s, value) then return missing_items(w, s, value) end
    value = whole
  end
  if output.is_table(value) and values.shape(value) then return {} end
  if type(value) ~= "string" then return s.place.size > 0 and {} or { json.encode(value) } end
  local rest = place_.rest(s.place, value) or lost(w, s)
  return rest ~= "" and { rest } or {}
end

local function put_all(s, texts)
  for i = 1, #texts do
    put(s, "output", texts[i])
  end
end

local function watched(w, s) return w:watch("stream", "prediction", s.prediction, {}, nil, 0) end

local function finish_by_polling(w, s)
  s.url = nil
  s.prediction = watched(w, s)
  put_all(s, missing(w, s))
  local ending = { succeeded = "{}", failed = '{"reason":"error"}' }
  put(s, "done", ending[s.prediction.status] or '{"reason":"canceled"}')
end

-- Whether to reconnect after a connection has ended: at once if it had new events, else after growing pauses. After
-- several connections without new events, request the prediction's status.
local function goes_on(w, s)
  if s.barren == 0 then return true end
  if s.barren <= BARREN then
    w.sleep(LOST_PAUSE * 2 ^ (s.barren - 1))
    return true
  end
  if w.now() - s.began < HELD then return false end
  s.prediction = w:patient_poll("stream", "prediction", s.prediction, 0)
  return not TERMINAL[s.prediction.status] -- the server ends connections that are silent for half a minute
end

local function follow(w, s)
  local ok, answer = pcall(w.service, "follow", { stream = s.number, url = s.url, after = s.place.id })
  if ok then return answer end
  local status = type(answer) == "table" and answer.status
  if status == 404 or status == 410 then return nil end
  if s.place.total == 0 or not w:may_pass(answer) then error(answer, 0) end
  return { events = {}, over = true }
end

local function refill(w, s)
  s.queue, s.from = {}, 1
  while s.url do
    local answer = follow(w, s)
    if not answer then break end
    if answer.begun then
      s.resumed, s.place.skip, s.began, s.fruitful = s.resumed or s.place.total > 0, nil, w.now(), false
    end
    if take(s, answer.events) then
      s.fruitful, s.barren = true, 0
      return
    end
    if answer.over then
      if not s.fruitful then s.barren = s.barren + 1 end
      s.fruitful = false
      if not goes_on(w, s) then break end
    end
  end
  finish_by_polling(w, s)
end

-- Finish the stream: find out how the prediction ended, and the text that a lost connection may have withheld.
local function conclude(w, s, event)
  s.over = true
  local ok, ended = pcall(watched, w, s)
  s.prediction = ok and ended or s.prediction
  local prediction, reason = s.prediction, match(event.data, '"reason"%s*:%s*"(%w+)"')
  if reason and not (ok and prediction.status == "succeeded") then
    if not TERMINAL[prediction.status] then prediction.status = reason == "error" and "failed" or "canceled" end
    w:ended_badly("stream", prediction)
  end
  local matches, rest = pcall(missing, w, s)
  if not (s.resumed and ok and matches) or #rest == 0 or s.concluded then return event end
  s.over, s.concluded, s.queue, s.from = false, true, {}, 2
  put_all(s, rest)
  s.queue[#s.queue + 1] = event
  return s.queue[1]
end

local function fail(w, s, event)
  s.over = true
  local ok, fields = pcall(json.decode, event.data)
  local seen, found = pcall(w.get, w, "prediction", s.prediction.id)
  if seen and output.is_prediction(found) then s.prediction = found end
  local prediction = s.prediction
  if prediction.error == nil or prediction.error == "" then
    prediction.error = ok and type(fields) == "table" and fields.detail or event.data
  end
  if prediction.status ~= "failed" then prediction.status = "failed" end
  w:ended_badly("stream", prediction)
end

local function next_event(w, s)
  if s.over then return nil end
  if s.from > #s.queue then refill(w, s) end
  local event = s.queue[s.from]
  s.from = s.from + 1
  if event.event == "done" then return conclude(w, s, event) end
  if event.event == "error" then fail(w, s, event) end
  return event
end

local function all_text(w, s)
  local parts = {}
  for event in function() return next_event(w, s) end do
    if event.event == "output" then parts[#parts + 1] = event.data end
  end
  return concat(parts)
end

local function leave(w, s)
  if not s.over then w.service("leave", { stream = s.number }) end
  s.over = true
end

--- Start a prediction, or take an existing one, and read its output while it is written:
--- `for event in stream(ref, input) do`.
--- An event has `event` ("output", "logs", "done"), `data` and `id`; as text it is its output. Raises if it fails.
--- `:text()` waits for the whole text, `:close()` stops reading, `.prediction` is the prediction.
function M.stream(w, ref, input, options)
  options = options_.checked("stream", options, w.mistake)
  local s
  if type(ref) == "table" then
    s = new(ref)
  else
    s = new(w:begin(w:prepare("stream", ref, input, options), options))
  end
  local methods = {
    text = function() return all_text(w, s) end,
    close = function() leave(w, s) end,
  }
  return setmetatable({}, {
    __call = function() return next_event(w, s) end,
    __index = function(_, name) return name == "prediction" and s.prediction or methods[name] end,
    __metatable = "stream",
  })
end

return M
