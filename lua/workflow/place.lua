-- The position in a stream: which events of a new connection were seen before, and which text is missing.

local use = ...
local output = use("workflow/output")

local sub = string.sub

local M = {}

--- `id` is the last id, `count` how many events came after the event with it, `total` the number of all events.
--- `follows` is the first of those events, `first` the id of the very first event; `skip` counts repeats still to come.
--- `size` and `sum` are of the text that was given.
function M.start() return { count = 0, total = 0, size = 0, sum = 0 } end

local function key(event) return event.event .. "\n" .. event.data end

-- How many events of a new connection were seen before, by its first one. A server that knows the last id continues
-- after that event; others start from the beginning.
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

--- Notes text that is given to the script.
function M.give(place, text)
  place.size, place.sum = place.size + #text, output.summed(text, place.sum)
end

--- The rest of the whole text; nil if it does not begin with the given text.
function M.rest(place, whole)
  if #whole < place.size or output.summed(sub(whole, 1, place.size), 0) ~= place.sum then return nil end
  return sub(whole, place.size + 1)
end

return M
