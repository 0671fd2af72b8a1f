-- Errors of a script: where they were raised, what a helper raises, and how an uncaught error becomes plain data.

local use = ...
local values, dump, guard = use("values"), use("dump"), use("guard")

local error, getmetatable, next, pcall, rawget = error, getmetatable, next, pcall, rawget
local setmetatable, tonumber, tostring, type = setmetatable, tonumber, tostring, type
local byte, concat, find, format = string.byte, table.concat, string.find, string.format
local gmatch, gsub, match, sub = string.gmatch, string.gsub, string.match, string.sub
local huge, getinfo, full_traceback = math.huge, debug.getinfo, debug.traceback

local MAX_MESSAGE, MAX_LINE = 8192, 500

local M = {
  NO_MEMORY = "not enough memory", -- as every engine says it
  chunk_names = {}, -- of the script and its modules
  sources = {}, -- their texts, by the same names
}

local chunk_names, NO_MEMORY = M.chunk_names, M.NO_MEMORY
local whole = {} -- names as Lua shortens them -> the whole names

-- Lua shortens names that are longer than this in messages: "..." and their end.
local MAX_SHOWN, SHORTENED = 59, 56

--- A chunk of the script: its name, and its text if its lines are to be shown.
function M.know(name, source)
  chunk_names["@" .. name] = true
  M.sources["@" .. name] = source or M.sources["@" .. name]
  if #name > MAX_SHOWN then whole["..." .. sub(name, -SHORTENED)] = name end
end

local function whole_name(shown) return whole[shown] or shown end

-- Position in the script ---------------------------------------------------------------------------------------

-- Whether a function's source is the script's: what this directory holds is loaded under names with "=".
local function is_own(source) return byte(source) == 64 end -- "@"
M.is_own = is_own

-- Calls `visit(info)` for each frame of the script's own chunks, innermost first, until it returns a value.
local function own_frames(level, visit)
  while true do
    local info = getinfo(level, "Sln")
    if not info then return nil end
    if is_own(info.source) then
      local found = visit(info)
      if found ~= nil then return found end
    end
    level = level + 1
  end
end

local function place(info) return format("%s:%d", sub(info.source, 2), info.currentline) end

local function where() return own_frames(3, place) end

-- Errors -------------------------------------------------------------------------------------------------------

local Error = { __metatable = "error" }
local raised = setmetatable({}, { __mode = "k" }) -- error of the host -> its code, also if a script changes the table

local function error_text(value)
  if type(value) == "table" and type(rawget(value, "message")) == "string" then return rawget(value, "message") end
  local ok, text = pcall(tostring, value)
  if not ok and text == NO_MEMORY then return text end
  return ok and type(text) == "string" and text or "(error object is a " .. type(value) .. " value)"
end

Error.__tostring = error_text
function Error.__concat(left, right) return error_text(left) .. error_text(right) end

-- A mistake in a call is reported with its line. Other errors are not the fault of that line.
local MISTAKES = { invalid_arguments = true, unknown_function = true }

local function raise(fields)
  local at = where()
  if at and MISTAKES[fields.code] then fields.message = format("%s (%s)", fields.message, at) end
  fields.where = rawget(fields, "where") or at
  raised[fields] = fields.code
  error(setmetatable(fields, Error), 0)
end

function M.mistake(name, message)
  raise({ code = "invalid_arguments", message = name .. ": " .. message, ["function"] = name })
end

-- The fields of an error besides its message, and their types.
local FIELDS = {
  code = { string = true },
  ["function"] = { string = true },
  status = { number = true },
  detail = { string = true, number = true },
  hint = { string = true },
  retry_after = { number = true },
  where = { string = true },
}
-- Codes that describe how the run ended. A script cannot set them.
local HOSTS_OWN = { limit_reached = true, interrupted = true, script_crashed = true, internal_error = true,
  system_error = true, output_failed = true, dry_run = true }

