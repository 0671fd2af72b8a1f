-- Files as values of a script: a local file with its path, or an output of a prediction with its URL. The fields are
-- kept here and not in the value, so that a script cannot turn a string into a path.

local use = ...
local values = use("values")

local M = {}

local setmetatable, type, tostring, rawequal = setmetatable, type, tostring, rawequal
local format = string.format

local File = { __metatable = "file" }
local methods = {}

local known = values.files -- value -> { path = … } or { url = … }

local function made(fields)
  local value = setmetatable({}, File)
  known[value] = fields
  return value
end

--- The value for a local file; it is read when it is sent.
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

--- Saves the file under a path that the script may write to, and returns what was saved.
function methods.save(value, path, options)
  local file = known[value]
  if not file then error("file:save: expected a file, got a " .. type(value), 2) end
  if not file.url then error(format("file:save: %s is a local file already", file.path), 2) end
  return file.save(value, path, options)
end

return M
