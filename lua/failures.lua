-- Errors of a script: where they were raised, what a helper raises, and how an uncaught error becomes plain data.

local use = ...
local values, dump, guard = use("values"), use("dump"), use("guard")

local error, getmetatable, next, pcall, rawget = error, getmetatable, next, pcall, rawget
local setmetatable, tonumber, tostring, type = setmetatable, tonumber, tostring, type
local concat, find, format = table.concat, string.find, string.format
local gmatch, gsub, match, sub = string.gmatch, string.gsub, string.match, string.sub
local huge, getinfo, resume, status = math.huge, debug.getinfo, coroutine.resume, coroutine.status

local MAX_MESSAGE, MAX_LINE, MAX_FRAMES, MAX_LEVELS = 8192, 500, 30, 200

local M = {
  NO_MEMORY = "not enough memory", -- the message of every engine
  chunk_names = {}, -- the chunk names of the script and its modules
  sources = {}, -- the texts of these chunks, by chunk name
}

local chunk_names, NO_MEMORY = M.chunk_names, M.NO_MEMORY
local whole = {} -- a name as Lua shortens it -> the whole name

-- In messages, Lua shortens a name with more than MAX_SHOWN bytes to "..." and its last SHORTENED bytes.
local MAX_SHOWN, SHORTENED = 59, 56

--- Register a chunk of the script by its name, with its text if messages should show its lines.
function M.know(name, source)
  chunk_names["@" .. name] = true
  M.sources["@" .. name] = source or M.sources["@" .. name]
  if #name > MAX_SHOWN then whole["..." .. sub(name, -SHORTENED)] = name end
end

local function whole_name(shown) return whole[shown] or shown end

-- Position in the script ---------------------------------------------------------------------------------------

local is_own, place, where = guard.is_own, guard.line_of, guard.script_line
M.is_own = is_own

-- The script's own frames in a coroutine: the line of the innermost frame, and the lines of all frames.
local function frames_of(co)
  local first, lines = nil, {}
  for level = 0, MAX_LEVELS do
    local info = getinfo(co, level, "Sln")
    if not info or #lines == MAX_FRAMES then break end
    if is_own(info.source) and info.currentline > 0 then
      local name = info.what == "main" and " in main chunk" or info.name and format(" in '%s'", info.name) or ""
      lines[#lines + 1] = place(info) .. name
      first = first or place(info)
    end
  end
  return first, concat(lines, "\n")
end

--- The error that ended a coroutine, with a position. Lua gives none to a stack overflow in the interpreter.
function M.placed(value, co)
  local at = value == "stack overflow" and frames_of(co)
  return at and at .. ": " .. value or value
end

-- Errors -------------------------------------------------------------------------------------------------------

local Error = { __metatable = "error" }
local raised = setmetatable({}, { __mode = "k" }) -- error of the host -> its code, safe from scripts

local function error_text(value)
  if type(value) == "table" and type(rawget(value, "message")) == "string" then return rawget(value, "message") end
  local ok, text = pcall(tostring, value)
  if not ok and text == NO_MEMORY then return text end
  return ok and type(text) == "string" and text or "(error object is a " .. type(value) .. " value)"
end

Error.__tostring = error_text
function Error.__concat(left, right) return error_text(left) .. error_text(right) end

-- Codes of mistakes in a call, whose messages get the line of the call. Other errors are not the fault of that line.
local MISTAKES = { invalid_arguments = true, unknown_function = true }

local function raise(fields)
  local at = where()
  if at and MISTAKES[fields.code] then fields.message = format("%s (%s)", fields.message, at) end
  fields.where = rawget(fields, "where") or at
  raised[fields] = fields.code
  error(setmetatable(fields, Error), 0)
end

--- Turn the fields of an error into an error value, which has its message as text.
function M.made(fields) return setmetatable(fields, Error) end

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
-- Codes that say how the run ended. A script cannot set them.
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

-- The position at the start of a message, if it is in the script, and the rest of the message.
local function placed(text)
  local name, number, rest = match(text, "^(.-):(%d+): (.*)$")
  if not name then return nil, text end
  local own = chunk_names["@" .. whole_name(name)]
  if own or name == "bridge.lua" then text = rest end -- a script's tail call into C returns to the bridge
  return own and whole_name(name) .. ":" .. number, text
end

-- The text of a mistake without its position. The position is at the end of the message, for a script that prints the
-- message, but a report begins with it.
local function without_place(text, at)
  local tail = at and " (" .. at .. ")"
  return tail and sub(text, -#tail) == tail and sub(text, 1, -#tail - 1) or text
end

local function hint_of(value, text, at)
  if find(text, "^stack overflow") then
    return "a function calls itself endlessly: check the condition that ends the recursion"
  end
  if type(value) == "string" and (find(text, "^attempt to ") or find(text, "^bad argument ")) then
    return use("advice").on(text, use("sandbox"), M.line_at(at) or "")
  end
end

--- An error as plain data, with the frames of the coroutine that it ended, if given.
function M.describe(value, co)
  local at, text = placed(values.scrub(sub(text_of(value), 1, MAX_MESSAGE)))
  local report = { message = text, code = "script_error" }
  if type(value) == "table" then
    for name in next, FIELDS do
      report[name] = plain_field(name, rawget(value, name))
    end
    report.code = code_of(value)
  end
  local first, lines
  if co then first, lines = frames_of(co) end
  report.where = report.where or at or first
  report.message = without_place(text, report.where)
  report.traceback = values.scrub(lines or "")
  report.hint = report.hint or hint_of(value, text, report.where)
  return report
end

local main -- the coroutine of the main chunk

local function finished(co, ok, ...)
  main = nil
  if not ok then return false, M.describe((...), co) end
  if status(co) == "suspended" then return false, M.describe("the main chunk yielded", co) end
  return true, ...
end

--- Run the main chunk: true and what it returned, or false and the report of its error. It is a coroutine, so that its
--- frames can be read afterwards: an error handler has no room in a stack that overflowed.
function M.run(f)
  main = guard.create(f)
  return finished(main, resume(main))
end

--- The coroutine of the main chunk, which is hidden from scripts.
function M.main() return main end

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

--- The report of a syntax error. Its `detail` is the text of the wrong line.
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
