-- The part of `debug` that scripts have: positions of their own functions, as text and numbers. Functions of the host
-- look like C functions.

local use = ...
local failures, values = use("failures"), use("values")

local M = {}

local error, tostring, type = error, tostring, type
local concat, format = table.concat, string.format
local getinfo, running = debug.getinfo, coroutine.running

local PLAIN = { "source", "short_src", "what", "currentline", "linedefined", "lastlinedefined", "name", "namewhat", "nups" }
local FOREIGN = { source = "=[C]", short_src = "[C]", what = "C", currentline = -1, linedefined = -1, lastlinedefined = -1 }
local WANTED = "Slnu" -- omits "f", which returns the function, and "L"
local MAX_LEVELS = 30
local MAX_LEVEL = 1000000 -- deeper than any stack; from 2^53 on, adding one would change nothing

local function plain(info)
  if not info then return nil end
  local own, found = failures.is_own(info.source), {}
  for i = 1, #PLAIN do
    local name = PLAIN[i]
    found[name] = info[name]
    if not own and FOREIGN[name] then found[name] = FOREIGN[name] end
  end
  return found
end

--- `debug.getinfo` without the field `func`: `getinfo(level)` or `getinfo(f)`, optionally with a coroutine first.
function M.getinfo(first, second)
  local co, of = running(), first
  if type(first) == "thread" then
    co, of = first, second
  end
  if type(of) == "function" then return plain(getinfo(of, "Snu")) end
  if type(of) ~= "number" then
    error(format("bad argument #1 to 'getinfo' (function or level expected, got %s)", values.kind(of)), 2)
  end
  if of == 0 then return plain(getinfo(M.getinfo, WANTED)) end
  if type(first) == "thread" then return plain(getinfo(co, of, WANTED)) end
  return plain(getinfo(of + 1, WANTED))
end

local function line(info)
  local at = info.currentline > 0 and format("%s:%d", info.short_src, info.currentline) or info.short_src
  if info.what == "main" then return at .. ": in main chunk" end
  return at .. ": in function " .. (info.name and format("'%s'", info.name) or format("<%s:%d>", info.short_src, info.linedefined))
end

--- `debug.traceback`: the message, and the frames of the script.
function M.traceback(first, second, third)
  local co, message, level = nil, first, second
  if type(first) == "thread" then
    co, message, level = first, second, third or 0
  end
  if message ~= nil and type(message) ~= "string" and type(message) ~= "number" then return message end
  local lines = { message and tostring(message) .. "\nstack traceback:" or "stack traceback:" }
  level = (type(level) == "number" and level or 1) + (co and 0 or 1)
  if not (level >= 0 and level < MAX_LEVEL) then level = MAX_LEVEL end
  for at = level, level + MAX_LEVELS do
    local info
    if co then
      info = getinfo(co, at, "Sln")
    else
      info = getinfo(at, "Sln")
    end
    if not info then break end
    if failures.is_own(info.source) then lines[#lines + 1] = "\n\t" .. line(info) end
  end
  return concat(lines)
end

return M