-- A field of an error, checked: the script may have assigned anything.
local function plain_field(name, value)
  if not FIELDS[name][type(value)] then return nil end
  if type(value) == "string" then return values.scrub(sub(value, 1, MAX_MESSAGE)) end
  if value > -huge and value < huge then return value end
end

local function code_of(value)
  if raised[value] then return raised[value] end
  local code = plain_field("code", rawget(value, "code"))
  return code and not HOSTS_OWN[code] and code or "script_error"
end

-- The text of an error. A table without a message is shown with its contents.
local function text_of(value)
  if type(value) == "table" and not getmetatable(value) and type(rawget(value, "message")) ~= "string" then
    local ok, text = pcall(dump, value)
    if ok then return text end
  end
  return error_text(value)
end

local trace -- the frames of the last error

--- The handler for a protected call whose error `M.describe` then reports. A stack that overflowed has room for a
--- handler this small, and for no larger one.
function M.handler(value)
  trace = full_traceback("")
  return value
end

-- The script's own frames in a traceback: "file:line" of the first, and the lines of all.
local function frames_in(text)
  local first, lines = nil, {}
  for name, number, rest in gmatch(text, "\n\t([^\n]+):(%d+): in ([^\n]*)") do
    if chunk_names["@" .. whole_name(name)] then
      local at = whole_name(name) .. ":" .. number
      local called = match(rest, "'([^']*)'$")
      first = first or at
      local is_main = rest == "main chunk" or called == "main_chunk" -- as this directory calls it
      lines[#lines + 1] = at .. (is_main and " in main chunk" or called and " in '" .. called .. "'" or "")
    end
  end
  return first, concat(lines, "\n")
end

-- The place that a message begins with, if it is the script's own, and the rest of the message.
local function placed(text)
  local name, number, rest = match(text, "^(.-):(%d+): (.*)$")
  if not name then return nil, text end
  local own = chunk_names["@" .. whole_name(name)]
  if own or name == "bridge.lua" then text = rest end -- a script's tail call into C returns to the bridge
  return own and whole_name(name) .. ":" .. number, text
end

local function hint_of(value, text, at)
  if find(text, "^stack overflow") then
    return "a function calls itself without an end: look at the condition that ends it"
  end
  if type(value) == "string" and (find(text, "^attempt to ") or find(text, "^bad argument ")) then
    return use("advice").on(text, use("sandbox"), M.line_at(at) or "")
  end
end

--- What a protected call with `M.handler` raised, as plain data.
function M.describe(value)
  local at, text = placed(values.scrub(sub(text_of(value), 1, MAX_MESSAGE)))
  local report = { message = text, code = "script_error" }
  if type(value) == "table" then
    for name in next, FIELDS do
      report[name] = plain_field(name, rawget(value, name))
    end
    report.code = code_of(value)
  end
  local first, lines = frames_in(type(trace) == "string" and trace or "")
  report.where = report.where or at or first or (find(text, "^stack overflow") and guard.deep() or nil)
  report.traceback = values.scrub(lines)
  report.hint = report.hint or hint_of(value, text, report.where)
  trace = nil
  return report
end

--- The text of a line, named as "file:line", if its source is known.
function M.line_at(where)
  local name, number = match(where or "", "^(.*):(%d+)$")
  local source, at = M.sources["@" .. (name or "")], 0
  if not source then return nil end
  for line in gmatch(source .. "\n", "([^\n]*)\n") do
    at = at + 1
    if at == tonumber(number) then return (gsub(sub(line, 1, MAX_LINE), "\r$", "")) end
  end
end

--- The report of a syntax error. Its `detail` is the text of the line.
function M.syntax_error(message)
  local name, number, text = match(message, "^(.-):(%d+): (.*)$")
  local at = name and whole_name(name) .. ":" .. number
  local line = M.line_at(at)
  return {
    code = "syntax_error", message = values.scrub(text or message), where = at and values.scrub(at),
    detail = line and values.scrub(line),
  }
end

M.error_text, M.raise = error_text, raise

return M
