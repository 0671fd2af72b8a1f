-- Replacements for functions whose results differ between processes and would make a resumed script diverge: the clock,
-- and the order of a table's keys. With a journal, scripts get versions whose results are repeatable.

local M = {}

local next, rawequal, rawget, type = next, rawequal, rawget, type
local sort, floor, unpack = table.sort, math.floor, table.unpack or unpack

local RANK = { number = 1, string = 2, boolean = 3 }

-- The order of keys: numbers, strings, booleans, then other keys in their current order, which may differ in another
-- process.
local function before(a, b)
  local x, y = RANK[type(a.key)] or 4, RANK[type(b.key)] or 4
  if x ~= y then return x < y end
  if x < 3 and a.key ~= b.key then return a.key < b.key end
  if x == 3 and a.key ~= b.key then return b.key end
  return a.index < b.index
end

-- Iterate over the present keys in order. Entries that are removed during the iteration are skipped.
local function walk(t)
  local keys = {}
  for key in next, t do
    keys[#keys + 1] = { key = key, index = #keys }
  end
  sort(keys, before)
  local at = 0
  return function()
    while true do
      at = at + 1
      local item = keys[at]
      if not item then return nil end
      local value = rawget(t, item.key)
      if value ~= nil then return item.key, value end
    end
  end
end

--- A function that installs the versions for a journal, given `{ began = … }`, or the usual ones without a journal.
function M.exchanger(env)
  local pairs, now, clock_time, date = env.pairs, env.time, env.os.time, env.os.date
  local began
  local function ordered(t)
    if type(t) ~= "table" then return pairs(t) end
    return walk(t)
  end
  local function time(...)
    if (...) ~= nil then return clock_time(...) end
    return floor(now())
  end
  local places = {
    { env, "pairs", ordered },
    { env.os, "time", time },
    { env.os, "date", function(form, at) return date(form or "%c", at or floor(now())) end },
    { env.os, "clock", function() return now() - began end },
  }
  for i = 1, #places do
    places[i].usual = places[i][1][places[i][2]]
  end
  return function(journal)
    began = journal and journal.began
    for i = 1, #places do
      local place, name, kept = unpack(places[i])
      local before, after = kept, places[i].usual
      if journal then
        before, after = after, before
      end
      if rawequal(rawget(place, name), before) then place[name] = after end -- keep what the user assigned
    end
  end
end

return M
