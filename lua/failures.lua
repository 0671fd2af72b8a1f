-- Errors of a script: where they were raised, what a helper raises, and how an uncaught error becomes plain data.

local use = ...
local values, dump = use("values"), use("dump")

local error, getmetatable, next, pcall, rawget = error, getmetatable, next, pcall, rawget
local setmetatable, tostring, type = setmetatable, tostring, type
local concat, find, format, match, sub = table.concat, string.find, string.format, string.match, string.sub
local huge, getinfo = math.huge, debug.getinfo

local MAX_MESSAGE, MAX_FRAMES = 8192, 30

local M = {
  NO_MEMORY = "not enough memory", -- as every engine says it
  chunk_names = {}, -- of the script and its modules
}

local chunk_names, NO_MEMORY = M.chunk_names, M.NO_MEMORY

-- Position in the script ---------------------------------------------------------------------------------------

-- Calls `visit(info)` for each frame of the script's own chunks, innermost first, until it returns a value.
local function own_frames(level, visit)
  while true do
    local info = getinfo(level, "Sln")
    if not info then return nil end
    if chunk_names[info.source] then
      local found = visit(info)
      if found ~= nil then return found end
    end
    level = level + 1
  end
end

local function place(info) return format("%s:%d", sub(info.source, 2), info.currentline) end

local function where() return own_frames(3, place) end

local function traceback()
  local lines = {}
  own_frames(3, function(info)
    local name = info.name and format(" in '%s'", info.name) or ""
    lines[#lines + 1] = place(info) .. (info.what == "main" and " in main chunk" or name)
    return #lines == MAX_FRAMES or nil -- looking up a frame takes time in proportion to its depth
  end)
  return concat(lines, "\n")
end

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
  fields.where = at
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

-- Turn an error into plain data while its stack still exists.
function M.describe(value)
  local text = values.scrub(sub(text_of(value), 1, MAX_MESSAGE))
  local at, rest = match(text, "^(.-:%d+): (.*)$")
  local source = at and match(at, "^(.*):%d+$")
  local own = at and chunk_names["@" .. source]
  if own or source == "bridge.lua" then text = rest end -- a script's tail call into C returns to the bridge
  local report = { message = text, code = "script_error" }
  if type(value) == "table" then
    for name in next, FIELDS do
      report[name] = plain_field(name, rawget(value, name))
    end
    report.code = code_of(value)
  end
  if type(value) == "string" and find(text, "a nil value", 1, true) then
    report.hint = use("advice").on(text, use("sandbox"))
  end
  report.where = report.where or (own and at) or own_frames(3, place)
  report.traceback = traceback()
  return report
end

function M.syntax_error(message)
  local at, text = match(message, "^(.-:%d+): (.*)$")
  return { code = "syntax_error", message = values.scrub(text or message), where = at and values.scrub(at) }
end

M.error_text, M.raise = error_text, raise

return M
