-- The position in a stream. It tells which events of a new connection are repeated, and which text is missing.

local use = ...
local output = use("workflow/output")

local sub = string.sub

local M = {}

--- A new position. `id` is the last event id, `count` the number of events received after the event with that id, and
--- `follows` the first of these; `total` is the number of all events, and `first` the id of the first of all events.
--- `skip` counts the repeated events still to come. `size` and `sum` are the size and checksum of the text that the
--- script has received.
function M.start() return { count = 0, total = 0, size = 0, sum = 0 } end

local function key(event) return event.event .. "\n" .. event.data end

-- The number of events that a new connection will repeat, judged by its first event. A server that recognizes the last
-- id continues after the event with that id; other servers start from the beginning.
local function repeats(place, event)
  if place.total == 0 then return 0 end
  if not place.id then return place.total end
  if event.id == place.id then return place.first == place.id and place.total or place.count + 1 end
  if event.id ~= "" then return event.id == place.first and place.total or 0 end
  return place.follows == key(event) and place.count or 0
end

local function advance(place, event)
  if place.total == 0 then place.first = event.id end
  place.total = place.total + 1
  if event.id ~= "" and event.id ~= place.id then
    place.id, place.count, place.follows = event.id, 0, nil
  else
    place.count = place.count + 1
    if place.count == 1 then place.follows = key(event) end
  end
end

--- Takes an event; returns whether it is new.
function M.take(place, event)
  if place.skip == nil then place.skip = repeats(place, event) end
  if place.skip > 0 then
    place.skip = place.skip - 1
    return false
  end
  advance(place, event)
  return true
end

--- Adds text that the script receives to the position.
function M.give(place, text)
  place.size, place.sum = place.size + #text, output.summed(text, place.sum)
end

--- The part of the whole text that the script has not received; nil if the whole does not begin with the received text.
function M.rest(place, whole)
  if #whole < place.size or output.summed(sub(whole, 1, place.size), 0) ~= place.sum then return nil end
  return sub(whole, place.size + 1)
end

return M
