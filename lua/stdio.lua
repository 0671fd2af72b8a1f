-- Standard input and the text of local files, which the host reads for the script, in the formats of Lua's `read`.
-- The first function that needs this module loads it.

local use = ...
local values, failures = use("values"), use("failures")

local M = {}

local error, select, setmetatable, tonumber, type = error, select, setmetatable, tonumber, type
local pcall = use("guard").pcall
local concat, find, format, gsub, match, sub = table.concat, string.find, string.format, string.gsub, string.match,
  string.sub
local unpack = table.unpack or unpack

-- A reader of text. `more()` returns the text in pieces, and nil at its end. `buffer` from `at` on is not read yet.
local Reader = {}
Reader.__index = Reader

local function reader(more) return setmetatable({ more = more, buffer = "", at = 1, over = false }, Reader) end

-- Append the next piece to the buffer. False at the end of the text.
function Reader.fill(r)
  local piece = not r.over and r.more()
  if not piece or piece == "" then
    r.over = true
    return false
  end
  r.buffer, r.at = sub(r.buffer, r.at) .. piece, 1
  return true
end

function Reader.take(r, count)
  local from = r.at
  r.at = from + count
  return sub(r.buffer, from, from + count - 1)
end

function Reader.line(r, keep)
  while true do
    local stop = find(r.buffer, "\n", r.at, true)
    if stop then
      local line = r:take(stop - r.at + 1)
      return keep and line or sub(line, 1, -2)
    end
    if not r:fill() then return r.at <= #r.buffer and r:take(#r.buffer) or nil end
  end
end

function Reader.all(r)
  local parts = {}
  repeat
    parts[#parts + 1] = r:take(#r.buffer)
  until not r:fill()
  return concat(parts)
end

function Reader.bytes(r, count)
  while #r.buffer - r.at + 1 < count and r:fill() do
  end
  if count == 0 and r.at > #r.buffer then r:fill() end
  return r.at <= #r.buffer and r:take(count) or nil
end

function Reader.number(r)
  repeat
    r.at = find(r.buffer, "%S", r.at) or #r.buffer + 1
  until r.at <= #r.buffer or not r:fill()
  while not find(r.buffer, "[^%w.+-]", r.at) and r:fill() do
  end
  local text = match(r.buffer, "^[+-]?0[xX]%x+", r.at)
  if not text then
    local whole = match(r.buffer, "^[+-]?%d*%.?%d*", r.at)
    text = whole .. (match(r.buffer, "^[eE][+-]?%d+", r.at + #whole) or "")
  end
  r:take(#text)
  return tonumber(text)
end

local function read_one(r, wanted)
  if type(wanted) == "number" then return r:bytes(wanted) end
  local letter = type(wanted) == "string" and match(wanted, "^%*?(.)")
  if letter == "l" then return r:line() end
  if letter == "L" then return r:line(true) end
  if letter == "a" then return r:all() end
  if letter == "n" then return r:number() end
  error(format("read: expected a format l, L, a, n or a number of bytes, got %s",
    type(wanted) == "string" and format("%q", values.scrub(wanted)) or values.kind(wanted)), 4)
end

local function read(r, ...)
  local count = select("#", ...)
  if count == 0 then return r:line() end
  local found = { ... }
  for i = 1, count do
    found[i] = read_one(r, found[i])
    if found[i] == nil then
      count = i
      break
    end
  end
  return unpack(found, 1, count)
end

local function lines_of(r)
  return function(...)
    local formats, count = { ... }, select("#", ...)
    return function() return read(r, unpack(formats, 1, count)) end
  end
end

--- The functions of an input: `read(...)` and `lines(...)`. `service("stdin", …)` returns its pieces.
function M.input(service)
  local taken = 0
  local r = reader(function()
    local piece = service("stdin", { from = taken })
    taken = taken + (piece and #piece or 0)
    return piece
  end)
  return {
    read = function(...) return read(r, ...) end,
    lines = lines_of(r),
  }
end

--- The functions of an input for text that is already in memory.
function M.of_text(text)
  local r = reader(function() return nil end)
  r.buffer = text
  return {
    seek = function(whence, offset)
      local from = whence == "set" and 0 or whence == "end" and #r.buffer or r.at - 1
      r.at = from + offset < 0 and 1 or from + offset + 1
      return r.at - 1
    end,
    read = function(...) return read(r, ...) end,
    raw_lines = lines_of(r),
    lines = function(...)
      if select("#", ...) > 0 then return lines_of(r)(...) end
      return function()
        local line = r:line()
        return line and (gsub(line, "\r$", ""))
      end
    end,
  }
end

--- `io.open` for reading: the text of a local file with `read`, `lines` and `close`, or nil and the reason.
function M.open(file, mode)
  if not find(mode, "^rb?$") then
    return nil, format("%s: io.open only reads; use write_file(path, text) or append_file(path, text)", file.path)
  end
  local ok, text = pcall(file.read, file)
  if not ok then return nil, format("%s: %s", file.path, failures.error_text(text)) end
  local input, opened = M.of_text(text), {}
  function opened.read(_, ...) return input.read(...) end
  function opened.lines(_, ...) return input.raw_lines(...) end
  function opened.seek(_, whence, offset) return input.seek(whence or "cur", offset or 0) end
  function opened.close() return true end
  return setmetatable(opened, { __tostring = function() return "file (" .. file.path .. ")" end, __metatable = "stream" })
end

return M
