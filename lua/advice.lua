-- Hints for Lua's own errors about nil values: a name that scripts do not have, a misspelled name, an output that does
-- not exist yet.

local M = {}

local min, next, type = math.min, next, type
local byte, format, gmatch, match = string.byte, string.format, string.gmatch, string.match

local MOST_NAMES = 1000 -- globals that are compared
local MOST_LETTERS = 40 -- in a name that is compared
local NEAR = 3 -- one wrong letter is accepted per this many

local CONFINED = "scripts cannot use processes, the environment or files of the machine; pass values after "
  .. "--, which are in `args`, and use file(path) and output:save(path) for files"
local HOST = "scripts cannot access the interpreter; require(name) loads a module from the script's directory"

local ADVICE = {
  global = { io = CONFINED },
  field = {
    output = "a prediction has no output until it has succeeded; use wait(prediction), or run, which waits",
  },
  method = {
    save = "only a file has :save(path), and many models return a list of files; use images[1]:save(path) or "
      .. "download(images, './')",
  },
}
for name in gmatch("collectgarbage debug dofile ffi getfenv jit load loadfile loadstring module newproxy package python "
  .. "setfenv", "%a+") do
  ADVICE.global[name] = HOST
end
for name in gmatch("execute exit getenv remove rename setlocale tmpname", "%a+") do
  ADVICE.field[name] = CONFINED
end

-- The number of letters that must be changed, added, removed or swapped with a neighbor.
local function distance(one, other)
  local before, last, row = nil, nil, {}
  for j = 0, #other do
    row[j] = j
  end
  for i = 1, #one do
    before, last, row = last, row, { [0] = i }
    for j = 1, #other do
      local same = byte(one, i) == byte(other, j)
      row[j] = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      local crossed = before and byte(one, i) == byte(other, j - 1) and byte(one, i - 1) == byte(other, j)
      if crossed then row[j] = min(row[j], before[j - 2] + 1) end
    end
  end
  return row[#other]
end

--- The key of a table that is nearest to a name, or nil if none is near.
function M.nearest(name, names)
  if #name > MOST_LETTERS then return nil end
  local found, least, count = nil, #name / NEAR, 0
  for other in next, names do
    count = count + 1
    if count > MOST_NAMES then break end
    if type(other) == "string" and #other <= MOST_LETTERS then
      local far = distance(name, other)
      if far < least or (far == least and (not found or other < found)) then
        found, least = other, far
      end
    end
  end
  return found
end

--- The hint for an error message, or nil. `names` is a table of the globals.
function M.on(message, names)
  local kind, name = match(message, "attempt to .-(%l+) '([%w_]+)'")
  local known = kind and ADVICE[kind] and ADVICE[kind][name]
  if known or kind ~= "global" then return known or nil end
  local other = M.nearest(name, names)
  return other and format("unknown name %s; did you mean %s?", name, other)
end

return M
