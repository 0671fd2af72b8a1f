-- Files as values of a script: a local file with its path, or an output of a prediction with its URL. The fields are
-- kept here and not in the value, so that a script cannot turn a string into a path.

local use = ...
local values = use("values")

local M = {}

local error, select, setmetatable, type, tostring, rawequal = error, select, setmetatable, type, tostring, rawequal
local format = string.format

local File = { __metatable = "file" }
local methods = {}

local known = values.files -- value -> { path = … } or { url = … }

local function made(fields)
  local value = setmetatable({}, File)
  known[value] = fields
  return value
end

local read -- path -> its text

--- The functions that read local files for their methods.
function M.read_with(reader) read = reader end

--- The value for a local file. The host reads the file when it is sent.
function M.of_path(path) return made({ path = path }) end

--- The value for an output of a prediction. `save(file, path)` writes it to disk.
function M.of_url(url, save) return made({ url = url, save = save }) end

local function text(value)
  local file = known[value]
  return file.url or file.path
end

function File.__index(value, name)
  local file = known[value]
  if name == "url" or name == "path" then return file[name] end
  return methods[name]
end

function File.__newindex() error("a file cannot be changed", 2) end
function File.__tostring(value) return text(value) end
function File.__eq(one, other) return rawequal(one, other) or text(one) == text(other) end

local function piece(value) return known[value] and text(value) or tostring(value) end
function File.__concat(left, right) return piece(left) .. piece(right) end

-- Reads and checks the file of a method, and returns the reader of its text.
local function input(value, method)
  local file = known[value]
  if not file then error(format("file:%s: expected a file, got a %s", method, type(value)), 3) end
  if not file.path then
    error(format("file:%s: %s is not a local file; save it first: output:save(path)", method, file.url), 3)
  end
  return use("stdio").of_text(read(file.path))
end

--- The text of a local file, or the part that a format of Lua's `read` names.
function methods.read(value, ...)
  local made = input(value, "read")
  if select("#", ...) == 0 then return made.read("a") end
  return made.read(...)
end

--- Iterates over the lines of a local file, without their line endings.
function methods.lines(value, ...) return input(value, "lines").lines(...) end

--- Saves the file under a path that the script may write to, and returns what was saved.
function methods.save(value, path, options)
  local file = known[value]
  if not file then error("file:save: expected a file, got a " .. type(value), 2) end
  if not file.url then error(format("file:save: %s is a local file already", file.path), 2) end
  return file.save(value, path, options)
end

return M
